"""The contract of traits: something known about a query and its candidates, NaN where it is not."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from postproc.neighbours.search import NOBODY
from postproc.second_stage.candidates import Candidates
from postproc.second_stage.cohort import NO_FOLD
from postproc.second_stage.features import CandidateFeatures, candidate_features
from postproc.second_stage.traits import CandidateRows, Trait

NEEDS = ("evidence", "pair source", "column", "review")
# queries, places, individuals that are drawn
SIZE = (12, 6, 20)


class TraitContract:
    """Subclass it with the fixture `trait` and the method `known`, and pytest checks every rule on it.

    Candidates are drawn with one model and two pair sources; a trait that asks about other things (a catalogue's rows)
    overrides the fixture `rows`.

    Attributes
    ----------
    by_place : bool
        Whether it may depend on the order in which the candidates stand.

    Examples
    --------
    >>> class TestKilometresBetween(TraitContract):
    ...     @pytest.fixture
    ...     def trait(self):
    ...         return KilometresBetween(place_of_query, place_of_individual)
    ...
    ...     def known(self, trait, rows):
    ...         return ~np.isnan(place_of_individual[rows.candidates.individual])
    """

    by_place: bool = False

    @pytest.fixture
    def trait(self) -> Trait:
        """Build the trait; to be overridden."""
        raise NotImplementedError

    def known(self, trait: Trait, rows: CandidateRows) -> np.ndarray:
        """(n, places) bool: of whom it has a number, told another way than by the trait; to be overridden."""
        raise NotImplementedError

    @pytest.fixture
    def rows(self) -> CandidateRows:
        """Candidates that the trait is asked about: those of `drawn`."""
        return self.drawn()

    def drawn(self) -> CandidateRows:
        """Draw candidates of queries of two folds and of none; the first query has nobody, most pairs no number."""
        n, places, individuals = SIZE
        draw = np.random.default_rng(3)
        individual = np.stack([draw.permutation(individuals)[:places] for _ in range(n)]).astype(np.int32)
        individual[np.arange(places) >= draw.integers(0, places + 1, n)[:, None]] = NOBODY
        individual[0], individual[1, 0] = NOBODY, 7
        nobody = individual == NOBODY
        seen = draw.integers(1, 4, (n, places)).astype(np.int32)
        similarity = -np.sort(-draw.uniform(0, 1, (n, places, 2, 3)), axis=3).astype(np.float32)
        best, second = draw.exponential(5.0, (2, n, places, 4)).astype(np.float32)
        best[draw.random(best.shape) < 0.4] = np.nan
        second[draw.random(best.shape) < 0.4] = np.nan
        pairs = np.stack([best, np.minimum(best, second), best + np.nan_to_num(second)], axis=3)
        similarity[nobody], pairs[nobody], seen[nobody] = np.nan, np.nan, 0
        photo = np.where(nobody, NOBODY, 3 * individual).astype(np.int32)
        fold = draw.choice([NO_FOLD, 0, 1], n)
        return CandidateRows(Candidates(individual, photo, seen, similarity, pairs), np.arange(n), fold)

    def told(self, trait: Trait, rows: CandidateRows) -> np.ndarray:
        """What the trait says of rows that nobody may write into."""
        before = [each.copy() for each in _arrays(rows)]
        for each in _arrays(rows):
            each.setflags(write=False)
        value = np.array(trait.of(rows))
        for now, then in zip(_arrays(rows), before, strict=True):
            np.testing.assert_array_equal(now, then)
        return value

    def test_it_has_a_name_that_no_feature_has_and_says_what_it_needs(self, trait: Trait, rows: CandidateRows) -> None:
        """A word in one line, unique among all features of a stage."""
        assert trait.name
        assert trait.name.strip() == trait.name
        assert trait.name.isprintable()
        assert trait.needs in NEEDS
        found = _features(trait, rows)
        for names in (found.names, found.query_names):
            assert names.count(trait.name) == 1
            assert len(set(names)) == len(names)

    def test_it_is_a_number_for_each_candidate(self, trait: Trait, rows: CandidateRows) -> None:
        """(n, places) floats, never infinite, NaN where there is nobody."""
        value = self.told(trait, rows)
        assert value.shape == rows.candidates.individual.shape
        assert np.issubdtype(value.dtype, np.floating)
        assert not np.isinf(value).any()
        assert np.isnan(value[rows.candidates.individual == NOBODY]).all()
        assert np.isfinite(value).any()

    def test_what_is_not_known_is_nan_and_not_0(self, trait: Trait, rows: CandidateRows) -> None:
        """A number where `known` says so, and nowhere else; the second stage gets both."""
        present = rows.candidates.individual != NOBODY
        known = self.known(trait, rows) & present
        np.testing.assert_array_equal(~np.isnan(self.told(trait, rows)), known)
        found = _features(trait, rows)
        at = found.names.index(trait.name)
        np.testing.assert_array_equal(np.isnan(found.candidate[..., at]), present & ~known)
        np.testing.assert_array_equal(found.candidate[..., found.names.index(f"known:{trait.name}")], known)

    def test_a_query_s_numbers_do_not_depend_on_the_other_queries(self, trait: Trait, rows: CandidateRows) -> None:
        """Alone, among some, turned round, twice: the second stage asks in blocks."""
        whole, n = self.told(trait, rows), len(rows.query)
        for some in (*np.arange(n)[:, None], np.arange(n)[::-1], np.arange(n)[::2], np.array([1, 0, 1])):
            np.testing.assert_allclose(self.told(trait, rows.take(some)), whole[some], rtol=1e-6, atol=1e-7)
        nothing = self.told(trait, rows.take(np.arange(0)))
        assert nothing.shape == (0, whole.shape[1])

    def test_it_answers_alike_again(self, trait: Trait, rows: CandidateRows) -> None:
        """Same candidates, same numbers, bit by bit, and nothing that it was given is changed."""
        np.testing.assert_array_equal(self.told(trait, rows), self.told(trait, rows))

    def test_the_order_of_the_places_does_not_matter(self, trait: Trait, rows: CandidateRows) -> None:
        """Each candidate's number goes along with it, unless the trait is about places."""
        if self.by_place:
            pytest.skip("it is about places")
        n, places = rows.candidates.individual.shape
        order = np.random.default_rng(4).permuted(np.tile(np.arange(places), (n, 1)), axis=1)
        moved = Candidates(
            *(getattr(rows.candidates, f.name)[np.arange(n)[:, None], order] for f in fields(Candidates))
        )
        value = self.told(trait, CandidateRows(moved, rows.query, rows.fold))
        whole = np.take_along_axis(self.told(trait, rows), order, axis=1)
        np.testing.assert_allclose(value, whole, rtol=1e-5, atol=1e-6)


def _arrays(rows: CandidateRows) -> list[np.ndarray]:
    return [*(getattr(rows.candidates, f.name) for f in fields(Candidates)), rows.query, rows.fold]


def _features(trait: Trait, rows: CandidateRows) -> CandidateFeatures:
    """What the second stage makes of the candidates and this trait."""
    shape, columns = rows.candidates.individual.shape, rows.candidates.similarity.shape[2]
    sources = tuple(f"model {n}" for n in range(columns - 1))
    nothing, background = np.zeros(shape), np.zeros((*shape, columns))
    species = np.zeros(shape[0], dtype=np.int64)
    return candidate_features(rows.candidates, sources, nothing, nothing, background, species, [trait], rows)
