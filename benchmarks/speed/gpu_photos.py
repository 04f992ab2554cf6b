"""Embedding photos on a GPU: whether decoding bounds it."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from backbones.vision import load
from benchmarks.common.measuring import timed
from benchmarks.speed.gpu_bench import Bench


def embedding(bench: Bench) -> dict[str, Any]:
    """Photos a second, embedded and only decoded, by the same processes."""
    torch = load("torch")
    from backbones.adapters import build_backbone
    from backbones.extraction.forward import Forward
    from backbones.extraction.photo_set import PhotoSet
    from backbones.extraction.run import Run
    from backbones.extraction.views import views_of
    from backbones.photos import Frame

    s = bench.sizes
    network = build_backbone(s.network, (s.side, s.side))
    with tempfile.TemporaryDirectory() as place:
        files = _jpegs(Path(place), s.jpegs)
        shown = [files[n % len(files)] for n in range(s.shown)]

        def run(n: int, folder: str) -> Run:
            photos = PhotoSet(shown[:n], shown[:n], [[None] * n], Frame(network.height, network.width))
            return Run(forward, photos, views_of(["orig"]), Path(place) / folder, 128, s.workers)

        forward = Forward.of(network, torch.device(bench.device))
        few = run(min(s.shown, 256), "few")
        agreement = forward.prepare("auto", few.first_photos(), few.views)
        # the first batches choose kernels; then a rate to choose how many photos fit
        few.extract()
        seconds = timed(lambda: run(len(few.photos), "again").extract())[0]
        left = max(0.0, bench.until - time.monotonic())
        n = min(s.shown, max(len(few.photos), int(0.3 * left * len(few.photos) / seconds)))
        decoding, _ = timed(lambda: [None for _ in _batches(run(n, "none"))])
        whole, _ = timed(lambda: run(n, "all").extract())
    return {
        "network": s.network,
        "precision": forward.precision,
        "agreement": agreement,
        "workers": s.workers,
        "photos": n,
        "decoded_a_second": n / decoding,
        "embedded_a_second": n / whole,
        "share_of_decoding": decoding / whole,
    }


def _batches(run: Any) -> Any:
    return run._loader([list(range(at, min(at + run.batch, len(run.photos)))) for at in range(0, len(run.photos), 128)])


def _jpegs(folder: Path, n: int) -> list[str]:
    """Photos of 1,200 x 800, smooth with some grain, as JPEG files."""
    image, rng, files = load("PIL.Image"), np.random.default_rng(5), []
    for number in range(n):
        coarse = image.fromarray(rng.integers(0, 255, (16, 24, 3), dtype=np.uint8)).resize((1200, 800))
        grain = rng.integers(-12, 12, (800, 1200, 1))
        pixels = np.clip(np.asarray(coarse).astype(np.int16) + grain, 0, 255).astype(np.uint8)
        files.append(str(folder / f"{number}.jpg"))
        image.fromarray(pixels).save(files[-1], quality=90)
    return files
