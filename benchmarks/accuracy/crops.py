"""What a detector's crops give a blend: whole photos, true boxes and detected boxes, on the painted catalogue.

    python -m benchmarks.accuracy.crops FOLDER --individuals 120 --size 160 --epochs 14
    python -m benchmarks.accuracy.crops FOLDER --individuals 60 --distance 2.5 --size 224 --epochs 8

Everything goes through the command line: `detect train` on the boxes of the train photos, encounters apart,
`detect apply` to all photos, then `init`, `embed` of two real networks that saw none of this, `tune` and `submit` once
for each of the three, scored on the answers held back. The detector's IoU is told for the test photos, too, which it
never saw and by which nothing was chosen. What is done stays in FOLDER, and the same line goes on.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import polars as pl

from backbones.detection.measure import iou
from backbones.photos import read_boxes
from backbones.weights.installed import installed_weights
from benchmarks.accuracy.paired import drawn_means, middle, owners
from cv.metrics import average_precision
from ensemble.cli import main as finblend
from ensemble.demo.demo import NETWORKS
from ensemble.demo.painter import paint_catalogue


def run(*words: object) -> None:
    line = [str(word) for word in words]
    print("$ finblend", " ".join(line), flush=True)
    assert finblend(line) == 0


def mean_iou(data: Path, found: Path, answers: pl.DataFrame) -> float:
    """Of the boxes of the test photos; a photo without one counts 0."""
    frame = answers.select("image")
    true, mine = (read_boxes(str(path), frame) for path in (data / "boxes.csv", found))

    def edges(box: object) -> np.ndarray:
        return np.array([[box.x1, box.y1, box.x2, box.y2]])  # type: ignore[attr-defined]

    shared = [float(iou(edges(true[name]), edges(mine[name]))[0, 0]) if name in mine else 0.0 for name in true]
    return float(np.mean(shared))


def precisions(submission: Path, answers: pl.DataFrame) -> np.ndarray:
    """Average precision of each test photo; their mean is MAP@5."""
    ranked = {row["image"]: row["predictions"].split() for row in csv.DictReader(submission.open())}
    asked = answers.select("image", "answer").iter_rows()
    return np.array([average_precision(ranked[image], answer) for image, answer in asked])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--individuals", type=int, default=120)
    parser.add_argument("--distance", type=float, default=1.0)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    folder: Path = given.folder
    data = folder / "data"
    if not data.exists():
        # farther away, and a camera that shows as much of the animal: the sea takes the rest of the photo
        pixels = round(320 * given.distance)
        paint_catalogue(data, individuals=given.individuals, seed=given.seed, size=pixels, distance=given.distance)
    photos, answers = data / "photos", pl.read_csv(data / "answers.csv")
    boxes = pl.read_csv(data / "boxes.csv")
    boxes.filter(~pl.col("image").is_in(answers["image"].to_list())).write_csv(folder / "train_boxes.csv")
    detector, found = folder / "detector", folder / "boxes.csv"
    run(
        *("detect", "train", folder / "train_boxes.csv", "--images", photos, "-o", detector),
        *("--encounters", f"{data / 'train.csv'}:encounter", "--size", given.size, "--epochs", given.epochs),
    )
    run("detect", "apply", detector, "--images", photos, "-o", found)
    print(f"mean IoU of the {answers.height} test photos: {mean_iou(data, found, answers):.4f}", flush=True)
    scores = {}
    for name, given_boxes in (("whole", None), ("true", data / "boxes.csv"), ("detected", found)):
        project, submission = folder / name, folder / f"{name}.csv"
        if not (project / "project.json").exists():
            tables = ("--train", data / "train.csv", "--test", data / "sample_submission.csv")
            run("init", project, *tables, "--encounters", "encounter")
        for model, network in NETWORKS.items():
            if not (project / "stores" / model).exists():
                shown = () if given_boxes is None else ("--boxes", given_boxes)
                run(
                    *("embed", project, model, "--backbone", f"timm:{network}"),
                    *("--weights", installed_weights(network)),
                    *("--images", photos, "--frozen", *shown),
                )
        run("tune", project, "--trials", given.trials, "--nested-trials", 0, "--new-share", 0.12)
        run("submit", project, "-o", submission)
        scores[name] = precisions(submission, answers)
    owner = owners(answers["answer"].to_list())
    print("\nMAP@5 on the answers held back; against whole photos, 95 % paired over individuals")
    for name, value in scores.items():
        gain = value - scores["whole"]
        low, high = middle(drawn_means(gain, owner))
        print(f"{name:>10} {value.mean():.4f} ({gain.mean():+.4f}, {low:+.4f} to {high:+.4f})")


if __name__ == "__main__":
    main()
