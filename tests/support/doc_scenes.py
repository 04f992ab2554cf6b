"""Scratch folders that the blocks of a page begin in, named by its comment `<!-- scene: NAME -->`; all are small."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
from records import example, write_shard
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


def exchange(folder: Path) -> dict[str, Any]:
    """The same, with decisions, and a table of when and where photos were taken, of whom how large."""
    names = tuned(folder)
    _run("decide", folder / "P", "-o", folder / "decisions.csv", "--precision", "0.5")
    images = names["train_images"] + names["test_images"]
    at = pl.int_range(pl.len())
    table = pl.DataFrame({"image": images}).with_columns(
        encounter=pl.format("2021-{}", at // 6),
        date=pl.format("2021-0{}-1{}T09:30:00Z", at // 18 + 5, at // 6 % 3),
        latitude=44.5 + (at // 24) / 8,
        longitude=-66.25 - (at // 24) / 8,
        location=pl.format("Station {}", at // 24),
        bbox=pl.format("[{}, 300, 420, 240]", 10 * (at % 9)),
        width=pl.lit(1200),
        height=pl.lit(800),
    )
    table.write_csv(folder / "field.csv")
    return names


def adapter(folder: Path) -> dict[str, Any]:
    """A project P and its photos."""
    small = Small(folder)
    _run("init", folder / "P", "--train", small.train_csv, "--test", small.sample_csv)
    _photos(folder / "photos", small.train_images + small.test_images)
    return {}


def containers(folder: Path) -> dict[str, Any]:
    """Photos in TFRecords with names, individuals and boxes, and the same in an archive; a project P of the tables."""
    adapter(folder)
    small, photos = Small(folder), folder / "photos"
    rows = [
        {"image": (photos / image).read_bytes(), "image_name": image, "target": int(individual[2:]), "species": species}
        for image, individual, species in zip(small.train_images, small.individuals, small.species, strict=True)
    ]
    for shard in range(4):
        records = [example(row | {"detic_box": [4, 4, 90, 60]}) for row in rows[shard * 15 : shard * 15 + 15]]
        write_shard(folder / "records" / f"train{shard:02d}-15.tfrec", records, "gzip" if shard == 3 else "")
    tests = [example({"image": (photos / image).read_bytes(), "image_name": image}) for image in small.test_images]
    write_shard(folder / "records" / "test00-12.tfrec", tests)
    renamed = [{"jpg": row["image"], "thumbnail": row["image"], "key": row["image_name"]} for row in rows]
    write_shard(folder / "other" / "all.tfrec", [example(row) for row in renamed])
    cut = (folder / "records" / "test00-12.tfrec").read_bytes()[:-100]
    (folder / "other" / "cut.tfrec").write_bytes(cut)
    with zipfile.ZipFile(folder / "happy-whale.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for image in small.train_images + small.test_images:
            archive.write(photos / image, f"{'train' if image.startswith('tr') else 'test'}_images/{image}")
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


def kaggle(folder: Path) -> dict[str, Any]:
    """The same competition at a stand-in for Kaggle, and embeddings of two networks; nothing is downloaded yet.

    The stand-in serves, and is what Kaggle's client asks, until this process ends.
    """
    from kaggle_stand_in import COMPETITION, TOKEN, Kaggle, kaggle_server
    from kagglesdk import kaggle_env

    small = Small(folder / "competition")
    _photos(folder / "competition" / "train_images", small.train_images[:2])
    archive = shutil.make_archive(str(folder / COMPETITION), "zip", folder / "competition")
    served = Kaggle(files={f"{COMPETITION}.zip": Path(archive).read_bytes()})
    served.files |= {path.name: path.read_bytes() for path in (small.train_csv, small.sample_csv)}
    Path(archive).unlink()
    for seed, name in enumerate(("b7", "convnext")):
        small.write_npz(f"{name}.npz", *small.noisy(seed, 1.5)).rename(folder / f"{name}.npz")
    shutil.rmtree(folder / "competition")
    _KEPT.enter_context(kaggle_server(served))
    os.environ |= {"KAGGLE_API_ENVIRONMENT": "TEST", "KAGGLE_API_TOKEN": TOKEN}
    kaggle_env._env_to_endpoint[kaggle_env.KaggleEnv.TEST] = served.address
    return {}


# what scenes leave running
_KEPT = contextlib.ExitStack()
atexit.register(_KEPT.close)


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
    made.__name__: made
    for made in (files, registered, pairs, tuned, exchange, adapter, containers, demo, happywhale, kaggle, wildlife)
}


def scratch(scene: str, folder: Path) -> dict[str, Any]:
    """Prepare a scene in an empty folder; what python blocks find defined."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return SCENES[scene](folder)
