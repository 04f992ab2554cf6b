"""The map of stride 16 inside a network, taken while photos pass through: whatever the network makes of it later."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from backbones.adapters.contract import Backbone
from cv.errors import FinblendError

STRIDE = 16


class _Reached(Exception):
    """Ends a pass whose rest nobody wants."""


@dataclass(frozen=True)
class StrideMap:
    """Where in a network the last map of stride 16 comes from.

    Attributes
    ----------
    module : str
        Dotted name of the stage that gives it.
    channels : int
    """

    module: str
    channels: int

    @classmethod
    def of(cls, backbone: Backbone) -> StrideMap:
        """Find it, and look at it once.

        Raises
        ------
        FinblendError
            If the network is none of timm's, or has no such map: transformers have tokens.
        """
        stages: Any = getattr(backbone.body_module, "feature_info", None) or ()
        names = [stage["module"] for stage in stages if stage["reduction"] == STRIDE]
        refusal = "local features need a network of timm with a map (channels, height, width) of stride 16"
        if not names:
            raise FinblendError(f"{refusal}, and this one names none")
        place = cls(".".join(filter(None, (backbone.body, names[-1]))), 0)
        sides = 4 * STRIDE, 6 * STRIDE
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            backbone.network.eval()
            try:
                shape = tuple(place.of_photos(backbone.network, torch.zeros(1, 3, *sides)).shape)
            except (RuntimeError, TypeError, AssertionError, AttributeError):
                shape = ()
        if len(shape) != 4 or shape[2:] != (4, 6):
            raise FinblendError(f"{refusal}; '{names[-1]}' gives {list(shape) or 'none'} of a photo of 64x96")
        return cls(place.module, int(shape[1]))

    @contextmanager
    def tapped(self, network: nn.Module, stop: bool = False) -> Iterator[list[Tensor]]:
        """Collect the map of every pass within; with `stop` each pass ends there."""
        maps: list[Tensor] = []

        def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            maps.append(output)
            if stop:
                raise _Reached

        handle = network.get_submodule(self.module).register_forward_hook(keep)
        try:
            with suppress(_Reached):
                yield maps
        finally:
            handle.remove()

    def of_photos(self, network: nn.Module, photos: Tensor) -> Tensor:
        """(B, C, H / 16, W / 16) map of normalised photos (B, 3, H, W), sides multiples of 16."""
        with self.tapped(network, stop=True) as maps:
            network(photos)
        return maps[0]

    def centre(self, network: nn.Module) -> float:
        """Pixel on which the first position of a row is centred; those after it are 16 apart.

        Paddings differ (by them alone it is 15 with TensorFlow's, 0 with PyTorch's, 7.5 where patches do not overlap),
        and weights shift it: EfficientNet-Lite0's to 8.5, MobileNetV2's to 5.5. So it is measured: the centre of the
        pixels that a position depends on, by the squares of its gradients (Luo et al. 2016, the effective field).
        """
        side, positions = 24, range(9, 15)
        generator = torch.Generator().manual_seed(0)
        device = next(network.parameters()).device
        noise = torch.randn(1, 3, side * STRIDE, side * STRIDE, generator=generator)
        noise = noise.to(device).requires_grad_()
        maps = self.of_photos(network.eval(), noise)
        pixels = torch.arange(side * STRIDE, device=device, dtype=torch.float32)
        centres = []
        for place in positions:
            signs = torch.randn(maps.shape[1], generator=generator).to(device)
            (gradient,) = torch.autograd.grad(maps[0, :, place, place] @ signs, noise, retain_graph=True)
            weight = gradient.square().sum(dim=(0, 1))
            for axis in (0, 1):
                across = weight.sum(dim=axis)
                centres.append(float(across @ pixels / across.sum()) - STRIDE * place)
        # by halves of a pixel, so that last bits do not matter
        return min(max(round(2 * sum(centres) / len(centres)) / 2, 0.0), STRIDE - 1.0)
