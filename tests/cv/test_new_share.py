"""Shares of strangers by species: the table they are read from, the weights that meet them, another overall share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cv import FinblendError, Mix, Population, Sample, joined_species, mix_weights
from cv.new_share import at_share, read_new_shares
from cv.raking import MAX_LIFT, MIN_PHOTOS, species_cells

SPECIES = ["beluga", "fin_whale", "killer_whale"]


def table(tmp_path: Path, *rows: str, header: str = "species,new_share") -> Path:
    path = tmp_path / "shares.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_a_table_gives_a_share_to_each_species_and_the_rest(tmp_path: Path) -> None:
    path = table(tmp_path, "killer_whale, 0.25", "*,0.1")
    assert read_new_shares(path, SPECIES, {}) == {"killer_whale": 0.25, "*": 0.1}
    assert read_new_shares(table(tmp_path, *(f"{s},0" for s in SPECIES)), SPECIES, {}) == dict.fromkeys(SPECIES, 0.0)


def test_names_are_repaired_as_the_catalogue_had_them_repaired(tmp_path: Path) -> None:
    repairs = {"kiler_whale": "killer_whale"}
    assert read_new_shares(table(tmp_path, "kiler_whale,0.2", "*,0"), SPECIES, repairs)["killer_whale"] == 0.2
    with pytest.raises(FinblendError, match="row 1: species 'kiler_whale' is not among the catalogue's"):
        read_new_shares(table(tmp_path, "kiler_whale,0.2", "*,0"), SPECIES, {})
    with pytest.raises(FinblendError, match="row 2: species killer_whale stands twice"):
        read_new_shares(table(tmp_path, "kiler_whale,0.2", "killer_whale,0.2", "*,0"), SPECIES, repairs)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (["beluga,0.1", "fin_whale,0.1"], r"shares\.csv: gives no share for killer_whale; every species needs a row"),
        ([], r"gives no share for beluga, fin_whale, killer_whale"),
        (["*,0.1", "orca,0.2"], r"shares\.csv: row 2: species 'orca' is not among .* \(beluga, fin_whale, killer"),
        (["*,0.1", "*,0.2"], r"row 2: species \* stands twice"),
        (["*,0.1", "beluga,1"], r"row 2: 0 <= new_share < 1 must hold, but got new_share=1$"),
        (["*,0.1", "beluga,7.5"], r"row 2: 0 <= new_share < 1 .* got new_share=7.5; did you mean 0.075\?$"),
        (["beluga,-0.1", "*,0.1"], "row 1: 0 <= new_share < 1 must hold, but got new_share=-0.1"),
        (["beluga,nan", "*,0.1"], "row 1: 0 <= new_share < 1 must hold, but got new_share=nan"),
        (["beluga,few", "*,0.1"], "row 1: new_share 'few' is not a number"),
        (["beluga,", "*,0.1"], "row 1: new_share is empty"),
        ([",0.1"], "row 1: species is empty"),
    ],
)
def test_a_wrong_table_is_told_in_one_line(tmp_path: Path, rows: list[str], told: str) -> None:
    with pytest.raises(FinblendError, match=told):
        read_new_shares(table(tmp_path, *rows), SPECIES, {})


def test_a_table_without_its_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FinblendError, match="needs a column new_share; it has species, share"):
        read_new_shares(table(tmp_path, "*,0.1", header="species,share"), SPECIES, {})


@pytest.mark.parametrize("wrong", [{}, {"beluga": 1.0}, {"beluga": None}, {"beluga": "many"}, {"beluga": float("nan")}])
def test_a_mix_refuses_shares_that_are_none(wrong: dict[str, float]) -> None:
    with pytest.raises(FinblendError, match="new_share"):
        Mix(wrong)


def test_a_mix_asks_for_every_species_and_no_other() -> None:
    assert Mix(None).shares(SPECIES) is None
    assert Mix(0.25).shares(SPECIES).tolist() == [0.25] * 3  # type: ignore[union-attr]
    with pytest.raises(FinblendError, match="no share for beluga, killer_whale"):
        Mix({"fin_whale": 0.1}).shares(SPECIES)
    with pytest.raises(FinblendError, match="'orca' is not among the catalogue's"):
        Mix({"orca": 0.1, "*": 0.1}).shares(SPECIES)


def test_the_order_of_a_table_makes_no_other_mix() -> None:
    one, other = Mix({"b": 0.1, "a": 0.2}), Mix({"a": 0.2, "b": 0.1})
    assert one == other
    assert list(one.as_dict()["new_share"]) == list(other.as_dict()["new_share"])
    assert Mix(**one.as_dict()) == one


def world(cells: dict[tuple[int, int], int]) -> Sample:
    """Photos of (species, gallery photos), so many of each."""
    species, have = (np.repeat([key[k] for key in cells], list(cells.values())) for k in (0, 1))
    return Sample(have, species, np.ones(len(have)))


def cell_shares(photos: Sample, weights: np.ndarray) -> list[float]:
    """Weight of species 0 known, 0 new, 1 known, 1 new ..."""
    return np.bincount(photos.species * 2 + (photos.gallery_photos == 0), weights=weights).tolist()


def test_each_species_meets_its_own_share() -> None:
    # 100 photos each of two species; test has 3 in 4 of the first
    photos = world({(0, 0): 50, (0, 1): 50, (1, 0): 50, (1, 1): 50})
    catalogue = Population(np.array([2, 2]), np.array([0, 1]), np.array([0.75, 0.25]), ["a", "b"])
    mix = Mix({"a": 0.2, "b": 0.4}, gallery_exponent=1.0)
    assert joined_species(photos, catalogue, mix) == []
    expected = [0.75 * 0.8, 0.75 * 0.2, 0.25 * 0.6, 0.25 * 0.4]
    assert cell_shares(photos, mix_weights(photos, catalogue, mix)) == pytest.approx(expected)


def test_without_species_of_test_they_stay_as_they_are() -> None:
    photos = world({(0, 0): 30, (0, 1): 70, (1, 0): 100, (1, 1): 100})
    catalogue = Population(np.array([2]), np.array([0]), names=["a", "b"])
    weights = mix_weights(photos, catalogue, Mix({"a": 0.5, "b": 0.25}, None))
    assert cell_shares(photos, weights) == pytest.approx([1 / 6, 1 / 6, 0.5, 1 / 6])


def test_the_gallery_photos_are_met_together_with_the_shares() -> None:
    photos = world({(s, n): 60 for s in (0, 1) for n in (0, 1, 2)})
    # one individual of a has one photo, one has two; b's has two
    catalogue = Population(np.array([1, 2, 2]), np.array([0, 0, 1]), None, ["a", "b"])
    weights = mix_weights(photos, catalogue, Mix({"a": 0.1, "b": 0.3}, gallery_exponent=1.0))
    assert cell_shares(photos, weights) == pytest.approx([0.45, 0.05, 0.35, 0.15], abs=1e-6)
    by_gallery = np.bincount(photos.gallery_photos, weights=weights)
    # of a's known 0.45 a third meets one photo; all of b's 0.35 meets two
    assert by_gallery.tolist() == pytest.approx([0.2, 0.15, 0.3 + 0.35])


def test_a_species_with_few_strangers_joins_the_rest_and_is_named() -> None:
    few = {(0, 0): MIN_PHOTOS - 1, (0, 1): 81, (1, 0): 50, (1, 1): 100, (2, 0): 50, (2, 1): 100}
    catalogue = Population(np.array([2]), np.array([0]), np.array([0.25, 0.25, 0.5]), ["a", "b", "c"])
    mix = Mix({"a": 0.3, "b": 0.2, "*": 0.1}, None)
    photos = world(few)
    # alone it is thin; with b, of the same size in test and before c, it is not
    assert joined_species(photos, catalogue, mix) == ["a", "b"]
    weights = mix_weights(photos, catalogue, mix)
    known_a, new_a, known_b, new_b, known_c, new_c = cell_shares(photos, weights)
    assert (new_a + new_b, known_a + known_b) == pytest.approx((0.25 * 0.3 + 0.25 * 0.2, 0.25 * 0.7 + 0.25 * 0.8))
    assert (known_c, new_c) == pytest.approx((0.45, 0.05))
    assert weights[photos.species == 0].max() == pytest.approx(weights[photos.species == 1].max())
    enough = world(few | {(0, 0): MIN_PHOTOS})
    assert joined_species(enough, catalogue, mix) == []


def test_a_species_of_which_test_has_none_is_not_told() -> None:
    photos = world({(0, 1): 5, (1, 0): 50, (1, 1): 50})
    catalogue = Population(np.array([2]), np.array([0]), np.array([0.0, 1.0]), ["a", "b"])
    assert joined_species(photos, catalogue, Mix({"a": 0.3, "b": 0.2}, None)) == []
    weights = mix_weights(photos, catalogue, Mix({"a": 0.3, "b": 0.2}, None))
    assert cell_shares(photos, weights) == pytest.approx([0.0, 0.0, 0.8, 0.2])


def test_a_species_without_strangers_leaves_its_share_to_the_others() -> None:
    photos = world({(0, 1): 100, (1, 0): 60, (1, 1): 40})
    catalogue = Population(np.array([2]), np.array([0]), np.array([0.5, 0.5]), ["a", "b"])
    weights = mix_weights(photos, catalogue, Mix({"a": 0.2, "b": 0.1}, None))
    assert joined_species(photos, catalogue, Mix({"a": 0.2, "b": 0.1}, None)) == ["a", "b"]
    assert weights[photos.gallery_photos == 0].sum() == pytest.approx(0.15)


def test_photos_that_count_in_part_are_counted_by_their_effective_number() -> None:
    """A hundred hidden photos that count a hundredth each carry a share; one photo that counts once does not."""
    hidden = np.full(100, 0.05)
    photos = Sample(np.repeat([0, 1], [100, 100]), np.zeros(200, dtype=int), np.append(hidden, np.ones(100)))
    assert not species_cells(photos, np.array([[0.9, 0.1]]))[2].any()
    alone = Sample(np.repeat([0, 1], [1, 100]), np.zeros(101, dtype=int), np.append(5.0, np.ones(100)))
    assert species_cells(alone, np.array([[0.9, 0.1]]))[2].all()


@given(
    have=st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0, 0, 1, 2, 7])), min_size=1, max_size=60),
    shares=st.tuples(*[st.floats(0, 0.95)] * 4),
    seed=st.integers(0, 99),
)
def test_weights_sum_to_one_and_the_whole_share_is_met(
    have: list[tuple[int, int]], shares: tuple[float, ...], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    repeats = rng.integers(1, 40, len(have))
    species, gallery = (np.repeat(column, repeats) for column in zip(*have, strict=True))
    photos = Sample(gallery, species, rng.uniform(0.05, 1.0, len(species)))
    expected = rng.dirichlet(np.ones(4))
    catalogue = Population(rng.integers(1, 9, 12), np.arange(12) % 4, expected, list("abcd"))
    mix = Mix(dict(zip("abcd", shares, strict=True)), 0.9)
    share = float(expected @ shares)
    if (share > 0 and gallery.all()) or not gallery.any():
        with pytest.raises(FinblendError, match="out-of-fold there are none"):
            mix_weights(photos, catalogue, mix)
        return
    weights = mix_weights(photos, catalogue, mix)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1.0)
    assert weights[gallery == 0].sum() == pytest.approx(share)
    _, target, joined = species_cells(photos, expected[:, None] * np.stack([1 - np.array(shares), shares], axis=1))
    assert target.sum() == pytest.approx(1.0)
    # who carries a share alone is enough to carry it, and not lifted far
    for s in np.flatnonzero(~joined):
        for new, wanted in ((False, 1 - shares[s]), (True, shares[s])):
            count = photos.count[(species == s) & ((gallery == 0) == new)]
            if wanted * expected[s] > 0:
                effective = count.sum() ** 2 / (count**2).sum()
                assert effective >= MIN_PHOTOS - 1e-9
                assert wanted * expected[s] * photos.count.sum() <= MAX_LIFT * effective * (1 + 1e-9)


@given(share=st.floats(0.01, 0.9), own=st.tuples(*[st.floats(0.01, 0.9)] * 3))
def test_another_share_keeps_the_order_of_species_and_is_met(share: float, own: tuple[float, ...]) -> None:
    mix, expected = Mix(dict(zip(SPECIES, own, strict=True)), 0.5), np.array([0.5, 0.3, 0.2])
    moved = at_share(mix, share, SPECIES, expected)
    found = moved.shares(SPECIES)
    assert found is not None
    assert found @ expected == pytest.approx(share)
    odds = found / (1 - found) / (np.array(own) / (1 - np.array(own)))
    assert odds == pytest.approx(np.full(3, odds[0]), rel=1e-6)
    assert moved.gallery_exponent == 0.5


def test_another_share_is_one_for_all_where_no_pattern_reaches_it() -> None:
    expected = np.array([0.5, 0.3, 0.2])
    assert at_share(Mix(0.1), 0.3, SPECIES, expected).new_share == 0.3
    assert at_share(Mix({"*": 0.1}), 0.0, SPECIES, expected).new_share == 0.0
    half = Mix({"beluga": 0.0, "*": 0.1})
    assert at_share(half, 0.6, SPECIES, expected).new_share == 0.6  # half of the photos are never strangers
    found = at_share(half, 0.4, SPECIES, expected).shares(SPECIES)
    assert found is not None
    assert found.tolist() == pytest.approx([0.0, 0.8, 0.8])
