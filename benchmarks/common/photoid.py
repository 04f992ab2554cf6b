"""A small real catalogue whose embeddings come in six layouts: the project that an ordinary user makes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

import ensemble
from backbones.formats import read_embeddings

# per model: embeddings of train and test, names of train and test where the files hold none
LAYOUTS: dict[str, tuple[str, str, str | None, str | None]] = {
    "lite0": ("lite0.npz", "lite0.npz", None, None),
    "augnet": ("augnet_train_results.npz", "augnet_test_results.npz", None, None),
    "mobilenetv2": (
        "mobilenetv2_train_*.npy",
        "mobilenetv2_test_*.npy",
        "mobilenetv2_train_names.txt",
        "mobilenetv2_test_names.txt",
    ),
    "thinresnet": ("thinresnet_train.parquet", "thinresnet_test.parquet", None, None),
    "osnet": ("osnet_train.csv", "osnet_test.csv", None, None),
    "lite2": (
        "lite2.safetensors:train",
        "lite2.safetensors:test",
        "lite2_names.json:train",
        "lite2_names.json:test",
    ),
}


def photoid_project(data: Path, folder: Path) -> Path:
    """Make the project, with its encounters, unless it is there."""
    if folder.exists():
        return folder
    ensemble.init(
        folder,
        train=data / "train.csv",
        test=data / "sample_submission.csv",
        folds=5,
        encounters=f"{data / 'encounters.csv'}:encounter",
    )
    made = data / "embeddings"
    for name, parts in LAYOUTS.items():
        train, test, train_names, test_names = (part and str(made / part) for part in parts)
        ensemble.register(
            folder, name, frozen=True, train=train, test=test, train_names=train_names, test_names=test_names
        )
    return folder


def photoid_frame(data: Path, folder: Path, seed: int = 0) -> tuple[Path, dict[str, str]]:
    """Its labelled photos as a frame of wildlife-datasets with splits, and a file of features a model.

    The splits are those of `wildlife_datasets.splits` in kind: `open` (individuals with a tenth of the photos are in
    test alone, of the others' photos a fifth is), `encounters` (the same with whole encounters, which stand in for the
    dates that are not there) and `disjoint` (half the photos; no individual is in both parts).
    """
    encounters = pl.read_csv(data / "encounters.csv", infer_schema=False)
    table = pl.read_csv(data / "train.csv", infer_schema=False).join(encounters, on="image", how="left")
    table = table.select(
        pl.int_range(pl.len()).alias("image_id"),
        pl.col("individual_id").alias("identity"),
        pl.col("image").alias("path"),
        "species",
        encounter=pl.coalesce("encounter", pl.lit("photo ") + pl.col("image")),
    )
    rng = np.random.default_rng(seed)
    identity, paths = table["identity"].to_numpy(), table["path"].to_list()
    alone = _individuals_with(identity, 0.1, rng)
    table = table.with_columns(
        open=_parted(identity, np.array(paths, dtype=object), alone, rng),
        encounters=_parted(identity, table["encounter"].to_numpy(), alone, rng),
        disjoint=_named(np.isin(identity, _individuals_with(identity, 0.5, rng))),
    )
    table.write_csv(folder / "frame.csv")
    files = {}
    for model, (train, _, names, _) in LAYOUTS.items():
        made = data / "embeddings"
        read = read_embeddings(made / train, "train", names and made / names)
        files[model] = str(folder / f"{model}.npz")
        images = paths if read.images is None else read.images
        np.savez(files[model], features=next(iter(read.views.values())), path=np.array(images, dtype="U"))
    return folder / "frame.csv", files


def _individuals_with(identity: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Individuals in a drawn order, as many as have that share of the photos."""
    names = rng.permutation(np.unique(identity))
    photos = np.cumsum([(identity == name).sum() for name in names])
    return names[: int(np.searchsorted(photos, share * len(identity))) + 1]


def _parted(identity: np.ndarray, unit: np.ndarray, alone: np.ndarray, rng: np.random.Generator) -> pl.Series:
    """A fifth of each individual's units (photos, encounters) to test, and all of those who are in test alone."""
    test = np.isin(identity, alone)
    for name in np.unique(identity[~test]):
        mine = rng.permutation(np.unique(unit[identity == name]))
        # a fifth in the mean; the last one always stays
        kept = max(1, int(np.floor(0.8 * len(mine) + rng.random())))
        test |= (identity == name) & np.isin(unit, mine[kept:])
    return _named(test)


def _named(test: np.ndarray) -> pl.Series:
    return pl.Series(np.where(test, "test", "train"))
