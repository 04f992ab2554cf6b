"""The posterior: sums to 1, finds what drew the truth, its order is the best of all orders, its error by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cv.errors import FinblendError
from postproc import NEW, Ranking
from postproc.calibration.calibration import calibration_error, estimate_new_share
from postproc.calibration.posterior import Posterior, fit_posterior, outcome, posterior_order, with_new_first


def lists(rng: np.random.Generator, n: int) -> Ranking:
    """Five different names with falling scores."""
    names = np.stack([rng.permutation(30)[:5] for _ in range(n)]).astype(np.int32)
    score = -np.sort(-rng.standard_normal((n, 5)), axis=1).astype(np.float32)
    return Ranking(names, score, names)


def drawn(rng: np.random.Generator, ranking: Ranking, posterior: Posterior) -> np.ndarray:
    """Right answers drawn from a posterior."""
    edges = posterior.of(ranking).cumsum(axis=1)
    came = (rng.random(len(edges))[:, None] > edges).sum(axis=1)
    named = np.concatenate([ranking.individual, np.full((len(came), 2), NEW)], axis=1)
    named[:, 6] = 99  # somebody who is in no list
    return np.take_along_axis(named, came[:, None], axis=1)[:, 0]


def test_short_lists_leave_their_share_to_the_others() -> None:
    ranking = Ranking(
        np.array([[4, 2, -1, -1, -1], [-1] * 5]),
        np.array([[0.5, 0.1, *[-np.inf] * 3], [-np.inf] * 5], dtype=np.float32),
        np.zeros((2, 5)),
    )
    found = Posterior((1.0, -0.5, 0.3, 0.2, -1.0), 0.7).of(ranking)
    assert found.sum(axis=1) == pytest.approx([1, 1])
    assert (found[0, 2:5] == 0).all()
    assert (found[1, :5] == 0).all()
    labels, place = posterior_order(ranking.individual, found)
    assert sorted(labels[0].tolist()) == [-2, -1, -1, 2, 4]
    assert labels[1].tolist() == [NEW, -1, -1, -1, -1]
    assert place[1].tolist() == [5, 6, 6, 6, 6]


def test_a_worked_posterior() -> None:
    """Utilities 2, 1 (0.5 of it the gap's), new 0, missed -1 against the softmax by hand."""
    ranking = Ranking(np.array([[4, 2, -1, -1, -1]]), np.array([[1, 0.5, *[-np.inf] * 3]]), np.zeros((1, 5)))
    found = Posterior((2.0, 0.0, 0.0, 0.0, -1.0), 1.0).of(ranking)[0]
    odds = np.exp([2, 1, 0, -1])
    assert found[[0, 1, 5, 6]] == pytest.approx(odds / odds.sum())


def test_fit_finds_what_drew_the_truth() -> None:
    rng = np.random.default_rng(0)
    ranking = lists(rng, 40_000)
    true = Posterior((1.5, -0.8, 0.7, 1.0, -0.5), 1.0)
    truth = drawn(rng, ranking, true)
    found = fit_posterior(ranking, truth, np.ones(len(truth)))
    assert np.abs(found.of(ranking) - true.of(ranking)).max() < 0.05
    assert np.abs(found.of(ranking) - true.of(ranking)).mean() < 0.005


def test_weights_are_the_prior() -> None:
    """Strangers with the weight of a quarter get a mean probability of a quarter, whatever their number."""
    rng = np.random.default_rng(1)
    ranking = lists(rng, 2000)
    truth = drawn(rng, ranking, Posterior((1.0, 0.0, 1.0, 1.0, 0.0), 1.0))
    new = truth == NEW
    weights = np.where(new, 0.25 / new.sum(), 0.75 / (~new).sum())
    found = fit_posterior(ranking, truth, weights).of(ranking)
    assert weights @ found[:, 5] == pytest.approx(0.25, abs=1e-4)


@pytest.mark.parametrize("truth", [np.zeros(6), np.full(6, NEW), np.full(6, 9)])
def test_one_outcome_alone_and_constant_scores_stay_finite(truth: np.ndarray) -> None:
    names = np.tile(np.arange(5), (6, 1)).astype(np.int32)
    ranking = Ranking(names, np.full((6, 5), 0.5, dtype=np.float32), names)
    found = fit_posterior(ranking, truth, np.ones(6)).of(ranking)
    came = outcome(ranking.individual, truth)
    assert np.isfinite(found).all()
    assert (found[np.arange(6), came] > 0.9).all()


def test_no_order_is_better_than_falling_probability() -> None:
    rng = np.random.default_rng(2)
    ranking = lists(rng, 5)
    probability = rng.dirichlet(np.ones(7), 5)
    _, place = posterior_order(ranking.individual, probability)
    for p, chosen in zip(probability, place, strict=True):
        expected = [
            sum(p[one] / k for k, one in enumerate(order, start=1)) for order in itertools.permutations(range(6), 5)
        ]
        assert sum(p[one] / k for k, one in enumerate(chosen, start=1)) == pytest.approx(max(expected))


@given(seed=st.integers(0, 1000), share=st.floats(0, 1), n=st.integers(1, 40))
def test_a_target_share_moves_somebody_new_only(seed: int, share: float, n: int) -> None:
    probability = np.random.default_rng(seed).dirichlet(np.full(6, 0.3), n)
    moved = with_new_first(probability, share)
    assert moved.sum(axis=1) == pytest.approx(np.ones(n))
    first = moved[:, -2] > moved[:, :-2].max(axis=1)
    assert abs(first.sum() - share * n) <= 0.5 + 1e-9
    rest = np.delete(moved, 4, axis=1)
    old = np.delete(probability, 4, axis=1)
    seen = rest.sum(axis=1) > 1e-9
    shown = rest[seen] / rest[seen].sum(axis=1, keepdims=True)
    assert shown == pytest.approx(old[seen] / old[seen].sum(axis=1, keepdims=True), abs=1e-6)


def test_a_target_share_among_certain_answers() -> None:
    certain = np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]])
    assert (with_new_first(certain, 1.0)[:, 1] > 0.5).all()
    # where no name has a probability, somebody new stays first
    assert (with_new_first(certain, 0.0)[:, 1] > 0.5).tolist() == [False, True, False]


def test_calibration_error_of_two_groups_by_hand() -> None:
    """A half at 0.8 of which 0.6 are right, a half at 0.2 of which 0.3 are: 0.5 * 0.2 + 0.5 * 0.1."""
    probability = np.repeat([0.8, 0.2], 10)
    right = np.concatenate([np.arange(10) < 6, np.arange(10) < 3])
    assert calibration_error(probability, right, np.ones(20)) == pytest.approx(0.15)


def test_wrong_values_are_refused() -> None:
    for coefficients, scale in (((1.0,) * 4, 1.0), ((np.nan,) * 5, 1.0), ((1.0,) * 5, 0.0)):
        with pytest.raises(FinblendError, match="must hold"):
            Posterior(coefficients, scale)
    ranking = lists(np.random.default_rng(0), 3)
    with pytest.raises(FinblendError, match="no photo has weight"):
        fit_posterior(ranking, np.zeros(3), np.zeros(3))


@pytest.mark.parametrize(("share", "prior"), [(0.3, 0.1), (0.05, 0.4), (0.2, 0.2)])
def test_the_share_of_strangers_is_found_from_another_prior(share: float, prior: float) -> None:
    """Scores of two normal distributions, whose posterior under the prior is known."""
    rng = np.random.default_rng(3)
    new = rng.random(40_000) < share
    score = rng.normal(np.where(new, 0.0, 2.0))
    ratio = np.exp(-(score**2) / 2 + (score - 2) ** 2 / 2) * prior / (1 - prior)
    assert estimate_new_share(ratio / (1 + ratio), prior) == pytest.approx(share, abs=0.01)


def test_the_share_is_the_most_likely_one() -> None:
    rng = np.random.default_rng(4)
    probability, prior = rng.random(200) ** 3, 0.3
    grid = np.linspace(0.0001, 0.9999, 9999)[:, None]
    likelihood = np.log(probability * grid / prior + (1 - probability) * (1 - grid) / (1 - prior)).sum(axis=1)
    assert estimate_new_share(probability, prior) == pytest.approx(grid[likelihood.argmax(), 0], abs=2e-4)


def test_a_prior_of_none_or_all_is_refused() -> None:
    for prior in (0.0, 1.0):
        with pytest.raises(FinblendError, match="0 < prior < 1"):
            estimate_new_share(np.array([0.5]), prior)
