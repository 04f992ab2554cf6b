"""A training run in its folder: checkpoints after every epoch, a curve, and at the end the network and its heads."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import DataLoader

from backbones.adapters.contract import Backbone
from backbones.curve import CURVE_FILE, append_row
from backbones.training.lightning_here import (
    Callback,
    EMAWeightAveraging,
    LightningModule,
    MisconfigurationException,
    ModelCheckpoint,
    Trainer,
)
from backbones.training.module import Trained
from backbones.training.recipe import Recipe
from backbones.training.samples import ShareSampler, TrainingPhotos
from backbones.weights.saved import HEADS_FILE, NETWORK_FILE, Origin, save_network
from backbones.workers import end_with_run
from cv.errors import FinblendError
from cv.files import written_beside

# epoch, the network after it -> further columns of the curve
Validate = Callable[[int, nn.Module], dict[str, float]]


@dataclass(frozen=True)
class Machine:
    """What a run trains on.

    Attributes
    ----------
    accelerator : {"auto", "cpu", "cuda"}
    devices : int
    strategy : str
        Lightning's name of a strategy.
    precision : {"float32", "bfloat16"}
    workers : int
        Decoding processes a device.
    """

    accelerator: str = "auto"
    devices: int = 1
    strategy: str = "auto"
    precision: str = "float32"
    workers: int = 1


class _Curve(Callback):
    """One row of the curve after every epoch; a resumed run goes on with the rows of the epochs it keeps."""

    def __init__(self, path: Path, validate: Validate | None, tell: Callable[[int, int], None]) -> None:
        self.path, self.validate, self.tell = path, validate, tell
        self.started = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.tell(1, int(trainer.estimated_stepping_batches))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Trained)  # noqa: S101 - the only module that a run trains
        losses = {"loss": pl_module.losses, "local": pl_module.local_losses}
        means = {name: float(torch.stack(each).mean()) for name, each in losses.items() if each}
        loss = sum(means.values())
        if not loss < float("inf"):
            raise FinblendError(
                f"the loss is {loss} in epoch {pl_module.current_epoch + 1}: lower --lr-body and --lr-head"
            )
        if not trainer.is_global_zero:
            return
        row = {"epoch": pl_module.current_epoch + 1, **means, "seconds": time.perf_counter() - self.started}
        measured = self.validate(pl_module.current_epoch + 1, pl_module.network) if self.validate else {}
        append_row(self.path, {**row, **measured})


def fit(
    folder: Path,
    backbone: Backbone,
    heads: dict[str, nn.Module],
    photos: TrainingPhotos,
    recipe: Recipe,
    machine: Machine,
    origin: Origin,
    *,
    validate: Validate | None = None,
    tell: Callable[[int, int], None] | None = None,
) -> bool:
    """Train, going on from the last finished epoch; write the network and its heads.

    Parameters
    ----------
    folder : Path
        Of this very run.
    backbone : Backbone
        Filled with the weights to start from; trained in place.
    heads : dict of str to torch.nn.Module
    photos : TrainingPhotos
    recipe : Recipe
    machine : Machine
    origin : Origin
        Kept in the header of the network's file.
    validate : callable, optional
        Measures the network after an epoch, for the curve; nothing is chosen by it.
    tell : callable, optional
        Gets the steps just done and all.

    Returns
    -------
    bool
        Whether this process is the one that goes on: with several devices the others stop here.
    """
    _quiet()
    checkpoints = folder / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    last, done = _last_checkpoint(checkpoints)
    curve = _Curve(folder / CURVE_FILE, validate, tell or (lambda done, total: None))
    if last is None and validate is not None:
        append_row(curve.path, {"epoch": 0, **validate(0, backbone.network)})
    module = Trained(backbone, heads, recipe)
    module.network.train()
    module.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    # the newest is complete before the one before it goes
    keep = ModelCheckpoint(checkpoints, filename="{epoch:06d}", save_top_k=1, enable_version_counter=False)
    callbacks: list[Callback] = [curve, keep]
    if recipe.ema:
        callbacks.append(EMAWeightAveraging(decay=recipe.ema))
    around = set(os.environ)
    try:
        trainer = Trainer(
            accelerator={"cuda": "gpu"}.get(machine.accelerator, machine.accelerator),
            devices=machine.devices,
            strategy=_strategy(machine),
            precision="bf16-mixed" if machine.precision == "bfloat16" else "32-true",
            max_epochs=recipe.epochs,
            callbacks=callbacks,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            default_root_dir=folder,
        )
    except (ValueError, MisconfigurationException) as error:
        reason = " ".join(str(error).split())
        raise FinblendError(f"--strategy {machine.strategy} --devices {machine.devices}: {reason}") from None
    sampler = ShareSampler(photos.individuals, recipe.share_power, recipe.seed, trainer.world_size)
    # lightning tells the sampler its epoch only after the first photos of a resumed run have been asked for
    sampler.set_epoch(done)
    if len(sampler) < 2:
        raise FinblendError(f"there are {len(photos.files)} training photos; a batch needs 2")
    loader = DataLoader(
        photos,
        batch_size=min(recipe.batch_size, len(sampler)),
        sampler=sampler,
        num_workers=machine.workers,
        worker_init_fn=end_with_run,
        drop_last=True,
        pin_memory=trainer.accelerator.__class__.__name__ == "CUDAAccelerator",
        # of its own: the loader of a resumed run is opened before the epoch's seed is set, others after
        generator=torch.Generator(),
    )
    if last is not None and done >= recipe.epochs:
        # killed before the network was written; where weights are averaged, these are the averaged ones
        module.load_state_dict(torch.load(last, map_location="cpu", weights_only=True)["state_dict"])
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                trainer.fit(module, loader, ckpt_path=last, weights_only=True)
            except torch.OutOfMemoryError:
                raise FinblendError(
                    "the photos of a step are too many for the device's memory; lower --batch-size"
                ) from None
            except FinblendError as error:
                # what a worker raises comes with its traceback; the line is its end
                raise FinblendError(str(error).strip().rpartition("FinblendError: ")[2]) from None
    if trainer.interrupted:
        raise KeyboardInterrupt
    if not trainer.is_global_zero:
        return False
    _leave(around)
    module.cpu()
    state = {name: tensor.detach().contiguous().clone() for name, tensor in module.heads.state_dict().items()}
    with written_beside(folder / HEADS_FILE) as temporary:
        save_file(state, str(temporary))
    # last: where this file is, the run is finished
    save_network(folder / NETWORK_FILE, module.network, origin)
    for checkpoint in checkpoints.glob("*.ckpt"):
        checkpoint.unlink()
    checkpoints.rmdir()
    return True


def load_heads(folder: Path, heads: dict[str, nn.Module]) -> dict[str, nn.Module]:
    """Fill heads with those of a finished run."""
    nn.ModuleDict(heads).load_state_dict(load_file(str(folder / HEADS_FILE)))
    return heads


def _last_checkpoint(folder: Path) -> tuple[Path | None, int]:
    """The newest checkpoint that is whole, and how many epochs it has seen.

    A kill may have cut the newest short, and left the one before it.
    """
    for path in sorted(folder.glob("epoch=*.ckpt"), reverse=True):
        try:
            return path, int(torch.load(path, map_location="cpu", weights_only=True)["epoch"]) + 1
        except Exception:  # whatever torch makes of a file cut short
            path.unlink(missing_ok=True)
    return None, 0


def _leave(around: set[str]) -> None:
    """Forget the other processes, which have ended: the next run starts its own."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE"):
        if name not in around:
            os.environ.pop(name, None)


def _strategy(machine: Machine) -> str:
    """Adapters keep timm's own pooling head, so that checkpoints fit; its weights get no gradient."""
    plain = machine.strategy in ("auto", "ddp")
    return "ddp_find_unused_parameters_true" if plain and machine.devices > 1 else machine.strategy


def _quiet() -> None:
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
