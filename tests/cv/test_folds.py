"""Folds: who becomes a stranger, what never straddles, and that neither row order nor chance has a say."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cv import FinblendError, gallery_photos, make_folds

# one photo: (individual, encounter or None)
PHOTOS = st.lists(
    st.tuples(st.integers(0, 12), st.one_of(st.none(), st.integers(0, 12))),
    min_size=1,
    max_size=60,
)


def catalogue_of(photos: list[tuple[int, int | None]], own_encounters: bool) -> pl.DataFrame:
    """Photos of 3 species; with `own_encounters` an encounter shows one individual only."""
    return pl.DataFrame(
        {
            "image": [f"photo{i:03d}.jpg" for i in range(len(photos))],
            "individual_id": [f"id{who}" for who, _ in photos],
            "species": [f"species{who % 3}" for who, _ in photos],
            "encounter": [
                None if e is None else f"day{e}" + (f" of id{who}" if own_encounters else "") for who, e in photos
            ],
        },
        schema={"image": pl.String, "individual_id": pl.String, "species": pl.String, "encounter": pl.String},
    )


def labels_of(train: pl.DataFrame) -> np.ndarray:
    """Individuals as numbers."""
    return np.unique(train["individual_id"].to_numpy(), return_inverse=True)[1]


def folds_of_encounters(train: pl.DataFrame, folds: np.ndarray) -> dict[str, set[int]]:
    """The folds each named encounter has photos in."""
    out: dict[str, set[int]] = defaultdict(set)
    for encounter, fold in zip(train["encounter"], folds.tolist(), strict=True):
        if encounter is not None:
            out[encounter].add(fold)
    return out


@given(photos=PHOTOS, n_folds=st.integers(2, 6), own=st.booleans(), seed=st.integers(0, 3))
def test_every_single_photo_individual_is_a_stranger_and_encounters_never_straddle(
    photos: list[tuple[int, int | None]], n_folds: int, own: bool, seed: int
) -> None:
    train = catalogue_of(photos, own)
    folds = make_folds(train, n_folds, seed)
    assert folds.dtype == np.int32
    assert folds.shape == (train.height,)
    assert folds.min() >= 0
    assert folds.max() < n_folds
    labels = labels_of(train)
    single = np.bincount(labels)[labels] == 1
    assert (gallery_photos(labels, folds)[single] == 0).all()
    assert all(len(seen) == 1 for seen in folds_of_encounters(train, folds).values())


@given(photos=PHOTOS, n_folds=st.integers(2, 6), seed=st.integers(0, 3))
def test_individuals_are_spread_over_as_many_folds_as_they_have_encounters(
    photos: list[tuple[int, int | None]], n_folds: int, seed: int
) -> None:
    train = catalogue_of(photos, own_encounters=True)
    folds = make_folds(train, n_folds, seed)
    own = train.select("individual_id", pl.coalesce("encounter", "image").alias("key"), fold=pl.Series(folds))
    each = own.group_by("individual_id").agg(pl.col("key").n_unique(), pl.col("fold").n_unique())
    assert each["fold"].to_list() == [min(encounters, n_folds) for encounters in each["key"]]
    # so whoever has two encounters is in the gallery of all its photos, and whoever has one of none
    encounters_of = dict(zip(each["individual_id"], each["key"], strict=True))
    expected = [encounters_of[who] >= 2 for who in train["individual_id"]]
    assert (gallery_photos(labels_of(train), folds) > 0).tolist() == expected


@given(photos=PHOTOS, own=st.booleans(), order_seed=st.integers(0, 1000), seed=st.integers(0, 3))
def test_folds_do_not_depend_on_the_order_of_rows(
    photos: list[tuple[int, int | None]], own: bool, order_seed: int, seed: int
) -> None:
    train = catalogue_of(photos, own)
    order = np.random.default_rng(order_seed).permutation(train.height)
    shuffled = make_folds(train[order.tolist()], 4, seed)
    assert shuffled.tolist() == make_folds(train, 4, seed)[order].tolist()


def world(seed: int = 0, days: int | None = None) -> pl.DataFrame:
    """1,000 photos whose individuals have from one to about a hundred photos, taken on that many days."""
    rng = np.random.default_rng(seed)
    who = (300 * rng.random(1000) ** 2.5).astype(int)
    when = [None] * 1000 if days is None else rng.integers(0, days, 1000).tolist()
    return catalogue_of(list(zip(who.tolist(), when, strict=True)), own_encounters=True)


def test_the_same_seed_gives_the_same_folds_and_another_seed_others() -> None:
    train = world()
    assert (make_folds(train, 5, seed=1) == make_folds(train, 5, seed=1)).all()
    differing = (make_folds(train, 5, seed=1) != make_folds(train, 5, seed=2)).mean()
    assert 0.5 < differing < 0.95  # unrelated folds differ in 80 % of photos


def test_the_seed_does_not_change_who_is_a_stranger() -> None:
    train = world()
    labels = labels_of(train)
    strangers = [gallery_photos(labels, make_folds(train, 5, seed)) == 0 for seed in range(3)]
    assert 0 < strangers[0].sum() < train.height
    assert (strangers[0] == strangers[1]).all()
    assert (strangers[0] == strangers[2]).all()


@pytest.mark.parametrize("n_folds", [2, 5, 10])
@pytest.mark.parametrize("days", [None, 30])
def test_folds_are_balanced_within_few_photos_overall_and_per_species(n_folds: int, days: int | None) -> None:
    train = world(seed=1, days=days)
    folds = make_folds(train, n_folds)
    species = train["species"].to_numpy()
    for part in (folds, *(folds[species == f"species{s}"] for s in range(3))):
        counts = np.bincount(part, minlength=n_folds)
        assert counts.sum() > 200
        assert counts.max() - counts.min() <= 3


@given(photos=PHOTOS, n_folds=st.integers(2, 6), seed=st.integers(0, 3))
def test_photos_that_stand_alone_are_balanced_to_within_a_few(
    photos: list[tuple[int, int | None]], n_folds: int, seed: int
) -> None:
    folds = make_folds(catalogue_of([(who, None) for who, _ in photos], own_encounters=True), n_folds, seed)
    counts = np.bincount(folds, minlength=n_folds)
    assert counts.max() - counts.min() <= 4


@pytest.mark.parametrize("n_folds", [-1, 0, 1])
def test_fewer_than_two_folds_are_refused(n_folds: int) -> None:
    with pytest.raises(FinblendError, match=f"n_folds >= 2 must hold, but got n_folds={n_folds}"):
        make_folds(world().head(5), n_folds)
