"""The mix: weights that meet the stated margins, worked by hand on small inputs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cv import FinblendError, Mix, Population, Sample, mix_weights
from cv.raking import strangers_by_species

RAW = Mix(new_share=None, gallery_exponent=None)


def share(weights: np.ndarray, who: np.ndarray) -> float:
    """The weight some photos have together."""
    return float(weights[who].sum())


def test_the_raw_mix_weights_every_photo_alike() -> None:
    weights = mix_weights(Sample.plain(np.array([0, 3, 1, 0, 9])), Population.plain(np.array([9, 1])), RAW)
    assert weights.tolist() == pytest.approx([0.2] * 5)


def test_the_raw_mix_keeps_counts() -> None:
    photos = Sample(np.array([0, 1, 1]), np.zeros(3, dtype=int), np.array([0.5, 1.0, 2.5]))
    assert mix_weights(photos, Population.plain(np.array([2])), RAW).tolist() == pytest.approx([1 / 8, 2 / 8, 5 / 8])


def test_strangers_get_their_share_and_split_it_by_count() -> None:
    photos = Sample(np.array([0, 0, 2, 2, 2]), np.zeros(5, dtype=int), np.array([1.0, 3.0, 1.0, 1.0, 2.0]))
    weights = mix_weights(photos, Population.plain(np.array([3])), Mix(new_share=0.2, gallery_exponent=None))
    assert weights.tolist() == pytest.approx([0.05, 0.15, 0.2, 0.2, 0.4])


def test_a_share_of_zero_silences_strangers() -> None:
    weights = mix_weights(Sample.plain(np.array([0, 1, 1])), Population.plain(np.array([2])), Mix(0.0, None))
    assert weights.tolist() == pytest.approx([0.0, 0.5, 0.5])


def test_gallery_classes_meet_the_catalogues_margins_worked_by_hand() -> None:
    # out-of-fold: 20 strangers, 40 photos with one gallery photo, 40 with two.
    # catalogue: 30 individuals with one photo, 10 with two; exponent 1 gives 30 * 1 : 10 * 2 = 0.6 : 0.4 of the known.
    have = np.repeat([0, 1, 2], [20, 40, 40])
    catalogue = Population.plain(np.repeat([1, 2], [30, 10]))
    weights = mix_weights(Sample.plain(have), catalogue, Mix(new_share=None, gallery_exponent=1.0))
    assert [share(weights, have == n) for n in range(3)] == pytest.approx([0.2, 0.8 * 0.6, 0.8 * 0.4])
    assert np.unique(weights.round(12)).tolist() == pytest.approx([0.008, 0.01, 0.012])
    # with exponent 0 every individual is met as often: 30 : 10
    weights = mix_weights(Sample.plain(have), catalogue, Mix(new_share=0.5, gallery_exponent=0.0))
    assert [share(weights, have == n) for n in range(3)] == pytest.approx([0.5, 0.5 * 0.75, 0.5 * 0.25])


def test_numbers_of_gallery_photos_in_one_class_are_weighted_alike() -> None:
    # 4 and 5 gallery photos are one class, 6 is the next; catalogue 3 * 4 + 1 * 5 : 3 * 6 = 17 : 18
    have = np.repeat([4, 5, 6], [30, 60, 60])
    catalogue = Population.plain(np.repeat([4, 5, 6], [3, 1, 3]))
    weights = mix_weights(Sample.plain(have), catalogue, Mix(None, 1.0))
    assert share(weights, have <= 5) == pytest.approx(17 / 35)
    assert share(weights, have == 6) == pytest.approx(18 / 35)
    assert share(weights, have == 5) == pytest.approx(2 * share(weights, have == 4))


def test_a_class_of_few_photos_joins_the_next_smaller_one() -> None:
    # 19 photos with two gallery photos are too few to carry 40 %: all known photos weigh the same
    have = np.repeat([0, 1, 2], [10, 71, 19])
    weights = mix_weights(Sample.plain(have), Population.plain(np.repeat([1, 2], [30, 10])), Mix(0.5, 1.0))
    assert weights[have > 0].tolist() == pytest.approx([0.5 / 90] * 90)
    assert share(weights, have == 0) == pytest.approx(0.5)
    # 20 are enough
    have = np.repeat([0, 1, 2], [10, 70, 20])
    weights = mix_weights(Sample.plain(have), Population.plain(np.repeat([1, 2], [30, 10])), Mix(0.5, 1.0))
    assert [share(weights, have == n) for n in range(3)] == pytest.approx([0.5, 0.5 * 0.6, 0.5 * 0.4])


def test_a_first_class_that_would_be_lifted_too_far_joins_the_next_larger_one() -> None:
    # wanted 0.6 : 0.4; a lift of 0.6 / (25 / 500) = 12 is too much, one of 0.6 / (110 / 500) = 2.7 is not
    catalogue = Population.plain(np.repeat([1, 2], [30, 10]))
    thin = mix_weights(Sample.plain(np.repeat([1, 2], [25, 475])), catalogue, Mix(None, 1.0))
    assert thin.tolist() == pytest.approx([1 / 500] * 500)
    have = np.repeat([1, 2], [110, 390])
    assert share(mix_weights(Sample.plain(have), catalogue, Mix(None, 1.0)), have == 1) == pytest.approx(0.6)


def test_species_get_the_shares_of_the_test_photos() -> None:
    species = np.repeat([0, 1], [40, 60])
    photos = Sample(np.ones(100, dtype=int), species, np.ones(100))
    catalogue = Population(np.ones(4, dtype=int), np.array([0, 0, 1, 1]), np.array([0.7, 0.3]))
    weights = mix_weights(photos, catalogue, RAW)
    assert [share(weights, species == s) for s in range(2)] == pytest.approx([0.7, 0.3])


def test_rare_species_are_weighted_as_one() -> None:
    # species 1 and 2 have 10 and 15 photos: together 25 photos for 0.1 + 0.3 of the test
    species = np.repeat([0, 1, 2], [75, 10, 15])
    photos = Sample(np.ones(100, dtype=int), species, np.ones(100))
    catalogue = Population(np.ones(3, dtype=int), np.arange(3), np.array([0.6, 0.1, 0.3]))
    weights = mix_weights(photos, catalogue, RAW)
    assert [share(weights, species == s) for s in range(3)] == pytest.approx([0.6, 0.4 * 10 / 25, 0.4 * 15 / 25])


def test_all_three_margins_are_met_at_once() -> None:
    have = np.repeat([0, 1, 2, 0, 1, 2], [20, 60, 40, 50, 25, 75])
    species = np.repeat([0, 1], [120, 150])
    photos = Sample(have, species, np.ones(270))
    # per species 4 individuals with one photo and 1 with two; each species is met by its share whatever its size
    catalogue = Population(np.array([1, 1, 1, 1, 2] * 2), np.repeat([0, 1], 5), np.array([0.25, 0.75]))
    weights = mix_weights(photos, catalogue, Mix(new_share=0.112, gallery_exponent=1.0))
    assert weights.sum() == pytest.approx(1)
    assert share(weights, have == 0) == pytest.approx(0.112)
    assert share(weights, have == 1) == pytest.approx(0.888 * 4 / 6)
    assert share(weights, species == 0) == pytest.approx(0.25, abs=1e-9)


def test_strangers_are_of_their_own_species_though_known_photos_of_a_species_are_lifted() -> None:
    """Out-of-fold shows half of the known photos of species 1 that test will; its strangers must not be doubled."""
    have = np.repeat([0, 1, 0, 1], [40, 200, 60, 100])
    species = np.repeat([0, 1], [240, 160])
    # one individual a species with as many photos: test meets both species alike
    catalogue = Population(np.array([50, 50]), np.array([0, 1]), np.array([0.48, 0.52]))
    weights = mix_weights(Sample(have, species, np.ones(400)), catalogue, Mix(0.2, 1.0))
    new = have == 0
    assert share(weights, new) == pytest.approx(0.2)
    assert share(weights, species == 1) == pytest.approx(0.52, abs=1e-6)
    # odds 40 : 60 in species met alike, a little more of the species that test has a little more of
    strangers = [share(weights, new & (species == one)) for one in (0, 1)]
    odds = [s / (part - s) for s, part in zip(strangers, (0.48, 0.52), strict=True)]
    assert odds[1] / odds[0] == pytest.approx(60 / 40, rel=1e-6)


@given(
    strangers=st.lists(st.just(0.0) | st.floats(0.5, 100), min_size=3, max_size=3),
    known=st.lists(st.integers(0, 50), min_size=3, max_size=3),
    expected=st.lists(st.floats(0.01, 1), min_size=3, max_size=3),
    wanted=st.just(0.0) | st.floats(1e-6, 0.99),
)
def test_strangers_by_species_sum_to_their_share_and_never_exceed_their_species(
    strangers: list[float], known: list[int], expected: list[float], wanted: float
) -> None:
    photos = Sample(np.zeros(3, dtype=int), np.arange(3), np.array(strangers))
    test = np.array(expected) / sum(expected)
    found = strangers_by_species(photos, Population(np.array(known), np.arange(3), test), wanted, 1.0)
    assert (found >= 0).all()
    assert found.sum() == pytest.approx(wanted if any(strangers) else 0.0)
    there = np.array(strangers) > 0
    if test[there].sum() >= wanted:
        assert (found <= test + 1e-9).all()
    if all(known) and (test[there].sum() > wanted > 0.01) and min(strangers) > 1:
        odds = found / (test - found)
        assert odds / odds[0] == pytest.approx((np.array(strangers) / known) / (strangers[0] / known[0]), rel=1e-3)


def test_an_individual_is_met_as_often_as_its_species() -> None:
    # species 0 holds singles, species 1 pairs, and 9 of 10 test photos are of species 1, though it has fewer animals
    have = np.repeat([1, 2], [50, 50])
    photos = Sample(have, np.zeros(100, dtype=int), np.ones(100))
    catalogue = Population(np.array([1, 1, 1, 2]), np.array([0, 0, 0, 1]), np.array([0.4, 0.6]))
    weights = mix_weights(photos, catalogue, Mix(None, 1.0))
    assert share(weights, have == 2) == pytest.approx(0.6)


@given(
    have=st.lists(st.integers(0, 60), min_size=1, max_size=80),
    seed=st.integers(0, 10_000),
    new_share=st.one_of(st.none(), st.floats(0.0, 0.99)),
    exponent=st.one_of(st.none(), st.floats(0.0, 3.0)),
)
def test_weights_are_a_distribution_with_the_stated_share_of_strangers(
    have: list[int], seed: int, new_share: float | None, exponent: float | None
) -> None:
    rng = np.random.default_rng(seed)
    # both kinds are there, or a share could not be met
    gallery = np.array([0, 1, *have])
    photos = Sample(gallery, np.zeros(len(gallery), dtype=int), rng.choice([0.25, 1.0], len(gallery)))
    weights = mix_weights(photos, Population.plain(rng.integers(1, 70, 30)), Mix(new_share, exponent))
    assert weights.shape == gallery.shape
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1)
    wanted = photos.count[gallery == 0].sum() / photos.count.sum() if new_share is None else new_share
    assert share(weights, gallery == 0) == pytest.approx(wanted, abs=1e-9)
    assert (weights[gallery > 0] > 0).all()


def test_a_share_that_nobody_can_carry_is_refused() -> None:
    catalogue = Population.plain(np.array([1, 2]))
    with pytest.raises(FinblendError, match=r"share of 0\.3 of strangers, but out-of-fold there are none"):
        mix_weights(Sample.plain(np.array([1, 1])), catalogue, Mix(0.3))
    with pytest.raises(FinblendError, match=r"share of 0\.7 of known individuals, but out-of-fold there are none"):
        mix_weights(Sample.plain(np.array([0, 0])), catalogue, Mix(0.3))
    assert mix_weights(Sample.plain(np.array([0, 0])), catalogue, Mix(None)).tolist() == [0.5, 0.5]
    assert mix_weights(Sample.plain(np.array([1, 1])), catalogue, Mix(0.0)).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("value", [-0.1, 1.0, 1.5, float("nan"), float("inf")])
def test_a_share_outside_zero_to_one_is_refused(value: float) -> None:
    with pytest.raises(FinblendError, match=f"0 <= new_share < 1 must hold, but got new_share={value}"):
        Mix(new_share=value)


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_an_exponent_below_zero_or_without_end_is_refused(value: float) -> None:
    with pytest.raises(FinblendError, match=f"gallery_exponent >= 0 must hold, but got gallery_exponent={value}"):
        Mix(gallery_exponent=value)


def test_a_mix_becomes_plain_values() -> None:
    assert Mix(0.112, 1.0).as_dict() == {"new_share": 0.112, "gallery_exponent": 1.0}


@pytest.mark.parametrize("absent", ["strangers", "known"])
def test_the_share_is_met_though_test_lacks_the_species_of_all_strangers_or_all_known(absent: str) -> None:
    have = np.repeat([0, 2], [50, 150])
    species = (have == 0).astype(int) if absent == "strangers" else (have > 0).astype(int)
    catalogue = Population(np.array([3, 1]), np.array([0, 1]), np.array([1.0, 0.0]))
    weights = mix_weights(Sample(have, species, np.ones(200)), catalogue, Mix(0.2))
    assert weights.tolist() == pytest.approx(np.repeat([0.2 / 50, 0.8 / 150], [50, 150]).tolist())


def test_the_share_is_met_though_test_lacks_the_species_of_a_whole_class_of_known_photos() -> None:
    have = np.repeat([0, 1, 9], [50, 100, 100])
    species = (have == 9).astype(int)
    catalogue = Population(np.repeat([1, 9], [60, 60]), np.repeat([0, 1], [60, 60]), np.array([1.0, 0.0]))
    weights = mix_weights(Sample(have, species, np.ones(250)), catalogue, Mix(0.2))
    assert share(weights, have == 0) == pytest.approx(0.2)
    assert share(weights, have == 1) == pytest.approx(0.8)


def test_who_has_no_photo_in_the_catalogue_is_not_there() -> None:
    """As where a fold is left out of the gallery and somebody has photos in it only."""
    rng = np.random.default_rng(0)
    photos = Sample(rng.integers(0, 8, 300), rng.integers(0, 2, 300), np.ones(300))
    counts, species = rng.integers(1, 9, 40), np.repeat([0, 1], 20)
    without = Population(counts, species, np.array([0.3, 0.7]), ["a", "b"])
    with_them = Population(np.append(counts, [0, 0]), np.append(species, [0, 1]), np.array([0.3, 0.7]), ["a", "b"])
    for mix in (Mix(0.2, 0.9), Mix(0.2, 0.0), Mix({"a": 0.1, "b": 0.3}, 0.5)):
        np.testing.assert_allclose(mix_weights(photos, with_them, mix), mix_weights(photos, without, mix))


def test_strangers_may_take_all_that_test_has_of_the_catalogue_s_species() -> None:
    """Two in three test photos are of the catalogue's only species, and more than that are strangers."""
    sample = Sample(np.array([2, 2, 0, 0]), np.zeros(4, dtype=np.int64), np.ones(4))
    population = Population(np.array([2, 2]), np.zeros(2, dtype=np.int64), np.array([0.7, 0.3]))
    np.testing.assert_allclose(mix_weights(sample, population, Mix(0.8, 1.0)), [0.1, 0.1, 0.4, 0.4])


def test_known_photos_are_of_test_s_species_less_its_strangers() -> None:
    """All strangers are of the second species, whose individuals have one photo each: half of its photos, not all."""
    gallery = np.array([2] * 40 + [1] * 40 + [0] * 40, dtype=np.int64)
    species = np.array([0] * 40 + [1] * 80)
    population = Population(np.array([2] * 10 + [1] * 20), np.array([0] * 10 + [1] * 20), np.array([0.5, 0.5]))
    weights = mix_weights(Sample(gallery, species, np.ones(120)), population, Mix(0.25, 1.0))
    # 0.25 of all are strangers, so of the second species' half 0.25 are left for known photos, against 0.5 of the first
    shares = [weights[kind].sum() for kind in (gallery == 2, gallery == 1, gallery == 0)]
    assert shares == pytest.approx([0.5, 0.25, 0.25], abs=1e-6)
