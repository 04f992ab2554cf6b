"""The likelihood of the conditional logit: slopes and curvature by differences, its maximum by scipy and by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numba
import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from cv.errors import FinblendError
from postproc.second_stage.likelihood import _FEW, Coefficients, Likelihood

PLACES, TRAITS, OF_QUERY = 4, 3, 2


def likelihood(
    rng: np.random.Generator, n: int, own_say: int = 0, n_species: int = 3, spread: float = 1.0
) -> Likelihood:
    """Queries at random; the last species has none."""
    present = rng.random((n, PLACES)) < 0.8
    x = np.where(present[:, :, None], spread * rng.standard_normal((n, PLACES, TRAITS)), 0).astype(np.float32)
    z = np.concatenate([rng.standard_normal((n, OF_QUERY)), np.ones((n, 1))], axis=1)
    may_come = np.concatenate([present, np.ones((n, 2), dtype=bool)], axis=1)
    of_query = np.append(np.ones(OF_QUERY), 1e-4)
    return Likelihood(
        x=x,
        z=z,
        present=present,
        outcome=np.argmax(np.where(may_come, rng.random(may_come.shape), 0), axis=1),
        weights=rng.uniform(0.1, 2, n),
        species=np.sort(rng.integers(0, max(1, n_species - 1), n)),
        penalty=Coefficients(
            common=np.concatenate([np.ones(TRAITS), of_query, of_query]),
            of_species=np.tile(np.append(1.0, np.full(own_say, 2.0)), (n_species, 1)),
        ),
    )


def coefficients(rng: np.random.Generator, like: Likelihood) -> Coefficients:
    return Coefficients(
        common=rng.standard_normal(like.penalty.common.shape),
        of_species=rng.standard_normal(like.penalty.of_species.shape),
    )


def flat(at: Coefficients) -> np.ndarray:
    return np.concatenate([at.common, at.of_species.ravel()])


def unflat(numbers: np.ndarray, like: Likelihood) -> Coefficients:
    common = len(like.penalty.common)
    return Coefficients(common=numbers[:common], of_species=numbers[common:].reshape(like.penalty.of_species.shape))


def plain_loss(at: Coefficients, like: Likelihood) -> float:
    """The formula, query by query."""
    candidate, new, missed = np.split(at.common, [TRAITS, TRAITS + OF_QUERY + 1])
    total = 0.5 * float(flat(like.penalty) @ flat(at) ** 2)
    for i, species in enumerate(like.species):
        own = at.of_species[species]
        say = candidate.copy()
        say[TRAITS - len(own) + 1 :] += own[1:]
        named = np.where(like.present[i], like.x[i].astype(float) @ say, -np.inf)
        utility = np.concatenate([named, [like.z[i] @ new + own[0], like.z[i] @ missed]])
        total += like.weights[i] * (np.log(np.exp(utility).sum()) - utility[like.outcome[i]])
    return total


SIZES: dict[str, Any] = {"n": st.integers(1, 40), "own_say": st.integers(0, 2), "seed": st.integers(0, 10_000)}


@examples(20)
@given(**SIZES)
def test_slopes_and_curvature_are_what_differences_say(n: int, own_say: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    like = likelihood(rng, n, own_say)
    at = coefficients(rng, like)
    here, numbers, size = like.slopes(at), flat(at), 1e-5
    assert here.loss == pytest.approx(plain_loss(at, like), rel=1e-12)
    steps = size * np.eye(len(numbers))
    slope = [(plain_loss(unflat(numbers + s, like), like) - plain_loss(unflat(numbers - s, like), like)) for s in steps]
    assert flat(here.slope) == pytest.approx(np.array(slope) / (2 * size), abs=1e-4)
    turns = [flat(like.slopes(unflat(numbers + s, like)).slope) - flat(here.slope) for s in steps]
    curvature = np.array(turns) / size
    dense, border = like.curvature(here, np.float64)
    d = len(at.common)
    assert dense + np.diag(like.penalty.common) == pytest.approx(curvature[:d, :d], abs=1e-3)
    whole = np.zeros((len(like.penalty.of_species), 1 + own_say, d))
    whole[np.unique(like.species)] = border
    assert whole.reshape(-1, d) == pytest.approx(curvature[d:, :d], abs=1e-3)
    # and the step is minus its inverse times the slope, in either precision
    expected = -np.linalg.solve(curvature, flat(here.slope))
    for precision in (np.float64, np.float32):
        assert flat(like._step(here, precision)) == pytest.approx(expected, abs=2e-3 * np.abs(expected).max())


@pytest.mark.parametrize(("n", "own_say", "spread"), [(30, 0, 1.0), (300, 2, 3.0), (_FEW + 300, 1, 0.3)])
def test_the_maximum_is_scipys(n: int, own_say: int, spread: float) -> None:
    like = likelihood(np.random.default_rng(n), n, own_say, spread=spread)

    def loss(numbers: np.ndarray) -> tuple[float, np.ndarray]:
        here = like.slopes(unflat(numbers, like))
        return here.loss, flat(here.slope)

    start = np.zeros(len(flat(like.penalty)))
    told = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 20_000, "ftol": 0, "gtol": 1e-9})
    found = like.maximum()
    # as near as a line search sees that its loss falls; the slope tells more
    assert flat(found) == pytest.approx(told.x, abs=5e-6)
    assert like.slopes(found).loss <= told.fun + 1e-9
    assert flat(like.slopes(found).slope) == pytest.approx(0, abs=1e-6)


@examples(15)
@given(**SIZES)
def test_the_maximum_is_one_whatever_the_start(n: int, own_say: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    like = likelihood(rng, n, own_say, spread=float(rng.uniform(0.1, 5)))
    found = flat(like.maximum())
    for far in (0.1, 3.0, 20.0):
        start = unflat(far * flat(coefficients(rng, like)), like)
        again = flat(like.maximum(start))
        # the constants of what never comes are held by a hair
        assert again == pytest.approx(found, abs=1e-4)
        assert like.slopes(unflat(again, like)).share == pytest.approx(like.slopes(unflat(found, like)).share, abs=1e-7)


def test_without_traits_shares_are_what_came() -> None:
    """12 known among 3 candidates each, 3 strangers, 1 missed: the odds against a candidate are 3 and 1 to 12 / 3."""
    n = 16
    like = Likelihood(
        x=np.zeros((n, 3, 1), dtype=np.float32),
        z=np.ones((n, 1)),
        present=np.ones((n, 3), dtype=bool),
        outcome=np.array([0, 1, 2] * 4 + [3] * 3 + [4]),
        weights=np.ones(n),
        species=np.zeros(n, dtype=np.int64),
        penalty=Coefficients(common=np.array([1.0, 1e-9, 1e-9]), of_species=np.full((1, 1), 1.0)),
    )
    found = like.maximum()
    assert found.common == pytest.approx([0, np.log(3 / 4), np.log(1 / 4)], abs=1e-6)
    assert found.of_species == pytest.approx(0, abs=1e-6)
    assert like.slopes(found).share[0] == pytest.approx([0.25, 0.25, 0.25, 3 / 16, 1 / 16])


@pytest.mark.parametrize("came", [0, PLACES, PLACES + 1])
def test_an_outcome_that_never_comes_or_always_has_a_finite_constant(came: int) -> None:
    like = likelihood(np.random.default_rng(1), 200)
    present = like.present | (np.arange(PLACES) == 0)
    found = replace(like, outcome=np.full(200, came), present=present).maximum()
    assert np.abs(flat(found)).max() < 30
    share = replace(like, present=present).slopes(found).share
    by_kind = np.stack([share[:, :PLACES].sum(axis=1), *share[:, PLACES:].T], axis=1)
    assert by_kind[:, max(0, came - PLACES + 1)].min() > 0.9


def test_no_sum_depends_on_the_number_of_threads() -> None:
    like = likelihood(np.random.default_rng(2), 3000, 1)
    before, found = numba.get_num_threads(), []
    try:
        for threads in (1, numba.config.NUMBA_NUM_THREADS):  # type: ignore[attr-defined,unused-ignore]
            numba.set_num_threads(threads)
            found.append(flat(like.maximum()))
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(found[0], found[1])


def test_queries_out_of_order_are_refused() -> None:
    like = likelihood(np.random.default_rng(3), 50)
    with pytest.raises(FinblendError, match="of a species must stand together"):
        replace(like, species=like.species[::-1].copy())
