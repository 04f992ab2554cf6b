"""What the parts of on_gpu.py are given: the device, how much of everything, and how long."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from unittest import mock

from backbones.vision import load
from postproc.neighbours import engine
from postproc.neighbours.screen_backends import DEVICE
from postproc.neighbours.screen_gpu import OnDevice


@dataclass(frozen=True)
class Sizes:
    """How much of everything.

    Attributes
    ----------
    photos : int
        Of the checks; with tiles of `tile` beside the back end's own.
    tile : int
    gallery, queries, width, k : int
        Of the rate.
    network : str
    side : int
        Height and width that the network sees.
    jpegs, shown : int
        Files that are drawn, and photos that are shown, each file again and again.
    workers : int
    """

    photos: int = 20_000
    tile: int = 1024
    gallery: int = 51_033
    queries: int = 27_956
    width: int = 2048
    k: int = 100
    network: str = "timm:tf_efficientnet_lite0"
    side: int = 224
    jpegs: int = 256
    shown: int = 8192
    workers: int = 0


DRY = Sizes(150, 32, 300, 120, 24, 7, "timm:test_efficientnet", 32, 4, 8)


@dataclass(frozen=True)
class Bench:
    """The device, how much, and how long."""

    device: str
    sizes: Sizes
    until: float

    def has(self, seconds: float = 0.0) -> bool:
        """Whether so many seconds are left."""
        return time.monotonic() + seconds < self.until

    @contextmanager
    def screening(self) -> Iterator[str]:
        """The GPU screens as a user would ask for it; in a dry run its back end is put on the processor."""
        torch = load("torch")
        with ExitStack() as stack:
            if self.device == "cuda":
                stack.enter_context(mock.patch.dict(os.environ, {DEVICE: "cuda"}))
            else:
                stack.enter_context(mock.patch.object(engine, "choose", return_value=[OnDevice(torch, self.device)]))
            yield "bfloat16"
