"""What a blend is: the cosine of weighted concatenations; and what rankings do when somebody is hidden."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from scenes import one_thread  # noqa: F401

from postproc import NOBODY, Gallery, Ranking, Space, build_evidence, rank, top_k
from postproc.ranking.ranking import DEPTH


def embeddings(rng: np.random.Generator, n: int, width: int, views: int = 1) -> Any:
    """Views of n photos, of any length."""
    return tuple((rng.standard_normal((n, width)) * rng.uniform(0.1, 9)).astype(np.float32) for _ in range(views))


def unit(array: np.ndarray) -> np.ndarray:
    """Rows of length 1, float64."""
    return array.astype(float) / np.linalg.norm(array.astype(float), axis=1, keepdims=True)


def ranking_over_all(
    spaces: dict[str, Space], views: dict[str, list[str]], labels: np.ndarray, weights: np.ndarray, **settings: Any
) -> Ranking:
    """A ranking for which every gallery photo is a candidate."""
    n_query = next(iter(spaces.values())).n_query
    near = {name: [top_k(s, len(labels), view=v) for v in range(s.n_views)] for name, s in spaces.items()}
    evidence = build_evidence(spaces, views, near, Gallery(labels), np.arange(n_query))
    assert np.isneginf(evidence.unseen_upper_bound).all()
    return rank(evidence, weights, **settings)


def best_people(score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best individuals of (n, people) scores, and their scores."""
    order = np.argsort(-score, axis=1, kind="stable")[:, :DEPTH]
    return order, np.take_along_axis(score, order, axis=1)


def per_person(similarity: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(n, people): the best photo of each individual."""
    return np.stack([similarity[:, labels == who].max(axis=1) for who in range(labels.max() + 1)], axis=1)


def some_weights(rng: np.random.Generator, sources: int) -> np.ndarray:
    """Weights summing to 1, sometimes with zeros."""
    weights = rng.random(sources) * (rng.random(sources) < 0.7)
    return weights / weights.sum() if weights.any() else np.full(sources, 1 / sources)


@examples(20)
@given(seed=st.integers(0, 100_000))
def test_a_blend_is_the_cosine_of_weighted_concatenated_unit_vectors(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.append(np.arange(10), rng.integers(0, 10, 20)).astype(np.int32)
    widths = rng.integers(2, 30, 3)
    query, gallery = ([embeddings(rng, n, w) for w in widths] for n in (5, 30))
    spaces = {name: Space((q,), (g,)) for name, q, g in zip("abc", query, gallery, strict=True)}
    weights = some_weights(rng, 3)
    got = ranking_over_all(spaces, {name: ["orig"] for name in "abc"}, labels, weights)
    # the factor on a block is the root of its weight
    joined = [
        np.concatenate([np.sqrt(a) * unit(v[0]) for a, v in zip(weights, side, strict=True)], axis=1)
        for side in (query, gallery)
    ]
    cosines = unit(joined[0]) @ unit(joined[1]).T
    people, score = best_people(per_person(cosines, labels))
    assert np.abs(got.score - score).max() < 1e-6
    assert got.individual.tolist() == people.tolist()
    assert (labels[got.photo] == got.individual).all()
    assert np.abs(np.take_along_axis(cosines, got.photo, axis=1) - score).max() < 1e-6


@examples(20)
@given(seed=st.integers(0, 100_000))
def test_views_are_compared_one_by_one_with_all_gallery_views_and_then_averaged(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.append(np.arange(10), rng.integers(0, 10, 15)).astype(np.int32)
    views = {"a": ["orig", "hflip"], "b": ["orig"], "c": ["hflip", "crop"]}
    query, gallery = ({s: embeddings(rng, n, 6, len(names)) for s, names in views.items()} for n in (4, 25))
    spaces = {s: Space((query[s],), (gallery[s],)) for s in views}
    weights = some_weights(rng, 3)
    got = ranking_over_all(spaces, views, labels, weights)
    # per source and query view, the best over all gallery views
    cosine = {s: [np.max([unit(q) @ unit(g).T for g in gallery[s]], axis=0) for q in query[s]] for s in views}
    score = np.mean(
        [
            per_person(
                sum(
                    alpha * (cosine[s][names.index(view)] if view in names else np.mean(cosine[s], axis=0))
                    for alpha, (s, names) in zip(weights, views.items(), strict=True)
                ),
                labels,
            )
            for view in ("orig", "hflip", "crop")
        ],
        axis=0,
    )
    people, best = best_people(score)
    assert np.abs(got.score - best).max() < 1e-6
    assert got.individual.tolist() == people.tolist()


@examples(12)
@given(seed=st.integers(0, 100_000), people=st.sampled_from([3, 7, 12]), top_photos=st.integers(1, 3))
def test_hiding_somebody_is_the_ranking_of_a_gallery_without_them(seed: int, people: int, top_photos: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.append(np.arange(people), rng.integers(0, people, 20)).astype(np.int32)
    sides = [{s: embeddings(rng, n, 5) for s in "ab"} for n in (6, len(labels))]
    views = {"a": ["orig"], "b": ["orig"]}
    weights = some_weights(rng, 2)
    whole = ranking_over_all(
        {s: Space((sides[0][s],), (sides[1][s],)) for s in "ab"}, views, labels, weights, top_photos=top_photos
    )
    # the first, a middle one, the last, one further down, and somebody who is not there
    hidden = np.array([whole.individual[0, 0], whole.individual[1, 2], whole.individual[2, -1], 0, people - 1, 99])
    got = whole.hiding(hidden)
    assert got.individual.shape == (6, DEPTH - 1)
    for q, who in enumerate(hidden):
        left = np.flatnonzero(labels != who)
        spaces = {s: Space(((sides[0][s][0][[q]],),), ((sides[1][s][0][left],),)) for s in "ab"}
        alone = ranking_over_all(spaces, views, labels[left], weights, top_photos=top_photos).first(DEPTH - 1)
        assert got.individual[q].tolist() == alone.individual[0].tolist()
        assert got.score[q].tolist() == alone.score[0].tolist()
        photos = np.where(alone.photo[0] == NOBODY, NOBODY, left[alone.photo[0]])
        assert got.photo[q].tolist() == photos.tolist()


def ranking_of(score: list[list[float]]) -> Ranking:
    """A ranking of individuals 0, 1, 2 ... on photos 10, 11, 12 ..."""
    there = np.isfinite(score)
    place = np.broadcast_to(np.arange(len(score[0])), there.shape)
    return Ranking(
        np.where(there, place, NOBODY).astype(np.int32),
        np.array(score, dtype=np.float32),
        np.where(there, place + 10, NOBODY).astype(np.int32),
    )


@pytest.mark.parametrize(
    ("score", "background"),
    [
        ([0.9, 0.5, 0.5, 0.5, 0.5, 0.5, 0.4], 0.5),
        ([0.9, 0.75, 0.5, 0.25, 0.25, 0.0, -1.0], 0.35),  # places 2 to 6; the seventh has no say
        ([0.9, 0.5, 0.25, -np.inf, -np.inf, -np.inf, -np.inf], 0.375),  # only those that are there
        ([0.9, -np.inf, -np.inf, -np.inf, -np.inf, -np.inf, -np.inf], 0.0),  # nobody to compare with
        ([-np.inf] * 7, 0.0),
    ],
)
@pytest.mark.parametrize("factor", [0.0, 1.0, 0.5])
def test_the_background_is_the_mean_of_places_2_to_6(score: list[float], background: float, factor: float) -> None:
    ranking = ranking_of([score, score])
    got = ranking.against_background(factor)
    assert got.score.tolist() == [pytest.approx([s - factor * background for s in score[:5]], abs=1e-6)] * 2
    assert got.individual.tolist() == ranking.individual[:, :5].tolist()
    assert got.photo.tolist() == ranking.photo[:, :5].tolist()


def test_the_first_places_of_a_ranking_are_cut_from_all_three_arrays() -> None:
    got = ranking_of([[0.9, 0.8, 0.7, -np.inf]]).first(2)
    assert got.individual.tolist() == [[0, 1]]
    assert got.score.tolist() == [pytest.approx([0.9, 0.8])]
    assert got.photo.tolist() == [[10, 11]]
