"""Scratch folders that the blocks of a page begin in, named by its comment `<!-- scene: NAME -->`; all are small."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
from small import Small

from ensemble.cli import main

TRIALS = ["--trials", "3", "--nested-trials", "0"]


def _photos(folder: Path, names: list[str], who: list[int] | None = None) -> None:
    """A photo for each name: blocks of colour, drawn from the name's place; with marks of whoever is on it."""
    from PIL import Image

    folder.mkdir(parents=True)
    for place, name in enumerate(names):
        rng = np.random.default_rng(place)
        photo = np.kron(rng.integers(0, 255, (4, 6, 3), dtype=np.uint8), np.ones((16, 16, 1), dtype=np.uint8))
        if who is not None:
            marks = np.random.default_rng([who[place], 5]).integers(0, 255, (16, 22), dtype=np.uint8)
            y, x = rng.integers(0, 9, 2)
            photo[y : y + 48, x : x + 66] = np.kron(marks, np.ones((3, 3), dtype=np.uint8))[..., None]
        Image.fromarray(photo).save(folder / name)


def files(folder: Path) -> dict[str, Any]:
    """Tables, three models' embeddings (one per fold, one with a row missing), nothing made of them yet."""
    small = Small(folder)
    small.write_npz("convnext.npz", *small.noisy(2, 1.0))
    train, _ = small.noisy(3)
    np.savez(folder / "one_missing.npz", train_image=np.array(small.train_images[:-1]), train_embedding=train[:-1])
    folds = pl.read_csv(small.train_csv).select("image").with_columns(fold=pl.int_range(pl.len()) % 5)
    folds.write_csv(folder / "folds.csv")
    for fold in range(5):
        small.write_npz(f"b7_fold{fold}.npz", *small.noisy(10 + fold))
    arrays = dict(zip(("train_array", "test_array"), small.noisy(1, 0.8), strict=True))
    return {"train_images": small.train_images, "test_images": small.test_images, **arrays}


def registered(folder: Path) -> dict[str, Any]:
    """A project P with two frozen models, and shares by species."""
    names = files(folder)
    small = Small(folder)
    small.write_npz("lite0.npz", *small.noisy(1, 0.8))
    _run("init", folder / "P", "--train", small.train_csv, "--test", small.sample_csv)
    (folder / "shares.csv").write_text("species,new_share\nbeluga,0.007\n*,0.1\n")
    for model in ("lite0", "convnext"):
        path = folder / f"{model}.npz"
        _run("register", folder / "P", model, "--frozen", "--train", path, "--test", path)
    return names


def pairs(folder: Path) -> dict[str, Any]:
    """The same, and scores of pairs: a list of those that may be compared, one with others, and a square matrix."""
    from ensemble import Project
    from ensemble.registry.pair_sources import is_leak

    names, small = registered(folder), Small(folder)
    images = small.train_images + small.test_images
    vectors = np.concatenate([small.train, small.test])
    similarity = np.round(vectors @ vectors.T, 3)
    catalogue = Project.open(folder / "P").catalogue
    query, gallery = (each.ravel() for each in np.mgrid[: len(images), : len(small.train_images)])
    allowed = query >= len(small.train_images)
    allowed[~allowed] = ~is_leak(catalogue, query[~allowed], gallery[~allowed])
    all_names = np.array(images)
    for name, keep in (("loftr", allowed), ("within_folds", allowed | (query == gallery))):
        q, g = query[keep], gallery[keep]
        table = {"query": all_names[q], "gallery": all_names[g], "score": similarity[q, g]}
        pl.DataFrame(table).write_csv(folder / f"{name}.csv")
    return {**names, "names": images, "similarity": similarity}


def tuned(folder: Path) -> dict[str, Any]:
    """The same, tuned."""
    names = registered(folder)
    _run("tune", folder / "P", *TRIALS, "--new-share", "0.112")
    return names


def adapter(folder: Path) -> dict[str, Any]:
    """A project P and its photos."""
    small = Small(folder)
    _run("init", folder / "P", "--train", small.train_csv, "--test", small.sample_csv)
    _photos(folder / "photos", small.train_images + small.test_images)
    return {}


def demo(folder: Path) -> dict[str, Any]:
    """What `finblend demo` leaves for the tutorial: a catalogue with sightings, photos and answers."""
    small = Small(folder / "data")
    table = pl.read_csv(small.train_csv).with_columns(encounter=pl.format("e{}", pl.int_range(pl.len()) // 2))
    table.write_csv(small.train_csv)
    people = [f"id{i:02d}" for i in range(14)] + ["new_individual"]
    answers = [people[i] for i in small.answers]
    pl.DataFrame({"image": small.test_images, "answer": answers}).write_csv(folder / "data" / "answers.csv")
    who = [int(name.removeprefix("id")) for name in table["individual_id"]]
    strangers = range(100, 100 + len(small.answers))
    who += [one if one < 14 else stranger for one, stranger in zip(small.answers, strangers, strict=True)]
    _photos(folder / "data" / "photos", small.train_images + small.test_images, who)
    return {}


def happywhale(folder: Path) -> dict[str, Any]:
    """The competition's files, with few rows: species as they are misspelt there, photos in two folders."""
    small = Small(folder)
    # the four spellings that are repaired
    spelt = ["bottlenose_dolpin", "globis", "kiler_whale", "pilot_whale"]
    who = pl.col("individual_id").str.slice(2).cast(pl.Int32) % len(spelt)
    species = who.replace_strict(list(range(len(spelt))), spelt, return_dtype=pl.String)
    pl.read_csv(small.train_csv).with_columns(species=species).write_csv(small.train_csv)
    _photos(folder / "train_images", small.train_images)
    _photos(folder / "test_images", small.test_images)
    for fold in range(5):
        small.write_npz(f"b7_fold{fold}.npz", *small.noisy(10 + fold))
    train, test = small.noisy(5, 0.8)
    for split, names, array in (("train", small.train_images, train), ("test", small.test_images, test)):
        order = np.random.default_rng(0).permutation(len(names))
        both = {f"embed_features{i}": array[order] for i in (1, 2)}
        np.savez(folder / f"convnext_{split}_results.npz", original_index=order, **both)
    return {}


def wildlife(folder: Path) -> dict[str, Any]:
    """A frame of wildlife-datasets with a split, its photos with boxes, and what wildlife-tools computed of them."""
    import pandas as pd

    small = Small(folder)
    images = small.train_images + small.test_images
    answers = [f"id{i:02d}" for i in small.answers]
    frame = pd.DataFrame(
        {
            "image_id": range(len(images)),
            "identity": small.individuals + answers,
            "path": images,
            "date": pd.Timestamp("2021-05-01"),
            "species": [*small.species, *(["beluga"] * len(answers))],
            "orientation": "left",
            "bbox": [[8.0, 8.0, 60.0, 40.0]] * len(images),
            "split": ["train"] * len(small.train_images) + ["test"] * len(answers),
        }
    )
    frame.to_csv(folder / "frame.csv", index=False)
    _photos(folder / "photos", images)
    order = np.random.default_rng(0).permutation(len(images))
    features = np.concatenate(small.noisy(1, 0.8))[order]
    return {"dataset": SimpleNamespace(features=features, metadata=frame.iloc[order])}


def _run(*arguments: object) -> None:
    assert main([str(argument) for argument in arguments]) == 0


SCENES: dict[str, Callable[[Path], dict[str, Any]]] = {
    made.__name__: made for made in (files, registered, pairs, tuned, adapter, demo, happywhale, wildlife)
}


def scratch(scene: str, folder: Path) -> dict[str, Any]:
    """Prepare a scene in an empty folder; what python blocks find defined."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return SCENES[scene](folder)
