"""Projects that several test files build: models of a small catalogue, and worlds in which the truth is planted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from small import Small

import ensemble.retrieval.task
import postproc.evidence.species
from cv.files import sha256_of
from cv.pseudo_labels import PseudoLabels, write_pseudo_labels
from ensemble import Blend, Project, init, register, tune
from postproc import Decision
from postproc.ranking.scorer import BlendScore

FOLDS = range(5)
EVERYTHING = 1000  # more neighbours than any gallery here has photos


Score = Callable[[dict[str, float]], float]


class Told:
    """An evaluation set whose scores are told by a function of the weights; a fifth of its photos are strangers."""

    new_share = 0.2

    def __init__(self, score: Score) -> None:
        self._score = score
        self.asked: list[Blend] = []

    def score(self, blend: Blend) -> BlendScore:
        """The same over the candidates and over the whole gallery."""
        self.asked.append(blend)
        map5 = self._score(blend.weights)
        return BlendScore(
            map5=map5,
            lower=map5,
            upper=map5,
            undecided=0.0,
            decision=Decision("A", 0.0),
            precision=np.full(5, map5),
            precision_lower=np.full(5, map5),
            precision_upper=np.full(5, map5),
        )


def add(
    project: Path,
    small: Small,
    name: str,
    seed: int,
    noise: float = 2.0,
    views: Sequence[str] = ("orig",),
    width: int = 24,
    replace: bool = False,
    **seen: Any,
) -> None:
    """Register a network of the small catalogue; frozen unless `seen` says otherwise."""
    spaces = [small.noisy(100 * seed + n, noise) for n in range(len(views))]
    train, test = (
        {view: space[split][:, :width] for view, space in zip(views, spaces, strict=True)} for split in (0, 1)
    )
    given = {"train": (small.train_images, train), "test": (small.test_images, test)}
    register(project, name, replace=replace, **(seen or {"frozen": True}), **given)


def add_trained(project: Path, small: Small, name: str, seed: int, **options: Any) -> None:
    """Register one network a fold, each with a space of its own."""
    for fold in FOLDS:
        add(project, small, name, seed + fold, fold=fold, **options)


def few_candidates(patch: pytest.MonkeyPatch, nearest: int = 2) -> None:
    """Let evidence hold the `nearest` photos of each search only; as many vote on species, whatever the number."""
    patch.setattr(ensemble.retrieval.task, "NEAREST", nearest)
    patch.setattr(ensemble.retrieval.task, "NEAREST_FUSED", nearest)
    patch.setattr(postproc.evidence.species, "VOTERS", 2)


def species_world(
    folder: Path, sees: Mapping[str, Collection[str]], individuals: Mapping[str, int], photos: int = 4, seed: int = 0
) -> Path:
    """A project in which every model tells all species apart, but animals only of the species that it `sees`."""
    rng = np.random.default_rng(seed)
    kinds = [kind for kind, n in individuals.items() for _ in range(n)]
    # some more animals with one photo each: the strangers
    kinds += [kind for kind in individuals for _ in range(5)]
    who = np.repeat(np.arange(len(kinds)), [photos] * sum(individuals.values()) + [1] * 5 * len(individuals))
    species = np.array(kinds)[who]
    # one test photo of every animal
    shown, names = np.append(who, np.arange(len(kinds))), [f"t{i:04d}.jpg" for i in range(len(who) + len(kinds))]
    images, test = names[: len(who)], names[len(who) :]
    folder.mkdir(parents=True)
    table = {"image": images, "species": species, "individual_id": [f"i{w:03d}" for w in who]}
    pl.DataFrame(table).write_csv(folder / "train.csv")
    pl.DataFrame({"image": test}).write_csv(folder / "test.csv")
    init(folder / "P", train=folder / "train.csv", test=folder / "test.csv")
    centre = {kind: 3 * rng.standard_normal(12) for kind in individuals}
    look = rng.standard_normal((len(kinds), 12))
    for model, seen in sees.items():
        visible = np.isin(np.array(kinds)[shown], list(seen))[:, None]
        noise = rng.standard_normal((len(shown), 12)) * np.where(visible, 0.7, 1.5)
        array = np.stack([centre[kinds[one]] for one in shown]) + visible * look[shown] + noise
        train, test_array = np.split(array.astype(np.float32), [len(who)])
        register(folder / "P", model, frozen=True, train=(images, train), test=(test, test_array))
    return folder / "P"


def pods(folder: Path, spread: float) -> tuple[Path, list[str]]:
    """A catalogue of 220 individuals in pods with 1 to 6 photos; photos differ in quality."""
    rng = np.random.default_rng(5)
    people = np.repeat(np.arange(220), rng.integers(1, 7, 220))
    asked = np.append(rng.choice(people, 215), np.arange(220, 255))
    # pods: whose photos resemble many others' is worth knowing
    look = 0.7 * rng.standard_normal((255, 24)) + rng.standard_normal((12, 24))[rng.integers(0, 12, 255) ** 2 // 12]
    models = {}
    quality = [np.exp(spread * rng.standard_normal((len(who), 1))) for who in (people, asked)]
    shared = [
        look[who] + 0.35 * q * rng.standard_normal((len(who), 24))
        for who, q in zip((people, asked), quality, strict=True)
    ]
    for name in ("a", "b"):
        models[name] = [
            np.tanh(s + 0.6 * q * rng.standard_normal(s.shape)) for s, q in zip(shared, quality, strict=True)
        ]
    train = [f"tr{n}.jpg" for n in range(len(people))]
    test = [f"te{n}.jpg" for n in range(len(asked))]
    pl.DataFrame({"image": train, "individual_id": [f"id{p}" for p in people]}).write_csv(folder / "train.csv")
    pl.DataFrame({"image": test}).write_csv(folder / "test.csv")
    init(folder / "P", train=folder / "train.csv", test=folder / "test.csv", folds=4)
    for name, (mine, theirs) in models.items():
        register(folder / "P", name, frozen=True, train=(train, mine), test=(test, theirs))
    return folder / "P", [f"id{p}" if p < 220 else "new_individual" for p in asked]


def sets_by_hand(project: Path, path: Path, who: Callable[[str, int], dict[int, str]]) -> Path:
    """Sets as `pseudo` writes them, of test rows and names that a function of (set, its number) tells."""
    opened = Project.open(project)
    images, hashes = opened.catalogue.test["image"], {}
    for n, seen in enumerate([*(f"fold-{k}" for k in FOLDS), "full"]):
        named = who(seen, n)
        frame = pl.DataFrame(
            {
                "image": [images[row] for row in named],
                "individual_id": list(named.values()),
                "conf": [0.9] * len(named),
                "why": [f"said for {seen}"] * len(named),
            }
        )
        own = path if seen == "full" else path.with_name(f"{path.stem}-{seen}.csv")
        made: dict[str, Any] = {"rule": "by hand", "threshold": 0.5, "folds": hashes} if seen == "full" else {}
        write_pseudo_labels(own, PseudoLabels(frame, seen, opened.photos_hash, made))
        hashes[seen] = sha256_of(own)
    return path


def tuned_pair(folder: Path) -> Path:
    """A tuned project of the small catalogue with one frozen model and one that was trained per fold."""
    small = Small(folder / "data")
    init(folder / "P", train=small.train_csv, test=small.sample_csv)
    add(folder / "P", small, "frozen", 1, noise=1.0)
    add_trained(folder / "P", small, "trained", 10, noise=1.0)
    tune(folder / "P", trials=0, new_share=0.15, nested_trials=0)
    return folder / "P"


def plain(seen: str, n: int) -> dict[int, str]:
    """Each set names the test photos from its own number on; the first of set n is a mistake of its own."""
    return {row: f"id{(row + (row == n)) % 6:02d}" for row in range(n, 10)}
