"""Whitened spaces are fitted once, on whom queries may meet, and come from the cache with the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numba
import numpy as np
import polars as pl
import pytest

import ensemble.retrieval.whitening
from cv.mix import Mix
from ensemble import Project, init, register
from ensemble.protocol.setup import Setup, read_setup
from ensemble.retrieval.selection import choose_whitening
from postproc import Space
from postproc.transforms.whitening import fit_total, fit_whitening, fit_within


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """150 individuals whose looks are drowned in eight loud directions that say nothing of them."""
    rng = np.random.default_rng(0)
    who, mixing = np.repeat(np.arange(150), 3), np.linalg.qr(rng.standard_normal((24, 24)))[0]
    names = [f"p{i:03d}" for i in range(len(who))]
    test = names[:40]
    pl.DataFrame({"image": names, "individual_id": [f"i{i}" for i in who], "species": "s"}).write_csv(
        tmp_path / "train.csv"
    )
    pl.DataFrame({"image": [f"t{name}" for name in test], "predictions": "new_individual"}).write_csv(
        tmp_path / "sample.csv"
    )
    init(tmp_path / "P", train=tmp_path / "train.csv", test=tmp_path / "sample.csv")
    looks = rng.standard_normal((150, 16))

    def photos(rows: np.ndarray) -> np.ndarray:
        own = looks[rows] + 0.4 * rng.standard_normal((len(rows), 16))
        return (np.concatenate([own, 8 * rng.standard_normal((len(rows), 8))], axis=1) @ mixing).astype(np.float32)

    for name in ("a", "b"):
        register(
            tmp_path / "P",
            name,
            train=(names, photos(who)),
            test=([f"t{n}" for n in test], photos(who[:40])),
            frozen=True,
        )
    return Project.open(tmp_path / "P")


def bytes_of(space: Space) -> list[bytes]:
    return [np.asarray(view).tobytes() for side in (space.query, space.gallery) for views in side for view in views]


def all_bytes(setup: Setup) -> list[list[bytes]]:
    """Of every space of every task."""
    out = []
    for queries in (setup.retriever.out_of_fold(), setup.retriever.of_test()):
        for task in queries.tasks:
            with task.spaces() as spaces:
                out += [bytes_of(space) for space in spaces.values()]
    return out


@pytest.mark.parametrize("small", [True, False])
def test_each_whitening_is_fitted_once_and_has_the_bytes_that_it_was_chosen_with(
    project: Project, monkeypatch: pytest.MonkeyPatch, small: bool
) -> None:
    fits = list[Any]()

    def counted(whole: Any) -> Any:
        def fit(*given: Any) -> Any:
            fits.append(given)
            return whole(*given)

        return fit

    for module in (ensemble.retrieval.whitening,):
        for name in ("fit_total", "fit_whitening"):
            monkeypatch.setattr(module, name, counted(getattr(module, name)))
    if not small:
        monkeypatch.setattr(ensemble.retrieval.whitening, "SMALL", 0)
    setup = read_setup(project, Mix(None))
    assert set(setup.whitening.values()) == {"within"}
    first = all_bytes(setup)
    # small ones are kept from where they are chosen: two models, five folds and test
    assert len(fits) == (2 * 6 if small else 2 * (5 + 6))
    fits.clear()
    assert all_bytes(read_setup(Project.open(project.folder), Mix(None))) == first
    assert not fits
    # and what is fitted anew is the same
    for kept in [*project.cache.glob("whitened-*"), *project.cache.glob("whitening-map-*")]:
        for file in kept.iterdir():
            file.unlink()
    assert all_bytes(setup) == first
    assert len(fits) == 2 * 6


def test_no_choice_depends_on_the_number_of_threads(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    models = read_setup(project, Mix(None)).models
    found = []
    for threads in (1, 2, 4):
        monkeypatch.setattr(numba, "get_num_threads", lambda threads=threads: threads)
        for entry in project.cache.glob("whiten*"):
            for file in entry.iterdir():
                file.unlink()
        chosen = choose_whitening(project, models)
        kept = sorted(project.cache.glob("whiten*-*-fold0-*/*.npy"))
        found.append((chosen, [np.load(file).tobytes() for file in kept]))
    assert found[0] == found[1] == found[2]
    assert len(found[0][1]) >= 4


def test_steps_one_by_one_are_both_at_once() -> None:
    rng = np.random.default_rng(1)
    data, labels = rng.standard_normal((300, 20)).astype(np.float32), np.repeat(np.arange(100), 3)
    rows = np.arange(240)
    whole, first = fit_whitening([data], labels, rows, "within"), fit_total([data], rows)
    mapped = first.apply(data)
    both = fit_within(first, [mapped], labels, rows)
    assert both.apply(data) == pytest.approx(whole.apply(data), abs=1e-5)
    np.testing.assert_array_equal(both.apply_within(mapped), both.apply(data))
