"""What lightning trains: a backbone with a head for individuals and one for species."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from backbones.adapters.contract import Backbone
from backbones.adapters.stride_map import StrideMap
from backbones.training.heads import LOCAL
from backbones.training.lightning_here import LightningModule
from backbones.training.recipe import Recipe


class Trained(LightningModule):
    """A backbone and its heads.

    Attributes
    ----------
    network : torch.nn.Module
    heads : torch.nn.ModuleDict
        `individuals`, `species` where there are several, `local` where local features are learnt.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone, heads: dict[str, nn.Module], recipe: Recipe) -> None:
        super().__init__()
        self.network = backbone.network
        self.heads = nn.ModuleDict(heads)
        self.recipe = recipe
        self.body = backbone.body
        self.losses: list[Tensor] = []
        self.local_losses: list[Tensor] = []
        self.stride_map = StrideMap.of(backbone) if LOCAL in heads else None
        mean, std = (255 * torch.tensor(values).view(1, 3, 1, 1) for values in (backbone.mean, backbone.std))
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)

    def training_step(self, batch: Sequence[Tensor], _index: int) -> Tensor:
        """Loss of one batch: (b, H, W, 3) uint8 photos, (b,) individuals, (b,) species."""
        pixels, individuals, species = batch
        photos = pixels.permute(0, 3, 1, 2).float().sub_(self.mean).div_(self.std)
        nothing: AbstractContextManager[list[Tensor]] = nullcontext([])
        with self.stride_map.tapped(self.network) if self.stride_map else nothing as maps:
            embedded = self.network(photos)
        loss: Tensor = self.heads["individuals"](embedded, individuals)
        if "species" in self.heads:
            loss = loss + self.recipe.species_weight * self.heads["species"](embedded, species)
        self.losses.append(loss.detach())
        for each in maps:
            local = self.heads[LOCAL](each, individuals)
            self.local_losses.append(local.detach())
            loss = loss + local
        return loss

    def on_train_epoch_start(self) -> None:
        """Draw dropout and the like from the epoch, so that a resumed run goes on as one that was never killed."""
        self.losses.clear()
        self.local_losses.clear()
        torch.manual_seed(self.recipe.seed * 100_003 + self.current_epoch)

    def configure_optimizers(self) -> Any:
        """AdamW with its own learning rate for the body; vectors (norms, biases) do not decay."""
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        prefix = f"network.{self.body}." if self.body else "network."
        for name, parameter in self.named_parameters():
            groups.setdefault((name.startswith(prefix), parameter.ndim > 1), []).append(parameter)
        rates = {True: self.recipe.lr_body, False: self.recipe.lr_head}
        optimizer = torch.optim.AdamW(
            [
                {"params": members, "lr": rates[body], "weight_decay": self.recipe.weight_decay if decays else 0.0}
                for (body, decays), members in groups.items()
            ]
        )
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.recipe.rate(step, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
