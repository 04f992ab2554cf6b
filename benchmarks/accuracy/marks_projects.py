"""Projects that marks are measured on: a copy, one with a pair source of noise, a test with answers."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl

import ensemble
from backbones.pair_store import Pairs, write_pair_store
from cv.catalogue import NEW_INDIVIDUAL
from ensemble.registry.pair_sources import is_leak

HELD_OUT = 0.25


def copy_of(project: Path, folder: Path) -> Path:
    """The project without local features, finished parts of a matching and an earlier study."""
    shutil.copytree(project, folder, ignore=shutil.ignore_patterns("features", "match", "study.journal", "blend.json"))
    return folder


def scores_of_pairs(project: ensemble.Project) -> list[tuple[np.ndarray, np.ndarray]]:
    """(n, n) and (m, n) scores of each pair source and of its second numbers; 0 where it has none."""
    n_gallery = len(project.catalogue.labels)
    shapes = {"train": (n_gallery, n_gallery), "test": (project.catalogue.test.height, n_gallery)}
    out = []
    for store in project.pair_stores().values():
        for column in ("score", "second"):
            both = []
            for split, shape in shapes.items():
                pairs = store.pairs(split)
                score, values = np.zeros(shape), getattr(pairs, column)
                if values is not None:
                    score[pairs.query, pairs.gallery] = np.nan_to_num(values)
                both.append(score)
            if any(score.any() for score in both):
                out.append((both[0], both[1]))
    return out


def drawn_noise(project: ensemble.Project, name: str, seed: int) -> None:
    """Put a pair source of noise in place of the project's: as many pairs a query, photos and numbers drawn."""
    rng = np.random.default_rng(seed)
    stores = project.pair_stores()
    store = next(iter(stores.values()))
    catalogue = project.catalogue
    splits = {}
    for split in ("train", "test"):
        real = store.pairs(split)
        rows, counts = np.unique(real.query, return_counts=True)
        query, gallery = [], []
        for row, count in zip(rows.tolist(), counts.tolist(), strict=True):
            photos = np.arange(len(catalogue.labels))
            if split == "train":
                photos = photos[~is_leak(catalogue, np.full(len(photos), row), photos)]
            gallery.append(np.sort(rng.permutation(photos)[:count]))
            query.append(np.full(len(gallery[-1]), row))
        query, gallery = np.concatenate(query).astype(np.int32), np.concatenate(gallery).astype(np.int32)
        drawn = rng.integers(0, len(real), len(query))
        second = None if real.second is None else np.array(real.second)[drawn]
        splits[split] = Pairs(query=query, gallery=gallery, score=np.array(real.score)[drawn], second=second)
    for other in stores:
        shutil.rmtree(project.pair_folder(other))
    made = {"how": "drawn", "seed": seed}
    write_pair_store(project.pair_folder(name), name, splits, photos_sha256=project.photos_hash, made=made)


def rehearsal(project: ensemble.Project, folder: Path, share: float, seed: int) -> tuple[Path, list[str]]:
    """A project whose test is a quarter of another's train photos, and the answers.

    Photos are drawn one by one, so that photos of one sighting are in both parts, as in a test that was split that way.
    Individuals are drawn whose other photos are left out until strangers have their share.
    """
    catalogue = project.catalogue
    rng = np.random.default_rng(seed)
    labels, n = catalogue.labels, len(catalogue.labels)
    is_test = np.zeros(n, dtype=bool)
    is_test[rng.permutation(n)[: round(HELD_OUT * n)]] = True
    is_known = np.zeros(labels.max() + 1, dtype=bool)
    is_known[labels[~is_test]] = True
    for who in rng.permutation(len(is_known)):
        if (~is_known[labels[is_test]]).mean() >= share:
            break
        is_known[who] = False
    train, test = np.flatnonzero(~is_test & is_known[labels]), np.flatnonzero(is_test)
    folder.parent.mkdir(parents=True, exist_ok=True)
    images, photos = np.array(catalogue.train_images), catalogue.train
    names = np.array(catalogue.individuals)[labels]
    species = np.array(catalogue.species)[catalogue.species_of_individual[labels]]
    tables = {"train": folder.parent / "train.csv", "test": folder.parent / "test.csv"}
    pl.DataFrame({"image": images[train], "species": species[train], "individual_id": names[train]}).write_csv(
        tables["train"]
    )
    pl.DataFrame({"image": images[test], "predictions": [NEW_INDIVIDUAL] * len(test)}).write_csv(tables["test"])
    encounters = folder.parent / "encounters.csv"
    known = catalogue.encounters >= 0
    pl.DataFrame({"image": images[known], "encounter": catalogue.encounters[known].astype(str)}).write_csv(encounters)
    assert photos.height == n
    given = f"{encounters}:encounter" if known.any() else None
    ensemble.init(folder, train=tables["train"], test=tables["test"], folds=5, encounters=given)
    for name, kinds in project.stores().items():
        embedding = np.asarray(kinds["frozen"].embedding("train", "orig"))
        path = folder.parent / f"{name}.npz"
        np.savez(
            path,
            **{"train_image": images[train], "train_embedding": embedding[train]},
            **{"test_image": images[test], "test_embedding": embedding[test]},
        )
        ensemble.register(folder, name, frozen=True, train=path, test=path)
    answers = dict(
        zip(images[test].tolist(), np.where(is_known[labels[test]], names[test], NEW_INDIVIDUAL), strict=True)
    )
    return folder, [str(answers[image]) for image in ensemble.Project.open(folder).catalogue.test_images]
