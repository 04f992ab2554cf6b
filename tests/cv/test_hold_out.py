"""Individuals held out at `init`: all their photos in one fold, so that they are strangers to the others."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cv import FinblendError, gallery_photos, make_folds


def photos(who: list[str], encounters: list[str | None] | None = None) -> pl.DataFrame:
    n = len(who)
    return pl.DataFrame(
        {
            "image": [f"p{i}" for i in range(n)],
            "individual_id": who,
            "species": ["s"] * n,
            "encounter": pl.Series(encounters or [None] * n, dtype=pl.String),
        }
    )


def strangers(train: pl.DataFrame, folds: np.ndarray) -> set[str]:
    """Individuals all of whose photos are in one fold."""
    labels = train["individual_id"].cast(pl.Categorical).to_physical().to_numpy().astype(np.int32)
    return set(train.filter(pl.Series(gallery_photos(labels, folds) == 0))["individual_id"])


def test_so_many_individuals_of_several_photos_are_strangers_beside_the_singles() -> None:
    train = photos([f"i{k}" for k in range(10) for _ in range(4)] + ["single"])
    assert strangers(train, make_folds(train, 4)) == {"single"}
    held = strangers(train, make_folds(train, 4, hold_out=3))
    assert len(held) == 4
    assert "single" in held


def test_who_is_held_out_follows_the_seed_and_not_the_order_of_rows() -> None:
    train = photos([f"i{k}" for k in range(20) for _ in range(3)])
    shuffled = train.sample(fraction=1.0, shuffle=True, seed=1)
    one = strangers(train, make_folds(train, 3, seed=0, hold_out=5))
    assert one == strangers(shuffled, make_folds(shuffled, 3, seed=0, hold_out=5))
    assert one != strangers(train, make_folds(train, 3, seed=1, hold_out=5))
    # who is held out among few is held out among many
    assert one < strangers(train, make_folds(train, 3, seed=0, hold_out=9))


def test_folds_stay_balanced() -> None:
    train = photos([f"i{k}" for k in range(40) for _ in range(3)])
    counts = np.bincount(make_folds(train, 4, hold_out=20))
    assert counts.max() - counts.min() <= 3


def test_whoever_shares_an_encounter_with_one_held_out_goes_along() -> None:
    # a: day1, day2; b: day2, day3, alone; whichever of the two is held out, day2 is in its fold
    train = photos(["a", "a", "b", "b", "b"], ["day1", "day2", "day2", "day3", None])
    for seed in range(8):
        folds = make_folds(train, 3, seed=seed, hold_out=1)
        assert folds[1] == folds[2]
        assert (folds[0] == folds[1]) != (len(set(folds[2:].tolist())) == 1)


@pytest.mark.parametrize("hold_out", [-1, 3, 99])
def test_a_number_that_leaves_nobody_known_is_refused(hold_out: int) -> None:
    train = photos(["a", "a", "b", "b", "c", "c", "d"])
    with pytest.raises(FinblendError, match=rf"--hold-out: 0 <= N < 3 must hold \(3 individ.*got N={hold_out}$"):
        make_folds(train, 2, hold_out=hold_out)


def test_where_all_are_singles_nobody_can_be_held_out() -> None:
    with pytest.raises(FinblendError, match=r"--hold-out: 0 <= N < 1 must hold \(0 individuals"):
        make_folds(photos(["a", "b"]), 2, hold_out=1)


@given(
    seen=st.lists(st.tuples(st.integers(0, 7), st.sampled_from([None, "d1", "d2", "d3"])), min_size=2, max_size=40),
    seed=st.integers(0, 9),
    hold_out=st.integers(0, 3),
)
def test_no_encounter_straddles_and_the_held_out_are_strangers(
    seen: list[tuple[int, str | None]], seed: int, hold_out: int
) -> None:
    train = photos([f"i{who}" for who, _ in seen], [day for _, day in seen])
    units = train.with_columns(unit=pl.coalesce("encounter", "image"))
    several = units.group_by("individual_id").agg(pl.col("unit").n_unique() > 1).filter(pl.col("unit")).height
    if hold_out and hold_out >= several:
        return
    folds = make_folds(train, 3, seed=seed, hold_out=hold_out)
    told = train.with_columns(fold=pl.Series(folds))
    days = told.drop_nulls("encounter").group_by("encounter").agg(pl.col("fold").n_unique())
    assert days["fold"].max() in (None, 1)
    assert len(strangers(train, folds)) >= hold_out
    if not hold_out:
        assert folds.tolist() == make_folds(train, 3, seed=seed).tolist()
