"""Scenes that the tests of the blend engine share: evidence at random, galleries of embeddings, a slow literal rank."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numba
import numpy as np
import pytest

from postproc import NEW, NOBODY, Decision, Evidence, Gallery, Neighbours, Ranking, Space, build_evidence, decide, top_k
from postproc.ranking.rank import Species
from postproc.ranking.ranking import DEPTH

N_PEOPLE = 12
N_SPECIES = 3
# (sources, views) to columns: one source alone; two with a view each; two of which the second has one view;
# three with two views, of which the last shares a column between views
CHANNELS = [[[0]], [[0], [1]], [[0, 1], [2, 2]], [[0, 1], [2, 3], [4, 4]]]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Arrays of a few numbers: where imported, no time is lost on starting threads."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


def sixteenths(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Numbers in [-1, 1] so coarse that ties abound and sums are exact."""
    return np.asarray(rng.integers(-16, 17, shape) / 16, dtype=np.float32)


def random_evidence(
    rng: np.random.Generator,
    channels: Sequence[Sequence[int]],
    n: int,
    *,
    people: int = N_PEOPLE,
    photos: int = 4,
    unseen: int = 2,
    searched_species: bool = False,
    agreement: float = 0.0,
) -> Evidence:
    """Evidence of n queries with 0 .. `people` candidates of 1 .. `photos` photos each, and up to `unseen` unseen.

    With agreement, sources see much the same.
    """
    columns = max(max(row) for row in channels) + 1
    drawn = [np.sort(rng.choice(people, rng.integers(0, people + 1), replace=False)) for _ in range(n)]
    individual = np.concatenate([*drawn, []]).astype(np.int32)
    count = rng.integers(1, photos + 1, len(individual))
    unseen_upper_bound = sixteenths(rng, n, columns)
    common, own = sixteenths(rng, count.sum(), 1), sixteenths(rng, count.sum(), columns)
    similarity = np.round(16 * (agreement * common + (1 - agreement) * own)) / 16
    return Evidence(
        sources=tuple("abc"[: len(channels)]),
        channels=np.array(channels, dtype=np.int32),
        group_start=np.append(0, np.cumsum([len(p) for p in drawn])).astype(np.int64),
        individual=individual,
        gallery_photos=(count + rng.integers(0, unseen + 1, len(individual))).astype(np.int32),
        photo_start=np.append(0, np.cumsum(count)).astype(np.int64),
        photo=rng.permutation(count.sum()).astype(np.int32),
        similarity=similarity.astype(np.float32),
        unseen_upper_bound=unseen_upper_bound,
        species_upper_bound=np.minimum(unseen_upper_bound, sixteenths(rng, n, columns)) if searched_species else None,
    )


def random_species(rng: np.random.Generator, n: int, people: int = N_PEOPLE) -> Species:
    """Doubts in quarters, none in the likeliest species."""
    mismatch = (rng.integers(0, 5, (n, N_SPECIES)) / 4).astype(np.float32)
    likely = rng.integers(0, N_SPECIES, n).astype(np.int32)
    mismatch[np.arange(n), likely] = 0.0
    return Species(mismatch, rng.integers(0, N_SPECIES, people).astype(np.int32), likely)


def random_weights(rng: np.random.Generator, sources: int) -> np.ndarray:
    """Eighths that sum to 1: zeros among them, and sometimes all for one source."""
    if rng.random() < 0.2:
        return np.eye(sources)[rng.integers(sources)]
    return np.bincount(rng.integers(0, sources, 8), minlength=sources) / 8


def blended(evidence: Evidence, weights: np.ndarray, view: int, values: np.ndarray) -> float:
    """A photo's score in one query view: the weighted sum over sources."""
    return sum(
        weight * float(values[evidence.channels[s, view]])
        for s, weight in enumerate(weights.tolist())
        if weight > 0  # a source without weight has no say, not even with -inf
    )


def best_photos(evidence: Evidence, weights: np.ndarray, view: int, group: int) -> list[float]:
    """Scores of an individual's photos in one query view, best first."""
    photos = range(evidence.photo_start[group], evidence.photo_start[group + 1])
    return sorted((blended(evidence, weights, view, evidence.similarity[p]) for p in photos), reverse=True)


def slow_scores(
    evidence: Evidence, weights: np.ndarray, q: int, top_photos: int, penalty: float, species: Species
) -> list[tuple[np.float32, int, int]]:
    """(score, individual, group) of every candidate of a query, best first, ties to the smaller label."""
    people = []
    for group in range(evidence.group_start[q], evidence.group_start[q + 1]):
        who = int(evidence.individual[group])
        kind = int(species.of_individual[who])
        per_view = []
        for view in range(evidence.channels.shape[1]):
            wanted = min(top_photos, int(evidence.gallery_photos[group]))
            best = best_photos(evidence, weights, view, group)[:wanted]
            # a photo outside the candidates: the most it can be
            most = min(ceiling(evidence, weights, q, view, kind == species.likely[q]), best[-1])
            best += [most] * (wanted - len(best))
            per_view.append(sum(best) / wanted)
        score = sum(per_view) / len(per_view) - penalty * float(species.mismatch[q, kind])
        people.append((np.float32(score), who, group))
    return sorted(people, key=lambda p: (-p[0], p[1]))


def ceiling(evidence: Evidence, weights: np.ndarray, q: int, view: int, is_likely: bool) -> float:
    """The most that an unseen photo can score."""
    most = blended(evidence, weights, view, evidence.unseen_upper_bound[q])
    if is_likely and evidence.species_upper_bound is not None:
        most = min(most, blended(evidence, weights, view, evidence.species_upper_bound[q]))
    return most


def same_ranking(one: Ranking, other: Ranking) -> bool:
    """Whether two rankings are equal to the bit, the bound included."""
    names = ("individual", "score", "photo", "unseen_upper_bound")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


class Photos:
    """Photos of some individuals in some species, seen by networks, with folds; every photo is query and gallery.

    Parameters
    ----------
    seed : int
    n, people : int
    views : mapping of source to its view names
    parts : int
        How many networks' spaces make up a source.
    noise : float
        How far an individual's photos lie apart.
    twins : int
        How many photos are copies of another one, of whomever, with embeddings of another length.
    """

    def __init__(
        self,
        seed: int,
        n: int,
        people: int,
        views: Mapping[str, Sequence[str]],
        *,
        parts: int = 1,
        noise: float = 1.0,
        twins: int = 0,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.views = {source: list(names) for source, names in views.items()}
        self.labels = rng.integers(0, people, n).astype(np.int32)
        self.folds = rng.permutation(np.arange(n) % 3).astype(np.int32)
        of_individual = rng.integers(0, N_SPECIES, people).astype(np.int32)
        look = rng.standard_normal((people, 5)) + 0.7 * rng.standard_normal((N_SPECIES, 5))[of_individual]
        copied = np.arange(n)
        copied[rng.permutation(n)[:twins]] = rng.integers(0, n, twins)
        length = np.where(copied == np.arange(n), 1.0, rng.uniform(0.5, 2.0, n))[:, None]
        self.spaces = {}
        for source, names in self.views.items():
            embedded: list[Any] = []
            for _ in range(parts):
                mixing = rng.standard_normal((5, 4))
                own = [look[self.labels] + noise * rng.standard_normal((n, 5)) for _ in names]
                embedded.append(tuple((length * view[copied] @ mixing).astype(np.float32) for view in own))
            self.spaces[source] = Space(tuple(embedded), tuple(embedded))
        # mostly right about species
        likely = np.where(rng.random(n) < 0.8, of_individual[self.labels], rng.integers(0, N_SPECIES, n))
        mismatch = (rng.integers(1, 5, (n, N_SPECIES)) / 4).astype(np.float32)
        mismatch[np.arange(n), likely] = 0.0
        self.species = Species(mismatch, of_individual, likely.astype(np.int32))

    @property
    def gallery(self) -> Gallery:
        """Who is on the photos, and their folds."""
        return Gallery(self.labels, self.folds, query_groups=self.folds)

    def nearest(self, rows: np.ndarray, same_species: bool = False) -> dict[str, list[Neighbours]]:
        """All photos of other folds in every source and view, nearest first; perhaps of the likeliest species only."""
        classes: dict[str, Any] = {}
        if same_species:
            of_photo = self.species.of_individual[self.labels]
            classes = {"query_class": self.species.likely, "gallery_class": of_photo}
        n = len(self.labels)
        return {
            source: [
                top_k(space, n, view=v, query_rows=rows, query_group=self.folds, gallery_group=self.folds, **classes)
                for v in range(space.n_views)
            ]
            for source, space in self.spaces.items()
        }

    def species_of(self, rows: np.ndarray) -> Species:
        """What the species rule needs for some rows."""
        return Species(self.species.mismatch[rows], self.species.of_individual, self.species.likely[rows])


class Fold:
    """The photos of one fold as queries; all neighbours are searched once, fewer are their beginning.

    Parameters
    ----------
    photos : Photos
    fold : int
    """

    def __init__(self, photos: Photos, fold: int = 0) -> None:
        self.photos, self.fold = photos, fold
        self.rows = np.flatnonzero(photos.folds == fold)
        self._near, self._same_species = photos.nearest(self.rows), photos.nearest(self.rows, same_species=True)
        self.species = photos.species_of(self.rows)
        known = np.isin(photos.labels[self.rows], photos.labels[photos.folds != fold])
        self.truth = np.where(known, photos.labels[self.rows], NEW).astype(np.int32)
        self.everything = self.evidence(len(photos.labels))

    def evidence(self, k: int, k_species: int = 0, known: Evidence | None = None) -> Evidence:
        """Evidence from each query's k nearest photos, and the `k_species` nearest within its likeliest species."""
        photos = self.photos
        same_species = first(self._same_species, k_species) if k_species else None
        near = first(self._near, k)
        return build_evidence(
            photos.spaces,
            photos.views,
            near,
            photos.gallery,
            self.rows,
            same_species=same_species,
            known=known,
        )


def first(nearest: Mapping[str, Sequence[Neighbours]], k: int) -> dict[str, list[Neighbours]]:
    """The k nearest of every list."""
    return {name: [Neighbours(n.index[:, :k], n.similarity[:, :k]) for n in own] for name, own in nearest.items()}

    def species_of(self, rows: np.ndarray) -> Species:
        """What the species rule needs for some rows."""
        return Species(self.species.mismatch[rows], self.species.of_individual, self.species.likely[rows])


def answer(ranking: Ranking, hide: np.ndarray, background: float, decision: Decision) -> np.ndarray:
    """The final lists, one step after the other; `hide` holds who is hidden from each list, -1 for nobody."""
    hidden, plain = ranking.hiding(hide), ranking.first(DEPTH - 1)
    pick = (hide != NOBODY)[:, None]
    both = Ranking(*(np.where(pick, getattr(hidden, a), getattr(plain, a)) for a in ("individual", "score", "photo")))
    return decide(both.against_background(background), decision)
