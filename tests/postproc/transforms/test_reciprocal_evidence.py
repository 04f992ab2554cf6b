"""Similarities mixed with k-reciprocal ones: by hand, and what few candidates call certain is certain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenes import (
    Fold,
    Photos,
    one_thread,  # noqa: F401 - a fixture
    random_weights,
)

from postproc import Evidence, rank, top_k
from postproc.evidence.build import build_evidence
from postproc.evidence.channels import channel_table
from postproc.evidence.evidence import FusedSearch
from postproc.neighbours.search import Neighbours, Space
from postproc.ranking.exhaustive import ExhaustiveSearch
from postproc.ranking.prune import prune
from postproc.ranking.ranking import DEPTH
from postproc.transforms.reciprocal_evidence import ReciprocalSimilarity, mix_reciprocal, mixed_similarities

VIEWS = (
    {"a": ["orig"]},
    {"a": ["orig"], "b": ["crop"]},
    {"a": ["orig", "hflip"], "b": ["orig"], "c": ["hflip", "crop"]},
)
K = 6


@cache
def scene(seed: int, views: int) -> Fold:
    return Fold(Photos(seed, 60, 16, VIEWS[views], noise=1.5))


def tables(fold: Fold, rng: np.random.Generator, who: Sequence[str]) -> dict[str, list[ReciprocalSimilarity]]:
    """Any values between 0 and 1 for the K nearest of some sources."""
    found = {}
    for name in who:
        weight = float(rng.choice([0.1, 0.5, 0.9]))
        near = [
            top_k(
                fold.photos.spaces[name],
                K,
                view=v,
                query_rows=fold.rows,
                query_group=fold.photos.folds,
                gallery_group=fold.photos.folds,
            )
            for v in range(len(fold.photos.views[name]))
        ]
        value = [(rng.integers(0, 5, own.index.shape) / 4).astype(np.float32) for own in near]
        found[name] = [ReciprocalSimilarity(fold.rows, n.index, v, weight) for n, v in zip(near, value, strict=True)]
    return found


def slow(
    evidence: Evidence, views: Mapping[str, Sequence[str]], own: Mapping[str, Sequence[ReciprocalSimilarity]]
) -> np.ndarray:
    """New similarities, pair by pair."""
    out = evidence.similarity.copy()
    for c, (source, view) in enumerate(channel_table(views)[1]):
        for q in range(evidence.n_queries):
            groups = range(evidence.group_start[q], evidence.group_start[q + 1])
            for p in (p for g in groups for p in range(evidence.photo_start[g], evidence.photo_start[g + 1])):
                if source in own:
                    used = own[source] if view is None else [own[source][view]]
                    value = np.mean([float(t.value[q][t.index[q] == evidence.photo[p]].sum()) for t in used])
                    weight = used[0].weight
                    out[p, c] = weight * float(evidence.similarity[p, c]) + (1 - weight) * value
    return out


cases = (st.integers(0, 3), st.integers(0, 2), st.integers(0, 10**6), st.integers(1, 3), st.sampled_from([0.0, 0.2]))


def drawn(seed: int, views: int, draw: int) -> tuple[Fold, dict[str, list[ReciprocalSimilarity]], np.ndarray]:
    fold, rng = scene(seed, views), np.random.default_rng(draw)
    names = list(fold.photos.views)
    who = [name for name in names if rng.random() < 0.7] or names
    return fold, tables(fold, rng, who), random_weights(rng, len(names))


@given(*cases)
def test_what_few_candidates_call_certain_is_so(
    seed: int, views: int, draw: int, top_photos: int, penalty: float
) -> None:
    fold, own, weights = drawn(seed, views, draw)
    how = {"top_photos": top_photos, "species_penalty": penalty, "species": fold.species}
    few = fold.evidence(K, k_species=K)
    if views == 1:
        few = with_fused_search(fold, few)
    few = mix_reciprocal(few, fold.photos.views, own, fold.rows)
    everything = mix_reciprocal(fold.everything, fold.photos.views, own, fold.rows)
    truth = rank(everything, weights, **how)
    for evidence in (few, prune(few, fold.species.mismatch, fold.species.of_individual)):
        found = rank(evidence, weights, **how)
        for depth in range(1, DEPTH + 1):
            sure = ~found.is_open(depth)
            assert np.array_equal(found.individual[sure, :depth], truth.individual[sure, :depth])
            assert np.array_equal(found.score[sure, :depth], truth.score[sure, :depth])


def with_fused_search(fold: Fold, evidence: Evidence) -> Evidence:
    """Evidence that was searched by both sources at once, too, in a space of both."""
    photos = fold.photos
    every = list(photos.spaces.values())
    space = Space(tuple(p for one in every for p in one.query), tuple(p for one in every for p in one.gallery))
    near = top_k(space, K, query_rows=fold.rows, query_group=photos.folds, gallery_group=photos.folds)
    near_same_species = top_k(
        space,
        K,
        query_rows=fold.rows,
        query_group=photos.folds,
        gallery_group=photos.folds,
        query_class=photos.species.likely,
        gallery_class=photos.species.of_individual[photos.labels],
    )
    lists = {
        name: [top_k(s, K, query_rows=fold.rows, query_group=photos.folds, gallery_group=photos.folds)]
        for name, s in photos.spaces.items()
    }
    same_species = {
        name: [
            top_k(
                s,
                K,
                query_rows=fold.rows,
                query_group=photos.folds,
                gallery_group=photos.folds,
                query_class=photos.species.likely,
                gallery_class=photos.species.of_individual[photos.labels],
            )
        ]
        for name, s in photos.spaces.items()
    }
    fused = FusedSearch(np.full(len(every), 1 / len(every)), near, near_same_species)
    found = build_evidence(
        photos.spaces, photos.views, lists, photos.gallery, fold.rows, fold.fold, same_species=same_species, fused=fused
    )
    assert found.fused_upper_bound is not None
    return found


@given(*cases)
def test_the_whole_gallery_is_mixed_in_the_same_way(
    seed: int, views: int, draw: int, top_photos: int, penalty: float
) -> None:
    fold, own, weights = drawn(seed, views, draw)
    everything = mix_reciprocal(fold.everything, fold.photos.views, own, fold.rows)
    truth = rank(everything, weights, top_photos=top_photos, species_penalty=penalty, species=fold.species)
    some = np.random.default_rng(draw).permutation(len(fold.rows))[:9]
    photos = fold.photos
    found = ExhaustiveSearch(photos.spaces, photos.views, photos.gallery, fold.fold, own).rank(
        fold.rows[some],
        np.repeat(weights[None], len(some), axis=0),
        top_photos=top_photos,
        species_penalty=penalty,
        species=photos.species_of(fold.rows[some]),
    )
    assert found.score.tolist() == truth.score[some].tolist()
    assert found.individual.tolist() == truth.individual[some].tolist()


@given(st.integers(0, 3), st.integers(0, 2), st.integers(0, 10**6))
def test_pair_by_pair(seed: int, views: int, draw: int) -> None:
    fold, own, _ = drawn(seed, views, draw)
    evidence = fold.evidence(K)
    found = mix_reciprocal(evidence, fold.photos.views, own, fold.rows)
    assert found.similarity == pytest.approx(slow(evidence, fold.photos.views, own), abs=1e-6)
    assert (found.photo == evidence.photo).all()


@given(st.integers(0, 3), st.integers(0, 2), st.integers(0, 10**6))
def test_with_lambda_1_the_cosines_are_back(seed: int, views: int, draw: int) -> None:
    fold, own, _ = drawn(seed, views, draw)
    own = {name: [replace(one, weight=1.0) for one in each] for name, each in own.items()}
    evidence = fold.evidence(K)
    found = mix_reciprocal(evidence, fold.photos.views, own, fold.rows)
    assert found.similarity.tolist() == evidence.similarity.tolist()
    assert found.unseen_upper_bound.tolist() == evidence.unseen_upper_bound.tolist()
    assert mix_reciprocal(evidence, fold.photos.views, {}, fold.rows) is evidence


def test_worked_by_hand() -> None:
    near = Neighbours(np.array([[7, 3], [5, -1]], dtype=np.int32), np.zeros((2, 2), dtype=np.float32))
    own = ReciprocalSimilarity(np.array([4, 9]), near.index, np.array([[0.5, 0.25], [1.0, 0.0]], dtype=np.float32), 0.2)
    # the second query's photos, then the first's, in the order of the evidence
    similarity = np.array([0.5, -0.5, 0.1, 0.9], dtype=np.float32)
    found = mixed_similarities(similarity, [own], np.array([9, 4]), np.array([0, 2, 4]), np.array([5, 3, 3, 8]))
    assert found == pytest.approx([0.2 * 0.5 + 0.8, 0.2 * -0.5, 0.2 * 0.1 + 0.8 * 0.25, 0.2 * 0.9])
