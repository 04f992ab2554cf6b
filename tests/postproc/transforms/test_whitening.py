"""Whitening: what it does to the spread, whom it separates, and what it never looks at."""

from __future__ import annotations

import numpy as np
import pytest

from cv import FinblendError
from postproc.transforms.whitening import MAX_WIDTH, MIN_PAIRS, SHRINKAGE, Whitening, fit_whitening


def unit(array: np.ndarray) -> np.ndarray:
    """Rows of length 1, float64."""
    return array.astype(float) / np.linalg.norm(array.astype(float), axis=1, keepdims=True)


def photos(rng: np.random.Generator, n: int, width: int) -> np.ndarray:
    """Embeddings far from the origin, whose directions differ in spread by a factor of eight."""
    spread = np.geomspace(4, 0.5, width)
    mixing = np.linalg.qr(rng.standard_normal((width, width)))[0]
    return ((rng.standard_normal((n, width)) * spread + 3) @ mixing).astype(np.float32)


def shrunk(values: np.ndarray) -> np.ndarray:
    """What is left of each eigenvalue after dividing by the root of value + SHRINKAGE * mean."""
    return values / (values + SHRINKAGE * values.mean())


def cosines(whitening: Whitening, array: np.ndarray) -> np.ndarray:
    """(n, n) similarities in the whitened space."""
    mapped = whitening.apply(array).astype(float)
    return mapped @ mapped.T


@pytest.mark.parametrize(("n", "width"), [(400, 12), (13, 12), (20, 50), (3, 8)])
def test_the_total_spread_becomes_even_up_to_shrinkage(n: int, width: int) -> None:
    data = photos(np.random.default_rng(0), n, width)
    whitening = fit_whitening([data], np.zeros(n, int), np.arange(n), "total")
    r = min(n - 1, width)
    assert whitening.width == r
    centred = unit(data) - unit(data).mean(axis=0)
    mapped = centred @ whitening.total.astype(float)
    spread = mapped.T @ mapped / n
    values = np.sort(np.linalg.eigvalsh(centred.T @ centred / n))[::-1][:r]
    # which root it is, its cosines do not tell: the spread of what is mapped is the shrunk one, up to a rotation
    evened = np.sort(np.linalg.eigvalsh(spread))[::-1]
    assert evened == pytest.approx(shrunk(values), abs=2e-4)
    # and so the widest directions are brought close to one, from a spread of another order
    assert values[0] / values[-1] > 2
    assert 0.8 < evened[0] < 1


def test_the_many_and_the_few_photos_path_are_one_map() -> None:
    # 13 photos in 12 dimensions take one path; the same photos, turned into a space of 40, the other
    rng = np.random.default_rng(1)
    data, others = photos(rng, 13, 12), photos(rng, 30, 12)
    turn = np.linalg.qr(rng.standard_normal((40, 12)))[0].T
    rows, labels = np.arange(13), np.zeros(13, int)
    many = fit_whitening([data], labels, rows, "total")
    few = fit_whitening([(data @ turn).astype(np.float32)], labels, rows, "total")
    assert many.total.shape == (12, 12)
    assert few.total.shape == (40, 12)
    both = np.concatenate([data, others])
    assert cosines(few, (both @ turn).astype(np.float32)) == pytest.approx(cosines(many, both), abs=1e-3)


def test_each_view_of_each_photo_counts_as_one_more_photo() -> None:
    rng = np.random.default_rng(2)
    one, two = photos(rng, 60, 10), photos(rng, 60, 10)
    apart = fit_whitening([one, two], np.zeros(60, int), np.arange(60), "total")
    together = fit_whitening([np.concatenate([one, two])], np.zeros(120, int), np.arange(120), "total")
    assert cosines(apart, one) == pytest.approx(cosines(together, one), abs=1e-4)
    alone = fit_whitening([one], np.zeros(60, int), np.arange(60), "total")
    assert np.abs(cosines(alone, one) - cosines(apart, one)).max() > 0.01


def planted(rng: np.random.Generator, people: int, each: int) -> tuple[np.ndarray, np.ndarray]:
    """Individuals differ in 12 directions; in 4 others every photo differs, and much more."""
    labels = np.repeat(np.arange(people), each)
    look = rng.standard_normal((people, 12))[labels] + 0.4 * rng.standard_normal((len(labels), 12))
    nuisance = 8 * rng.standard_normal((len(labels), 4))
    mixing = np.linalg.qr(rng.standard_normal((16, 16)))[0]
    return (np.concatenate([look, nuisance], axis=1) @ mixing).astype(np.float32), labels


def separation(similarity: np.ndarray, labels: np.ndarray) -> float:
    """How often a photo's nearest other photo is of the same individual."""
    nearest = np.where(np.eye(len(labels), dtype=bool), -np.inf, similarity).argmax(axis=1)
    return float((labels[nearest] == labels).mean())


def test_dividing_by_the_spread_within_individuals_separates_others_that_a_nuisance_hides() -> None:
    data, labels = planted(np.random.default_rng(3), 120, 4)
    fitted, others = np.flatnonzero(labels < 80), np.flatnonzero(labels >= 80)
    raw = separation(unit(data[others]) @ unit(data[others]).T, labels[others])
    by_kind = {
        kind: separation(cosines(fit_whitening([data], labels, fitted, kind), data[others]), labels[others])
        for kind in ("total", "within")
    }
    assert raw < 0.2
    assert by_kind["total"] > raw + 0.2
    assert by_kind["within"] > by_kind["total"]
    assert by_kind["within"] > 0.9


def test_the_spread_within_individuals_becomes_even_up_to_shrinkage() -> None:
    rng = np.random.default_rng(4)
    data, labels = planted(rng, 60, 4)
    # some with one photo only, which say nothing about the spread within; two views
    data, labels = np.concatenate([data, data[:10] + 5]), np.append(labels, np.arange(60, 70))
    views = [data, (data + rng.standard_normal(data.shape)).astype(np.float32)]
    whitening = fit_whitening(views, labels, np.arange(len(labels)), "within")
    assert whitening.within is not None
    first = [whitening.without_within().apply(view).astype(float) for view in views]
    scatter = np.zeros((16, 16))
    for who in range(60):
        own = np.concatenate([view[labels == who] for view in first])
        scatter += (own - own.mean(axis=0)).T @ (own - own.mean(axis=0))
    covariance = scatter / (60 * 4 * 2 - 60)
    values = np.sort(np.linalg.eigvalsh(covariance))[::-1]
    within = whitening.within.astype(float)
    evened = np.sort(np.linalg.eigvalsh(within.T @ covariance @ within))[::-1]
    assert evened == pytest.approx(shrunk(values), abs=1e-3)


def test_the_first_step_of_within_is_total() -> None:
    data, labels = planted(np.random.default_rng(5), 30, 3)
    total, within = (fit_whitening([data], labels, np.arange(90), kind) for kind in ("total", "within"))
    assert within.without_within().apply(data).tolist() == total.apply(data).tolist()
    assert within.apply(data).tolist() != total.apply(data).tolist()


@pytest.mark.parametrize("kind", ["total", "within"])
@pytest.mark.parametrize("width", [16, 300])
def test_photos_and_labels_outside_the_rows_are_never_looked_at(kind: str, width: int) -> None:
    rng = np.random.default_rng(6)
    data, labels = planted(rng, 60, 4)
    data = (data @ rng.standard_normal((16, width))).astype(np.float32)
    rows = rng.permutation(240)[:150]
    outside = np.setdiff1d(np.arange(240), rows)
    clean = fit_whitening([data, data[::-1]], labels, rows, kind)
    spoiled, relabelled = [data.copy(), data[::-1].copy()], labels.copy()
    for view in spoiled:
        view[outside] = np.nan
    relabelled[outside] = labels[rows[0]]
    again = fit_whitening(spoiled, relabelled, rows, kind)
    assert (again.mean == clean.mean).all()
    assert (again.total == clean.total).all()
    if kind == "within":
        assert clean.within is not None
        assert (again.within == clean.within).all()


@pytest.mark.parametrize("kind", ["total", "within"])
def test_the_result_is_of_unit_length_and_does_not_depend_on_the_length_of_embeddings(kind: str) -> None:
    rng = np.random.default_rng(7)
    data, labels = planted(rng, 30, 3)
    lengths = rng.uniform(0.1, 50, (90, 1)).astype(np.float32)
    whitening, other = (fit_whitening([a], labels, np.arange(90), kind) for a in (data, data * lengths))
    mapped = whitening.apply(data)
    assert mapped.dtype == np.float32
    assert np.linalg.norm(mapped, axis=1) == pytest.approx(np.ones(90), abs=1e-6)
    assert whitening.apply(data * lengths) == pytest.approx(mapped, abs=1e-5)
    assert cosines(other, data) == pytest.approx(cosines(whitening, data), abs=1e-3)


def test_many_photos_are_mapped_block_by_block_into_a_given_array() -> None:
    rng = np.random.default_rng(8)
    data = photos(rng, 9000, 6)
    whitening = fit_whitening([data], np.zeros(9000, int), np.arange(9000), "total")
    out = np.zeros((9000, 6), dtype=np.float32)
    assert whitening.apply(data, out) is out
    for part in (slice(0, 10), slice(4090, 4110), slice(8990, 9000)):
        assert out[part] == pytest.approx(whitening.apply(data[part]), abs=1e-5)
    centred = unit(data) - unit(data).mean(axis=0)
    mapped = centred @ whitening.total.astype(float)
    values = np.sort(np.linalg.eigvalsh(centred.T @ centred / 9000))[::-1]
    evened = np.sort(np.linalg.eigvalsh(mapped.T @ mapped / 9000))[::-1]
    assert evened == pytest.approx(shrunk(values), abs=1e-3)


def test_the_width_is_bounded_and_equal_photos_do_no_harm() -> None:
    data = photos(np.random.default_rng(9), 4, 6)
    whitening = fit_whitening([np.repeat(data, 5, axis=0)], np.zeros(20, int), np.arange(20), "total")
    assert whitening.width == 6 < MAX_WIDTH
    assert np.isfinite(whitening.apply(data)).all()
    few = fit_whitening([np.tile(data, (2, 3))], np.zeros(8, int), np.arange(8), "total")
    assert few.width == 7
    assert np.isfinite(few.apply(np.tile(data, (1, 3)))).all()


def test_what_cannot_be_fitted_is_refused_with_the_number_there_is() -> None:
    data, labels = planted(np.random.default_rng(10), 40, 2)
    with pytest.raises(FinblendError, match="needs at least 3 photos, got 2"):
        fit_whitening([data], labels, np.arange(2), "total")
    assert fit_whitening([data, data], labels, np.arange(2), "total").width == 3
    with pytest.raises(FinblendError, match=f"kind within needs {MIN_PAIRS} photos .* got 48"):
        fit_whitening([data], labels, np.arange(49), "within")
    assert fit_whitening([data], labels, np.arange(50), "within").within is not None
    for kind in ("none", "all"):
        with pytest.raises(FinblendError, match=f"kind must be total or within, but got kind='{kind}'"):
            fit_whitening([data], labels, np.arange(80), kind)
