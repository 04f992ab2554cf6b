"""Projects with a blend to export, and what their blends think of every pair of photos, by plain products."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from ensemble import Blend, Project, init, register
from ensemble.outputs.export import blend_spaces
from ensemble.outputs.vectors.blend_space import BlendSpace
from postproc.transforms.whitening import fit_whitening

GALLERY, QUERIES = 240, 15
# gallery photos that are other photos' copies: nobody can tell which of two is closer
COPIES = {150: 3, 151: 3, 239: 40}


def frozen_world(folder: Path) -> Path:
    """Two frozen networks, one of them whitened; encounters; some photos are there twice."""
    rng = np.random.default_rng(5)
    who = np.arange(GALLERY) % 60
    look = rng.standard_normal((60, 12))
    asked = rng.integers(0, 60, QUERIES)
    images = [f"tr{i:03d}.jpg" for i in range(GALLERY)], [f"te{i:03d}.jpg" for i in range(QUERIES)]
    table = {"image": images[0], "individual_id": [f"id{i:02d}" for i in who]}
    table["species"] = ["beluga" if i % 2 else "fin_whale" for i in who]
    table["encounter"] = [None if i % 7 == 0 else f"e{i}" for i in range(GALLERY)]
    init(folder / "P", train=pl.DataFrame(table), test=pl.DataFrame({"image": images[1]}), encounters="encounter")
    for name, width in (("one", 20), ("two", 32)):
        mixing = rng.standard_normal((12, width))
        train, test = ((look[a] + 0.8 * rng.standard_normal((len(a), 12))) @ mixing for a in (who, asked))
        train[list(COPIES)] = train[list(COPIES.values())]
        halves = {"train": (images[0], train.astype(np.float32)), "test": (images[1], test.astype(np.float32))}
        register(folder / "P", name, frozen=True, **halves)
    Blend({"one": 0.35, "two": 0.65}, {"two": "total"}, species_penalty=0.5).save(folder / "P" / "blend.json")
    return folder / "P"


def fold_world(folder: Path) -> Path:
    """A network trained for each of two folds, with two views, and a frozen one with a view."""
    rng = np.random.default_rng(6)
    who = np.arange(130) % 20
    look, asked = rng.standard_normal((20, 8)), rng.integers(0, 20, 4)
    images = [f"tr{i:03d}.jpg" for i in range(130)], [f"te{i:03d}.jpg" for i in range(4)]
    table = {"image": images[0], "individual_id": [f"id{i:02d}" for i in who], "species": ["orca"] * 130}
    init(folder / "P", train=pl.DataFrame(table), test=pl.DataFrame({"image": images[1]}), folds=2)

    def seen(width: int) -> list[np.ndarray]:
        mixing = rng.standard_normal((8, width))
        noisy = (look[a] + 0.7 * rng.standard_normal((len(a), 8)) for a in (who, asked))
        return [(array @ mixing).astype(np.float32) for array in noisy]

    for fold in range(2):
        both = zip(*(seen(10) for _ in range(2)), strict=True)
        halves = [(names, {"orig": a, "hflip": b}) for names, (a, b) in zip(images, both, strict=True)]
        register(folder / "P", "trained", fold=fold, train=halves[0], test=halves[1])
    train, test = seen(6)
    register(folder / "P", "frozen", frozen=True, train=(images[0], train), test=(images[1], test))
    Blend({"trained": 0.7, "frozen": 0.3}, {"trained": "total"}).save(folder / "P" / "blend.json")
    return folder / "P"


def spaces_of(folder: Path, **changes: object) -> list[BlendSpace]:
    """The spaces of a project's blend."""
    project = Project.open(folder)
    spaces = blend_spaces(project, Blend.load(folder / "blend.json"))
    return [replace(space, **changes) for space in spaces]


def blended(space: BlendSpace, query_view: str, gallery_view: str) -> np.ndarray:
    """(queries, gallery) float64 weighted mean of the models' cosines: a product of all with all, model by model."""
    total: np.ndarray | float = 0.0
    for name, model in space.models.items():
        store = model.frozen or model.folds[space.fold or 0]
        views = {view: (view if view in model.views else model.views[0]) for view in (query_view, gallery_view)}
        query, gallery = store.embedding("test", views[query_view]), store.embedding("train", views[gallery_view])
        if (kind := space.whitening.get(name, "none")) != "none":
            labels = space.catalogue.labels
            every = [store.embedding("train", view) for view in model.views]
            fitted = fit_whitening(every, labels, np.arange(len(labels)), kind)
            query, gallery = fitted.apply(query), fitted.apply(gallery)
        unit = [a / np.linalg.norm(a, axis=1, keepdims=True) for a in (query.astype(float), gallery.astype(float))]
        total = total + space.weights[name] * (unit[0] @ unit[1].T)
    return np.asarray(total)


def same_ranking(found: list[str], similarity: np.ndarray, images: list[str], k: int = 100) -> bool:
    """Whether these are the first k of all photos by similarity.

    At every place stands the photo that belongs there, or one that is as similar to within what float32 can tell of a
    sum: photos that a vector cannot keep apart may stand in any order.
    """
    place = {image: i for i, image in enumerate(images)}
    said = similarity[[place[image] for image in found]]
    return len(set(found)) == k and bool(np.allclose(said, np.sort(similarity)[::-1][:k], rtol=0, atol=1e-6))
