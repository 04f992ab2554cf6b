"""A training run in its folder: a checkpoint after every epoch, the curve, and at the end the best epoch's network."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader

from backbones.adapters.contract import Backbone
from backbones.curve import CURVE_FILE, append_row
from backbones.detection.look import look
from backbones.detection.measure import Measured, measure
from backbones.detection.network import Detector
from backbones.detection.photos import BoxedPhoto, TrainingViews, together
from backbones.detection.recipe import DetectorRecipe
from backbones.workers import end_with_run
from cv.errors import FinblendError
from cv.files import written_beside

CHECKPOINT, BEST = "last.ckpt", "best.safetensors"
# gradients longer than this are shortened: the first steps of new heads are wild
_LONGEST = 10.0


@dataclass(frozen=True)
class Best:
    """The epoch that is kept: of the largest mean IoU, then of the largest average precision."""

    epoch: int
    measured: Measured

    @property
    def order(self) -> tuple[float, float]:
        """What is compared."""
        return self.measured.mean_iou, self.measured.map50


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run.

    Attributes
    ----------
    folder : Path
        Of this very run.
    backbone : Backbone
        Filled with the weights to start from; trained in place.
    train : TrainingViews
    held_out : sequence of BoxedPhoto
    recipe : DetectorRecipe
    classes : int
    least : float
        Score from which on a box is used.
    device : torch.device
    workers : int
        Decoding processes.
    pretrained : bool
        The body's batch norms keep what they know of many photos: the few of a step would blur it.
    """

    folder: Path
    backbone: Backbone
    train: TrainingViews
    held_out: Sequence[BoxedPhoto]
    recipe: DetectorRecipe
    classes: int
    least: float
    device: torch.device
    workers: int
    pretrained: bool = True

    def fit(self, tell: Callable[[int, int], None] | None = None) -> Best:
        """Train, going on from the last finished epoch; leaves the best epoch's tensors in `checkpoints/best`.

        Parameters
        ----------
        tell : callable, optional
            Gets the steps just done and all.
        """
        tell = tell or (lambda done, total: None)
        (self.folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        network = self.backbone.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = torch.optim.AdamW(self._groups())
        epochs, each = self.recipe.epochs, math.ceil(len(self.train.photos) / self.recipe.batch_size)
        done, best = self._resumed(network, optimizer)
        tell(done * each, epochs * each)
        for epoch in range(done, epochs):
            started = time.perf_counter()
            losses = self._epoch(epoch, network, optimizer, lambda: tell(1, epochs * each))
            measured = self.measure()
            now = Best(epoch + 1, measured)
            if best is None or now.order > best.order:
                best = now
                self._save_best(network)
            row = {"epoch": epoch + 1, **losses, **measured.as_row(), "seconds": time.perf_counter() - started}
            append_row(self.folder / CURVE_FILE, row)
            self._save(network, optimizer, epoch + 1, best)
        assert best is not None  # noqa: S101 - there is one epoch at least
        return best

    def measure(self) -> Measured:
        """Figures on the held-out photos."""
        files = [photo.file for photo in self.held_out]
        step = self.recipe.batch_size
        batches = [range(start, min(start + step, len(files))) for start in range(0, len(files), step)]
        detector = Detector(self.backbone, self.device)
        found = [each for batch in look(detector, files, batches, self.workers) for each, _ in batch]
        return measure(self.held_out, found, self.classes, self.least)

    def _epoch(
        self, epoch: int, network: nn.Module, optimizer: torch.optim.Optimizer, step_done: Callable[[], None]
    ) -> dict[str, float]:
        """One epoch; the means of its losses."""
        # dropout and the like are drawn from the epoch, so that a resumed run goes on as one that was never killed
        torch.manual_seed(self.recipe.seed * 100_003 + epoch)
        network.train()
        if self.pretrained:
            for part in self.backbone.body_module.modules():
                if isinstance(part, nn.modules.batchnorm._BatchNorm):
                    part.eval()
        detector = Detector(self.backbone, self.device)
        batches = list(self._batches(epoch))
        loader = DataLoader(
            self.train,
            batch_sampler=batches,
            num_workers=min(self.workers, len(batches)),
            worker_init_fn=end_with_run,
            collate_fn=together,
            generator=torch.Generator(),
        )
        sums: dict[str, Tensor] = {}
        for step, (pixels, targets) in enumerate(loader):
            rate = self.recipe.rate((epoch * len(batches) + step + 1) / (self.recipe.epochs * len(batches)))
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * rate
            at_hand = [{key: each.to(self.device) for key, each in target.items()} for target in targets]
            losses: dict[str, Tensor] = network(detector.normalised(pixels), at_hand)
            loss = torch.stack(list(losses.values())).sum()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), _LONGEST)
            optimizer.step()
            for name, each in {"loss": loss, **losses}.items():
                sums[name] = sums.get(name, torch.zeros((), device=self.device)) + each.detach()
            step_done()
        means = {_COLUMNS[name]: float(each) / len(batches) for name, each in sums.items()}
        if not means["loss"] < float("inf"):
            raise FinblendError(f"the loss is {means['loss']} in epoch {epoch + 1}: lower --lr-body and --lr-head")
        return means

    def _batches(self, epoch: int) -> Iterator[list[tuple[int, int, int]]]:
        draws, size = self.train.draws(epoch), self.recipe.batch_size
        for start in range(0, len(draws), size):
            batch = draws[start : start + size]
            # batch norms that learn need two photos: beside one that is left over, the one before it comes again
            yield batch if len(batch) > 1 else draws[start - 1 : start + 1]

    def _groups(self) -> list[dict[str, Any]]:
        """Parameters by their learning rate; vectors (norms, biases) do not decay."""
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for name, parameter in self.backbone.network.named_parameters():
            key = (name.startswith(f"{self.backbone.body}."), parameter.ndim > 1)
            groups.setdefault(key, []).append(parameter)
        return [
            {
                "params": members,
                "peak": self.recipe.lr_body if body else self.recipe.lr_head,
                "weight_decay": self.recipe.weight_decay if decays else 0.0,
            }
            for (body, decays), members in groups.items()
        ]

    def _resumed(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[int, Best | None]:
        """Epochs that are done, and the best of them; the network and the optimizer as they were after it."""
        path = self.folder / "checkpoints" / CHECKPOINT
        if not path.is_file():
            return 0, None
        try:
            kept = torch.load(path, map_location=self.device, weights_only=True)
            network.load_state_dict(kept["network"])
            optimizer.load_state_dict(kept["optimizer"])
            return int(kept["epoch"]), Best(int(kept["best"]), Measured(**kept["measured"]))
        except Exception:  # whatever torch makes of a file that was damaged
            raise FinblendError(f"{path}: is damaged, so this run cannot go on; use --replace") from None

    def _save(self, network: nn.Module, optimizer: torch.optim.Optimizer, epoch: int, best: Best) -> None:
        kept = {
            "network": network.state_dict(),
            "optimizer": optimizer.state_dict(),
            "epoch": epoch,
            "best": best.epoch,
            "measured": dict(vars(best.measured)),
        }
        with written_beside(self.folder / "checkpoints" / CHECKPOINT) as temporary:
            torch.save(kept, temporary)

    def _save_best(self, network: nn.Module) -> None:
        state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.state_dict().items()}
        with written_beside(self.folder / "checkpoints" / BEST) as temporary:
            save_file(state, str(temporary))


_COLUMNS = {
    "loss": "loss",
    "classification": "loss_class",
    "bbox_regression": "loss_box",
    "bbox_ctrness": "loss_centre",
}
