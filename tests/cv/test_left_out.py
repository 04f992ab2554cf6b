"""Groups that a photo does not meet: its encounter, its fold, and who was drawn to be a stranger."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cv import FinblendError, gallery_photos, make_folds
from cv.catalogue import Catalogue
from cv.left_out import ENCOUNTER, FOLD, left_out_groups


def catalogue_of(
    who: list[str], encounters: list[str | None], folds: list[int] | np.ndarray | None = None
) -> Catalogue:
    """Train photos; folds are made where none are given."""
    frame = pl.DataFrame(
        {
            "image": [f"p{i}" for i in range(len(who))],
            "individual_id": who,
            "species": ["s"] * len(who),
            "encounter": pl.Series(encounters, dtype=pl.String),
            "split": ["train"] * len(who),
        }
    )
    return Catalogue(frame.with_columns(fold=pl.Series([0] * len(who) if folds is None else folds, dtype=pl.Int32)))


def met(groups: np.ndarray) -> list[list[int]]:
    """Whom each photo meets."""
    return [np.flatnonzero(groups != group).tolist() for group in groups]


def test_an_encounter_is_left_out_whole_wherever_its_photos_lie_and_a_photo_without_one_alone() -> None:
    catalogue = catalogue_of(list("aabbc"), ["day1", "day1", None, None, "day1"], [0, 1, 0, 0, 2])
    assert met(left_out_groups(catalogue, ENCOUNTER)) == [[2, 3], [2, 3], [0, 1, 3, 4], [0, 1, 2, 4], [2, 3]]
    assert met(left_out_groups(catalogue, FOLD)) == [[1, 4], [0, 2, 3, 4], [1, 4], [1, 4], [0, 1, 2, 3]]


def test_who_was_drawn_to_be_a_stranger_stays_one_with_whoever_shares_an_encounter() -> None:
    # a is all in fold 0: held out where individuals were, else known; its day2 is b's, too, whose day3 is another
    who = ["a", "a", "b", "b", "c", "c"]
    catalogue = catalogue_of(who, ["day1", "day2", "day2", "day3", None, None], [0, 0, 0, 1, 0, 1])
    plain, held = (left_out_groups(catalogue, ENCOUNTER, holds_out=holds) for holds in (False, True))
    assert met(plain)[0] == [1, 2, 3, 4, 5]
    assert met(held) == [[3, 4, 5], [3, 4, 5], [3, 4, 5], [0, 1, 2, 4, 5], [0, 1, 2, 3, 5], [0, 1, 2, 3, 4]]
    assert gallery_photos(catalogue.labels, held).tolist() == [0, 0, 1, 1, 1, 1]


@given(seed=st.integers(0, 10_000), hold_out=st.integers(0, 2))
def test_strangers_are_who_has_one_encounter_or_is_held_out(seed: int, hold_out: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(8, 40))
    who = [f"i{k}" for k in rng.integers(0, 6, n)]
    encounters = [None if rng.random() < 0.3 else f"{name} {rng.integers(0, 4)}" for name in who]
    catalogue = catalogue_of(who, encounters)
    several = {w for w in who if len({e or f"photo {i}" for i, e in enumerate(encounters) if who[i] == w}) > 1}
    hold_out = min(hold_out, max(len(several) - 1, 0))
    folds = make_folds(catalogue.train, 3, seed=seed, hold_out=hold_out)
    catalogue = catalogue_of(who, encounters, folds)
    groups = left_out_groups(catalogue, ENCOUNTER, holds_out=hold_out > 0)
    assert groups.dtype == np.int32
    assert (groups >= 0).all()
    strangers = {who[i] for i in np.flatnonzero(gallery_photos(catalogue.labels, groups) == 0)}
    in_one_fold = {w for w in who if len(set(folds[np.array(who) == w].tolist())) == 1}
    assert strangers == (in_one_fold if hold_out else set(who) - several)
    # made folds never tear a group, so no photo's group is met by the network trained without its fold
    assert all(len(set(folds[groups == group].tolist())) == 1 for group in np.unique(groups))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), min_size=1, max_size=30))
def test_gallery_photos_are_counted_in_any_groups(photos: list[tuple[int, int]]) -> None:
    labels, groups = np.array(photos, dtype=np.int32).T
    expected = [sum(a == who and g != group for a, g in photos) for who, group in photos]
    assert gallery_photos(labels, groups).tolist() == expected


def test_another_word_is_refused() -> None:
    with pytest.raises(FinblendError, match="leave_out must be one of encounter, fold, but got leave_out='day'"):
        left_out_groups(catalogue_of(["a"], [None]), "day")
