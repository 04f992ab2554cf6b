"""One batch through a network: normalise, mirror, choose the precision."""

from __future__ import annotations

import contextlib
import ctypes
import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from backbones.adapters.contract import Backbone
from backbones.extraction.fold import folded
from backbones.extraction.views import View
from cv.errors import FinblendError

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "float32", "bfloat16")
# below this agreement with float32 on the first photos, bfloat16 is not chosen
AGREEMENT = 0.999
# on a CPU, photos go through a few at a time: activations of more leave the caches, and their pages are asked of the
# system anew for every layer (on 2 cores, EfficientNet-Lite0 embeds 8 at a time twice as fast as 32)
CPU_SLICE = 8
# glibc's names for what is given back to the system when it is freed
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _NEVER = -1, -3, 1 << 30


@dataclass
class Forward:
    """A network ready to embed.

    Attributes
    ----------
    network : torch.nn.Module
        On its device, in evaluation mode, channels last.
    mean, std : (1, 3, 1, 1) float32 Tensor
        Of pixels in 0 ... 255.
    device : torch.device
    precision : {"float32", "bfloat16"}
    """

    network: nn.Module
    mean: Tensor
    std: Tensor
    device: torch.device
    precision: str = "float32"

    @classmethod
    def of(cls, backbone: Backbone, device: torch.device) -> Forward:
        """Bring a backbone onto a device."""
        if device.type == "cpu":
            keep_freed_memory()
        network = backbone.network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        mean, std = (
            255 * torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (backbone.mean, backbone.std)
        )
        return cls(network, mean, std, device)

    @torch.inference_mode()
    def __call__(self, pixels: Tensor, views: Sequence[View]) -> Tensor:
        """Embed a batch in every view.

        Parameters
        ----------
        pixels : (b, crops, height, width, 3) uint8 Tensor
            On the CPU.
        views : sequence of View

        Returns
        -------
        (views, b, D) float32 Tensor
            On the device; on CUDA the work may still be under way.
        """
        step = CPU_SLICE if self.device.type == "cpu" else len(pixels)
        return torch.cat([self._slice(part, views) for part in torch.split(pixels, step)], dim=1)

    def _slice(self, pixels: Tensor, views: Sequence[View]) -> Tensor:
        pixels = pixels.to(self.device, non_blocking=True)
        out = []
        for view in views:
            # photos come with their colours last: permuted, they are channels-last without a copy
            photos = pixels[:, view.crop].permute(0, 3, 1, 2).float().sub_(self.mean).div_(self.std)
            photos = photos.flip(-1) if view.mirrored else photos
            try:
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
                    embedded = self.network(photos)
            except torch.OutOfMemoryError:
                raise FinblendError(
                    f"{len(photos)} photos at once are too many for the memory of {self.device}; lower --batch-size"
                ) from None
            except FinblendError:
                raise
            except (RuntimeError, ValueError, TypeError, AssertionError) as error:
                reason = (str(error).strip().splitlines() or ["no reason given"])[0]
                raise FinblendError(
                    f"the network does not run on photos of {photos.shape[2]}x{photos.shape[3]} ({reason})"
                ) from None
            if not isinstance(embedded, Tensor) or embedded.ndim != 2 or len(embedded) != len(photos):
                shape = list(embedded.shape) if isinstance(embedded, Tensor) else type(embedded).__name__
                raise FinblendError(f"a backbone must map {len(photos)} photos to ({len(photos)}, D), but gave {shape}")
            out.append(embedded.float())
        return torch.stack(out)

    def prepare(self, wanted: str, pixels: Tensor, views: Sequence[View]) -> float | None:
        """Fold batch norms and settle the precision, both checked on a few photos.

        Parameters
        ----------
        wanted : {"auto", "float32", "bfloat16"}
            "auto": bfloat16 where the hardware has it and these photos' embeddings agree with float32's.
        pixels : (b, crops, height, width, 3) uint8 Tensor
        views : sequence of View

        Returns
        -------
        float or None
            The worst cosine between bfloat16 and float32, where it was measured.
        """
        if wanted not in PRECISIONS:
            raise FinblendError(f"--precision must be one of {', '.join(PRECISIONS)}, but got '{wanted}'")
        self.precision = "float32"
        if not any(True for _ in self.network.parameters()):
            return None
        exact = self(pixels, views)
        lighter = folded(self.network, lambda network: replace(self, network=network)(pixels, views))
        if lighter is not None:
            self.network = lighter.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if wanted == "float32" or (wanted == "auto" and not has_bfloat16(self.device)):
            return None
        self.precision = "bfloat16"
        try:
            cosine = float(torch.nn.functional.cosine_similarity(exact, self(pixels, views), dim=-1).min())
        except FinblendError:  # an operator of the network knows no bfloat16
            if wanted == "bfloat16":
                raise
            cosine = 0.0
        if wanted == "auto" and not cosine >= AGREEMENT:
            self.precision = "float32"
        return cosine


def device_of(wanted: str) -> torch.device:
    """The device that --device means."""
    if wanted not in DEVICES:
        raise FinblendError(f"--device must be one of {', '.join(DEVICES)}, but got '{wanted}'")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise FinblendError("--device cuda: torch finds no CUDA device here")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def has_bfloat16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16 itself."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:
        flags = [torch.cpu._is_avx512_bf16_supported(), torch.cpu._is_amx_tile_supported()]
    except AttributeError:  # private names of torch: without them the safe answer
        return False
    return any(flags)


@functools.cache
def keep_freed_memory() -> None:
    """Keep what one layer has freed for the next one: asked of the system anew, pages take as long as the products.

    On a CPU with glibc; elsewhere nothing changes. The most that is held at once stays the same.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for option in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            mallopt(option, _NEVER)
