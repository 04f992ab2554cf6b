"""Evidence against a construction with loops, from embeddings of small whole numbers."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from scenes import one_thread  # noqa: F401

from cv import FinblendError
from postproc import Evidence, Gallery, Neighbours, Space, build_evidence, join_evidence, top_k

VIEWS = {"a": ["orig", "hflip"], "b": ["orig"], "c": ["hflip", "crop", "orig"]}


class Scene:
    """Photos of a few individuals seen by three sources with two, one and three views; folds as groups."""

    def __init__(self, seed: int, n: int = 14, k: int = 4) -> None:
        rng = np.random.default_rng(seed)
        self.labels = rng.integers(0, 6, n).astype(np.int32)
        self.groups = rng.permutation(np.arange(n) % 3).astype(np.int32)
        self.k = {source: int(rng.integers(1, k + 1)) for source in VIEWS}
        self.spaces, self.cosine = {}, {}
        for source, views in VIEWS.items():
            photos: Any = tuple(rng.integers(-2, 3, (n, 4)).astype(np.float32) for _ in views)
            for view in photos:
                view[~view.any(axis=1), 0] = 1
            self.spaces[source] = Space((photos,), (photos,))
            # per query view, the best over gallery views; exact, because the numbers are whole
            length = [np.sqrt((view.astype(float) ** 2).sum(axis=1)) for view in photos]
            self.cosine[source] = [
                np.max([a.astype(float) @ b.T / np.outer(m, n) for b, n in zip(photos, length, strict=True)], axis=0)
                for a, m in zip(photos, length, strict=True)
            ]

    def nearest(self, rows: np.ndarray, masked: bool) -> dict[str, list[Neighbours]]:
        """Neighbours of every source and view."""
        groups = {"query_group": self.groups, "gallery_group": self.groups} if masked else {}
        return {
            source: [top_k(space, self.k[source], view=v, query_rows=rows, **groups) for v in range(space.n_views)]
            for source, space in self.spaces.items()
        }

    def evidence(self, rows: np.ndarray, group: int | None) -> Evidence:
        """Evidence of some rows; with a group, all rows are of it."""
        near = self.nearest(rows, group is not None)
        groups = None if group is None else self.groups
        gallery = Gallery(self.labels, groups, query_groups=groups)
        return build_evidence(self.spaces, VIEWS, near, gallery, rows)


def column_value(scene: Scene, column: tuple[str, int | None], q: int, g: int) -> float:
    """A column's similarity: that of its view, or the mean over the source's views."""
    source, view = column
    views = range(scene.spaces[source].n_views) if view is None else [view]
    return float(np.mean([scene.cosine[source][v][q, g] for v in views]))


# orig, hflip and crop are the views in which sources are compared; "b" has one view and stands in with it
COLUMNS = [("a", 0), ("a", 1), ("a", None), ("b", 0), ("c", 2), ("c", 0), ("c", 1)]
CHANNELS = [[0, 1, 2], [3, 3, 3], [4, 5, 6]]


@examples(25)
@given(seed=st.integers(0, 10_000), masked=st.booleans())
def test_evidence_equals_a_construction_with_loops(seed: int, masked: bool) -> None:
    scene = Scene(seed)
    group = int(scene.groups[0]) if masked else None
    rows = np.flatnonzero(scene.groups == scene.groups[0])
    got = scene.evidence(rows, group)
    near = scene.nearest(rows, masked)
    allowed = [g for g in range(len(scene.labels)) if not masked or scene.groups[g] != group]
    assert got.sources == ("a", "b", "c")
    assert got.channels.tolist() == CHANNELS
    assert got.n_queries == len(rows)
    assert got.unseen_upper_bound.shape == (len(rows), len(COLUMNS))
    assert got.similarity.shape == (len(got.photo), len(COLUMNS))
    for i, q in enumerate(rows):
        candidates = sorted({g for lists in near.values() for one in lists for g in one.index[i].tolist() if g >= 0})
        people = sorted({int(scene.labels[g]) for g in candidates})
        groups = range(got.group_start[i], got.group_start[i + 1])
        assert got.individual[groups].tolist() == people
        for where, who in zip(groups, people, strict=True):
            photos = range(got.photo_start[where], got.photo_start[where + 1])
            assert got.photo[photos].tolist() == [g for g in candidates if scene.labels[g] == who]
            assert got.gallery_photos[where] == sum(1 for g in allowed if scene.labels[g] == who)
            for p in photos:
                expected = [column_value(scene, column, q, int(got.photo[p])) for column in COLUMNS]
                assert got.similarity[p].tolist() == pytest.approx(expected, abs=1e-7)
        # nothing outside the candidates is above the upper bound, in any column
        outside = [g for g in allowed if g not in candidates]
        for c, column in enumerate(COLUMNS):
            assert all(column_value(scene, column, q, g) <= got.unseen_upper_bound[i, c] + 2e-7 for g in outside)


@examples(15)
@given(seed=st.integers(0, 10_000))
def test_the_upper_bound_is_the_last_neighbours_similarity_and_nowhere_when_all_are_neighbours(seed: int) -> None:
    scene = Scene(seed, n=9, k=9)
    rows = np.arange(9)
    near = scene.nearest(rows, masked=False)
    got = scene.evidence(rows, None)
    for c, (source, view) in enumerate(COLUMNS):
        views = range(scene.spaces[source].n_views) if view is None else [view]
        last = np.mean([near[source][v].similarity[:, -1] for v in views], axis=0)
        expected = np.full(9, -np.inf) if scene.k[source] == 9 else last
        assert got.unseen_upper_bound[:, c].tolist() == pytest.approx(expected.tolist(), abs=2e-7)


def test_a_fold_smaller_than_k_has_no_upper_bound() -> None:
    # 9 photos in 3 folds: 6 gallery photos a query, and k = 6 takes them all
    scene = Scene(0, n=9)
    scene.k = {"a": 6, "b": 8, "c": 5}
    got = scene.evidence(np.flatnonzero(scene.groups == 1), 1)
    assert np.isneginf(got.unseen_upper_bound[:, :4]).all()
    assert np.isfinite(got.unseen_upper_bound[:, 4:]).all()
    assert (np.diff(got.photo_start[got.group_start]) == 6).all()


@examples(10)
@given(seed=st.integers(0, 10_000))
def test_joined_folds_are_the_queries_in_the_order_of_their_rows(seed: int) -> None:
    scene = Scene(seed)
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(np.flatnonzero(scene.groups == fold)) for fold in (2, 0, 1)]
    parts = [scene.evidence(r, int(scene.groups[r[0]])) for r in rows]
    joined = join_evidence(parts, rows)
    assert joined.sources == ("a", "b", "c")
    assert joined.channels.tolist() == CHANNELS
    for q in range(0, len(scene.labels), 3):
        alone = scene.evidence(np.array([q]), int(scene.groups[q]))
        groups = slice(joined.group_start[q], joined.group_start[q + 1])
        photos = slice(joined.photo_start[groups.start], joined.photo_start[groups.stop])
        assert joined.individual[groups].tolist() == alone.individual.tolist()
        assert joined.gallery_photos[groups].tolist() == alone.gallery_photos.tolist()
        lengths = np.diff(joined.photo_start[groups.start : groups.stop + 1])
        assert lengths.tolist() == np.diff(alone.photo_start).tolist()
        assert joined.photo[photos].tolist() == alone.photo.tolist()
        assert joined.similarity[photos].tolist() == alone.similarity.tolist()
        assert joined.unseen_upper_bound[q].tolist() == alone.unseen_upper_bound[0].tolist()


def test_progress_is_told_once_a_column() -> None:
    scene = Scene(1)
    rows = np.arange(14)
    steps: list[int] = []
    build_evidence(scene.spaces, VIEWS, scene.nearest(rows, False), Gallery(scene.labels), rows, progress=steps.append)
    assert steps == [1] * len(COLUMNS)


def test_every_array_can_be_saved_by_name() -> None:
    evidence = Scene(1).evidence(np.arange(14), None)
    again = Evidence.from_arrays(evidence.sources, evidence.arrays())
    assert all(getattr(again, f.name) is getattr(evidence, f.name) for f in dataclasses.fields(Evidence))
    assert len(evidence.arrays()) == 9


def test_saved_arrays_keep_the_names_that_caches_hold() -> None:
    evidence = Scene(1).evidence(np.arange(14), None)
    bounds = {"species_upper_bound": np.zeros(1), "fused_weights": np.zeros(2), "fused_upper_bound": np.zeros(3)}
    assert list(dataclasses.replace(evidence, **bounds).arrays()) == [
        "channels",
        "group_start",
        "individual",
        "gallery_photos",
        "photo_start",
        "photo",
        "similarity",
        "horizon",
        "species_horizon",
        "people",
        "joint_weights",
        "joint_horizon",
    ]


def test_an_empty_gallery_is_refused() -> None:
    scene = Scene(1)
    scene.groups[:] = 2
    with pytest.raises(FinblendError, match="the gallery is empty"):
        scene.evidence(np.arange(14), 2)
