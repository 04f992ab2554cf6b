"""Whom a query is asked about: the models' first photos by brute force, and species as test has them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from marked import INDIVIDUALS, Marked
from scenes import CHANNELS, random_evidence

from ensemble import Project
from ensemble.marks.asked import asked_of, brought_up


@given(st.integers(0, 2**32), st.sampled_from(CHANNELS), st.integers(0, 6), st.integers(0, 9))
def test_the_models_bring_up_their_most_similar_photos(seed: int, channels: list[list[int]], n: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    evidence = random_evidence(rng, channels, n)
    # the last photos of the gallery are test photos that were merged into it
    train = int(rng.integers(0, len(evidence.photo) + 1))
    query_set = SimpleNamespace(evidence=evidence, catalogue=SimpleNamespace(labels=np.zeros(train)))
    found = brought_up(query_set, k)  # type: ignore[arg-type]
    assert found.shape == (n, k)
    start = evidence.photo_start[evidence.group_start]
    mean = evidence.similarity[:, np.ravel(channels)].mean(axis=1)
    score = dict(zip(evidence.photo.tolist(), mean.tolist(), strict=True))
    for q in range(n):
        own = [photo for photo in evidence.photo[start[q] : start[q + 1]].tolist() if photo < train]
        told = found[q][found[q] >= 0].tolist()
        assert len(told) == len(set(told)) == min(k, len(own))
        assert set(told) <= set(own)
        assert (found[q][len(told) :] == -1).all()
        best = sorted((score[photo] for photo in own), reverse=True)[:k]
        np.testing.assert_allclose([score[photo] for photo in told], best, atol=1e-6)


def test_without_models_species_count_as_the_tables_give_them_in_test(tmp_path: Path) -> None:
    """Test photos without species are asked among all, and so are train photos, although theirs is known."""
    bare, told = Marked(tmp_path / "bare"), Marked(tmp_path / "told", test_species=True)
    asked = asked_of(Project.open(bare.project), 5, per_species=True)
    assert {split: set(each.species.tolist()) for split, each in asked.items()} == {"train": {-1}, "test": {-1}}
    assert [each.shortlist.shape[1] for each in asked.values()] == [0, 0]
    assert asked["test"].group.tolist() == [-1] * 6
    catalogue = Project.open(told.project).catalogue
    assert asked["train"].group.tolist() == catalogue.encounters.tolist()
    asked = asked_of(Project.open(told.project), 5, per_species=True)
    assert [catalogue.species[s] for s in asked["train"].species] == told.species.tolist()
    assert [catalogue.species[s] for s in asked["test"].species] == np.where(
        told.who_of_test % 2, "seal", "lion"
    ).tolist()
    everywhere = asked_of(Project.open(told.project), 5, per_species=False)
    assert {s for each in everywhere.values() for s in each.species.tolist()} == {-1}


def test_with_models_the_encounter_is_not_brought_up(tmp_path: Path) -> None:
    marked = Marked(tmp_path)
    marked.add_model(noise=0.1)
    asked = asked_of(Project.open(marked.project), 3, per_species=True)
    query, place = np.nonzero(asked["train"].shortlist >= 0)
    gallery = asked["train"].shortlist[query, place]
    assert not marked.is_leak(query, gallery).any()
    # the network tells animals apart: the two other photos of each come first, but for those of its encounter
    whole = marked.who > 1
    assert (marked.who[asked["train"].shortlist[whole, :2]] == marked.who[whole, None]).mean() > 0.9
    known = marked.who_of_test < INDIVIDUALS
    assert (marked.who[asked["test"].shortlist[known, 0]] == marked.who_of_test[known]).all()
