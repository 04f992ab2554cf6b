"""Attention against chance: `delg:` features where attention picks them, and where a die does.

    python -m benchmarks.accuracy.local_attention P MODEL --fold 0 --images DIR [--images DIR]

P/runs/MODEL/fold-K was trained with --local and has not seen fold K's labels. Every position of every size is described
once; what differs is which of them are kept. The known photos of fold K are named by LNBNN (McCann and Lowe 2012)
against the other folds' photos of their species; intervals draw individuals, 2,000 times.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from backbones.local_features import build_local
from backbones.local_features.contract import LocalFeatures
from backbones.local_features.doors import MOST
from backbones.local_features.shown import features_of
from backbones.manifest import Seen
from benchmarks.accuracy.paired import drawn_means, middle, owners
from cv.folds import gallery_photos
from ensemble import Project
from ensemble.networks.embed import check_features_seen
from ensemble.networks.photos import find_photo_files

NEAREST, DIES = 5, 3


def picked(features: LocalFeatures, how: str, count: int, rng: np.random.Generator) -> np.ndarray:
    """Rows that are kept; `sizes`: by chance, as many of each size as attention keeps."""
    best = np.arange(min(count, len(features)))
    if how == "attention":
        return best
    if how == "chance":
        return rng.choice(len(features), len(best), replace=False)
    sizes = features.keypoints[:, 2].round(3)
    rows = [
        rng.choice(np.flatnonzero(sizes == size), int((sizes[best] == size).sum()), replace=False)
        for size in np.unique(sizes[best])
    ]
    return np.concatenate([*rows, np.zeros(0, dtype=np.int64)])


def lnbnn(query: np.ndarray, gallery: np.ndarray, individual: np.ndarray, count: int) -> np.ndarray:
    """(count,) score of each individual: by how much its nearest descriptor is nearer than the background's."""
    distance = 2 - 2 * query @ gallery.T
    near = np.argpartition(distance, NEAREST, axis=1)[:, : NEAREST + 1]
    score = np.zeros(count)
    for row, columns in zip(distance, near, strict=True):
        ordered = columns[np.argsort(row[columns])]
        names, first = np.unique(individual[ordered[:-1]], return_index=True)
        score[names] += row[ordered[-1]] - row[ordered[first]]
    return score


def precisions(
    features: list[LocalFeatures], labels: np.ndarray, species: np.ndarray, queries: np.ndarray, gallery: np.ndarray,
    how: str, count: int, seed: int,
) -> np.ndarray:  # fmt: skip
    """(queries,) reciprocal rank of the right name among the first five, else 0."""
    rng = np.random.default_rng(seed)
    kept = [each.descriptors[picked(each, how, count, rng)] for each in features]
    out = np.zeros(len(queries))
    for name in np.unique(species[queries]):
        rows = np.flatnonzero(gallery & (species == name))
        descriptors = np.concatenate([kept[row] for row in rows])
        owner = np.repeat(labels[rows], [len(kept[row]) for row in rows])
        for n in np.flatnonzero(species[queries] == name):
            score = lnbnn(kept[queries[n]], descriptors, owner, labels.max() + 1)
            # before the right name: all that score more, and half of those that score the same
            mine = score[labels[queries[n]]]
            rank = 1 + (score > mine).sum() + ((score == mine).sum() - 1) / 2
            out[n] = 1 / rank if rank <= 5 else 0
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path)
    parser.add_argument("model")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--images", action="append", required=True)
    parser.add_argument("--keypoints", type=int, nargs="+", default=[50, 200])
    options = parser.parse_args()
    project = Project.open(options.project)
    seen = Seen("fold", options.fold)
    extractor = build_local(f"delg:{options.project / 'runs' / options.model / str(seen)}", MOST)
    check_features_seen(project, extractor, seen)
    catalogue = project.catalogue
    files = find_photo_files(project, options.images).files[: catalogue.train.height]
    features = [features_of(file, None, extractor, MOST, False, "missing").features for file in files]
    labels, folds, species = catalogue.labels, catalogue.folds, catalogue.train["species"].to_numpy()
    gallery = folds != options.fold
    queries = np.flatnonzero(~gallery & (gallery_photos(labels, folds) > 0))
    owner = owners([str(label) for label in labels[queries]])
    print(
        f"{len(queries)} photos of {owner.max() + 1} individuals; {np.mean([len(f) for f in features]):.0f} positions"
    )
    for count in options.keypoints:
        values = {
            how: np.mean(
                [
                    precisions(features, labels, species, queries, gallery, how, count, seed)
                    for seed in range(1 if how == "attention" else DIES)
                ],
                axis=0,
            )
            for how in ("attention", "chance", "sizes")
        }
        print(f"{count} features: MAP@5", {how: round(float(each.mean()), 4) for how, each in values.items()})
        for how in ("chance", "sizes"):
            difference = values["attention"] - values[how]
            low, high = middle(drawn_means(difference, owner))
            print(f"  attention - {how}: {difference.mean():+.4f} (95 % {low:+.4f} to {high:+.4f})")


if __name__ == "__main__":
    main()
