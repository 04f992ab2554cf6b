"""A further view is added to a store; folds of one model must end with the same views."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small import Small

from cv.errors import FinblendError
from ensemble import Project, init, models, register
from ensemble.registry.models import require_models


def started(small: Small, folder: Path) -> Path:
    init(folder, train=small.train_csv, test=small.sample_csv, folds=2)
    return folder


def test_a_view_is_added_and_equals_registering_both_at_once(small: Small, tmp_path: Path) -> None:
    one, two = started(small, tmp_path / "one"), started(small, tmp_path / "two")
    first, second = small.noisy(1), small.noisy(2)
    train, test = small.train_images, small.test_images
    for view, arrays in (("orig", first), ("hflip", second)):
        register(one, "m", frozen=True, view=view, train=(train, arrays[0]), test=(test, arrays[1]))
    both = [{"orig": a, "hflip": b} for a, b in zip(first, second, strict=True)]
    register(two, "m", frozen=True, train=(train, both[0]), test=(test, both[1]))
    stores = [Project.open(folder).stores()["m"]["frozen"] for folder in (one, two)]
    assert stores[0].manifest.content_sha256 == stores[1].manifest.content_sha256
    assert stores[0].views == ["orig", "hflip"]
    np.testing.assert_array_equal(stores[0].embedding("test", "hflip"), second[1])
    assert models(one)["models"][0]["map5"] == models(two)["models"][0]["map5"]


def test_a_view_that_is_there_needs_replace(small: Small, tmp_path: Path) -> None:
    folder = started(small, tmp_path / "P")
    train, test = small.noisy(1)
    register(folder, "m", frozen=True, train=(small.train_images, train), test=(small.test_images, test))
    with pytest.raises(FinblendError, match="already registered as frozen with the view orig"):
        register(
            folder, "m", frozen=True, view="orig", train=(small.train_images, train), test=(small.test_images, test)
        )


def test_folds_with_different_views_are_refused_when_they_are_needed(small: Small, tmp_path: Path) -> None:
    folder = started(small, tmp_path / "P")
    for fold, view in ((0, "orig"), (1, "hflip")):
        train, test = small.noisy(fold)
        register(folder, "m", fold=fold, view=view, train=(small.train_images, train), test=(small.test_images, test))
    with pytest.raises(FinblendError, match="different views"):
        require_models(Project.open(folder))
