"""Embedding photos: finblend's run against a plain DataLoader + timm loop, alternating, in one run.

    make bench-photos [ARGS="--photos 400 --networks timm:tf_efficientnet_lite0,timm:resnet18 --rounds 3"]

The peer is what people write: PIL, torch's DataLoader with as many workers as help it most (tried: one a core, and one
less), timm's network in float32 under inference_mode, batches of 32. finblend shows the same photos in the same view at
the same size, from files to the finished store's arrays. Weights are drawn at random: speed does not depend on them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from backbones.adapters import build_backbone
from backbones.extraction.forward import Forward
from backbones.extraction.photo_set import PhotoSet
from backbones.extraction.run import Run
from backbones.extraction.views import views_of
from backbones.photos import Frame
from ensemble.demo.painter import paint_catalogue
from ensemble.networks.extraction import ExtractionOptions

ROOT = Path(__file__).resolve().parents[2]
BATCH = 32


class Plain(Dataset):
    def __init__(self, files, backbone):
        self.files, self.size = files, (backbone.width, backbone.height)
        self.mean, self.std = (torch.tensor(v).view(3, 1, 1) for v in (backbone.mean, backbone.std))

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        pixels = Image.open(self.files[index]).convert("RGB").resize(self.size, Image.Resampling.BICUBIC)
        return (torch.from_numpy(np.array(pixels)).permute(2, 0, 1).float() / 255 - self.mean) / self.std


def plain(files, name, workers):
    backbone = build_backbone(name)
    network = backbone.network.eval()
    start = time.perf_counter()
    with torch.inference_mode():
        loader = DataLoader(Plain(files, backbone), batch_size=BATCH, num_workers=workers)
        out = torch.cat([network(photos) for photos in loader])
    return len(files) / (time.perf_counter() - start), out.numpy()


def finblend(files, name, precision):
    backbone = build_backbone(name)
    photos = PhotoSet(files, files, [[None] * len(files)], Frame(backbone.height, backbone.width))
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        forward = Forward.of(backbone, torch.device("cpu"))
        run = Run(forward, photos, views_of(["orig"]), Path(folder), BATCH, ExtractionOptions().decoders("cpu"))
        agreement = forward.prepare(precision, run.first_photos(), run.views)
        out = run.extract().views["orig"]
    return len(files) / (time.perf_counter() - start), out, forward.precision, agreement


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=320)
    parser.add_argument("--images", type=Path, help="a folder of photos; painted ones by default")
    parser.add_argument("--networks", default="timm:tf_efficientnet_lite0,timm:mobilenetv2_100,timm:resnet18")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        images = options.images or paint_catalogue(Path(folder) / "painted", individuals=50).folder / "photos"
        files = sorted(str(path) for path in images.iterdir())[: options.photos]
        rows = [_measure(files, name, options.rounds) for name in options.networks.split(",")]
    cores = len(os.sched_getaffinity(0))
    machine = f"{platform.machine()}, {cores} cores, torch {torch.__version__}"
    results = {"machine": machine, "photos": len(files), "rounds": options.rounds, "rows": rows}
    (ROOT / "benchmarks" / "photos.json").write_text(json.dumps(results, indent=2) + "\n")
    table = "\n".join(
        f"| {row['network']} | {row['ours']:.0f} ({row['precision']}) | {row['float32']:.0f} | {row['peer']:.0f} "
        f"| {row['ratio']:.2f} | {row['ratio_float32']:.2f} | {row['cosine']:.6f} |"
        for row in rows
    )
    text = f"""# Embedding photos: benchmark

Written by `make bench-photos`: {machine}; {len(files)} photos, median of {options.rounds} alternating rounds, photos a
second. The peer is a plain DataLoader + timm loop in float32; its better number of workers counts. Cosine: the worst
agreement of finblend's embeddings with the peer's, on all photos. Weights are drawn at random; with their real ones
EfficientNet-Lite and MobileNetV2 miss the agreement that bfloat16 must reach, and the float32 column counts.

| network | finblend (auto) | finblend, float32 | DataLoader + timm | ratio (auto) | ratio (float32) | cosine |
|---|---|---|---|---|---|---|
{table}
"""
    (ROOT / "docs" / "benchmarks-photos.md").write_text(text)
    print(text)


def _measure(files, name, rounds) -> dict:
    cores = len(os.sched_getaffinity(0))
    speeds: dict[str, list[float]] = {"auto": [], "float32": [], "peer": []}
    for _ in range(rounds):
        trials = [plain(files, name, workers) for workers in sorted({max(1, cores - 1), cores})]
        speeds["peer"].append(max(speed for speed, _ in trials))
        auto, made, precision, _ = finblend(files, name, "auto")
        speeds["auto"].append(auto)
        speeds["float32"].append(finblend(files, name, "float32")[0])
    peer = trials[0][1]
    lengths = np.linalg.norm(made, axis=1) * np.linalg.norm(peer, axis=1)
    median = {key: float(np.median(values)) for key, values in speeds.items()}
    return {
        "network": name,
        "precision": precision,
        "ours": median["auto"],
        "float32": median["float32"],
        "peer": median["peer"],
        "ratio": median["auto"] / median["peer"],
        "ratio_float32": median["float32"] / median["peer"],
        "cosine": float(((made * peer).sum(axis=1) / lengths).min()),
    }


if __name__ == "__main__":
    main()
