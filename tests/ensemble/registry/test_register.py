"""Register: what the rules refuse, in one line, leaving the project as it was."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import Small

from cv import FinblendError
from ensemble import Project, init, register


@pytest.fixture
def project(small: Small, tmp_path: Path) -> Path:
    init(tmp_path / "P", train=small.train_csv, test=small.sample_csv)
    return tmp_path / "P"


def tree(folder: Path) -> dict[str, bytes]:
    """Every file and its bytes."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def refused(project: Path, model: str = "m", **arguments: Any) -> str:
    """Register, which must fail in one line and change nothing."""
    before = tree(project)
    with pytest.raises(FinblendError) as caught:
        register(project, model, **arguments)
    assert tree(project) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def arrays(small: Small, seed: int = 1) -> dict[str, Any]:
    train, test = small.noisy(seed)
    return {"train": (small.train_images, train), "test": (small.test_images, test)}


def spoilt(row: int, column: int, value: float) -> Callable[[list[str], np.ndarray], tuple[list[str], np.ndarray]]:
    def spoil(images: list[str], array: np.ndarray) -> tuple[list[str], np.ndarray]:
        out = array.copy()
        out[row, column] = value
        return images, out

    return spoil


BAD = {
    "missing": (lambda i, a: (i[1:], a[1:]), "no embedding.*{0}"),
    "surplus": (lambda i, a: ([*i, "x.jpg"], np.vstack([a, a[:1]])), "x.jpg"),
    "repeated": (lambda i, a: ([*i, i[2]], np.vstack([a, a[:1]])), "{2}.*twice"),
    "unknown": (lambda i, a: (["x.jpg", *i[1:]], a), "x.jpg"),
    "all unknown": (lambda i, a: ([f"photos/{name}" for name in i], a), "looks like {0}"),
    "too few names": (lambda i, a: (i[:-1], a), "one a row"),
    "not a number": (spoilt(2, 3, np.nan), "row 3.*{2}.*NaN"),
    "infinite": (spoilt(2, 3, np.inf), "row 3.*{2}.*infinite"),
    "zero": (lambda i, a: (i, a * (np.arange(len(a)) != 4)[:, None]), "row 5.*{4}.*zero"),
    "integers": (lambda i, a: (i, (100 * a).astype(np.int8)), "floating point.*int8"),
    "another width": (lambda i, a: (i, a[:, :-1]), "23.*24|24.*23"),
    "one dimension": (lambda i, a: (i, a[:, 0]), "table"),
}


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("wrong", BAD)
def test_wrong_input_changes_nothing_and_is_told(project: Path, small: Small, split: str, wrong: str) -> None:
    spoil, told = BAD[wrong]
    given = arrays(small)
    names = list(given[split][0])
    given[split] = spoil(*given[split])
    message = refused(project, frozen=True, **given)
    assert re.search(told.format(*names), message), message


def test_a_refused_replacement_leaves_the_old_store(project: Path, small: Small) -> None:
    register(project, "m", frozen=True, **arrays(small))
    broken = arrays(small, 2)
    broken["test"] = (small.test_images, np.zeros((12, 24), np.float32))
    assert "zero" in refused(project, frozen=True, replace=True, **broken)


def test_vectors_too_short_to_have_a_cosine_are_refused(project: Path, small: Small) -> None:
    """What `register` accepts, every later command can compare."""
    given = arrays(small)
    faint = given["train"][1].copy()
    faint[6] *= np.float32(1e-30)
    assert small.train_images[6] in refused(project, frozen=True, train=(small.train_images, faint), test=given["test"])


def test_registering_twice_needs_replace(project: Path, small: Small) -> None:
    register(project, "m", fold=1, **arrays(small, 1))
    assert "--replace" in refused(project, fold=1, **arrays(small, 2))
    report = register(project, "m", fold=1, replace=True, **arrays(small, 2))
    assert report["seen"] == "fold-1"
    store = Project.open(project).stores()["m"]["fold-1"]
    np.testing.assert_array_equal(store.embedding("train", "orig"), small.noisy(2)[0])


def test_replace_of_what_is_not_there_registers_it(project: Path, small: Small) -> None:
    register(project, "m", frozen=True, replace=True, **arrays(small))
    assert list(Project.open(project).stores()) == ["m"]


@pytest.mark.parametrize(
    "flags", [{}, {"frozen": True, "full": True}, {"fold": 0, "frozen": True}, {"fold": 0, "full": True}]
)
def test_exactly_one_flag_says_what_the_network_had_seen(project: Path, small: Small, flags: dict[str, Any]) -> None:
    assert "exactly one of --frozen, --fold K and --full" in refused(project, **flags, **arrays(small))


@pytest.mark.parametrize("fold", [-1, 5, 17])
def test_a_fold_that_does_not_exist_is_answered_with_those_that_do(project: Path, small: Small, fold: int) -> None:
    told = refused(project, fold=fold, **arrays(small))
    assert f"--fold {fold}" in told
    assert "0, 1, 2, 3, 4" in told


@pytest.mark.parametrize("first", [{"frozen": True}, {"fold": 0}, {"full": True}])
@pytest.mark.parametrize("second", [{"frozen": True}, {"fold": 1}, {"full": True}])
def test_a_model_is_frozen_or_trained_and_not_both(
    project: Path, small: Small, first: dict[str, Any], second: dict[str, Any]
) -> None:
    register(project, "m", **first, **arrays(small, 1))
    if ("frozen" in first) != ("frozen" in second):
        assert "either frozen or trained" in refused(project, **second, **arrays(small, 2))
    elif first != second:
        register(project, "m", **second, **arrays(small, 2))
        assert len(Project.open(project).stores()["m"]) == 2


@pytest.mark.parametrize("other", ["m", "another"])
@pytest.mark.parametrize(("first", "second"), [({"fold": 0}, {"fold": 1}), ({"full": True}, {"fold": 1})])
def test_the_same_embeddings_under_two_flags_are_refused(
    project: Path, small: Small, other: str, first: dict[str, Any], second: dict[str, Any]
) -> None:
    register(project, "m", **first, **arrays(small))
    shuffled = arrays(small)
    order = np.random.default_rng(0).permutation(60)
    shuffled["train"] = ([small.train_images[i] for i in order], shuffled["train"][1][order])
    told = refused(project, other, **second, **shuffled)
    assert "same embeddings" in told
    assert "cannot have seen two things" in told


def test_trained_embeddings_cannot_be_passed_off_as_frozen(project: Path, small: Small) -> None:
    register(project, "trained", full=True, **arrays(small))
    assert "trained full" in refused(project, "frozen", frozen=True, **arrays(small))


def test_the_same_embeddings_under_another_name_are_refused(project: Path, small: Small) -> None:
    register(project, "m", frozen=True, **arrays(small))
    assert "once is enough" in refused(project, "copy", frozen=True, **arrays(small))


def test_the_same_weights_under_two_flags_are_refused(project: Path, small: Small) -> None:
    one, other = small.folder / "epoch9.pt", small.folder / "renamed.pt"
    one.write_bytes(b"the weights")
    other.write_bytes(b"the weights")
    register(project, "m", fold=0, weights=one, **arrays(small, 1))
    told = refused(project, "m", fold=1, weights=other, **arrays(small, 2))
    assert "same weights" in told
    assert "m fold-0" in told
    assert "same weights" in refused(project, "n", frozen=True, weights=other, **arrays(small, 2))
    # one network shown photos in two ways is one kind of model under two names
    register(project, "n", fold=0, weights=other, **arrays(small, 3))


def test_folds_of_one_model_have_one_width(project: Path, small: Small) -> None:
    register(project, "m", fold=0, **arrays(small))
    narrow = {"train": (small.train_images, small.train), "test": (small.test_images, small.test)}
    told = refused(project, fold=1, **narrow)
    assert "16" in told
    assert "24" in told


@pytest.mark.parametrize("name", ["", "a/b", "../m", ".hidden", "a b", "-m", "ü"])
def test_a_model_name_is_a_plain_folder_name(project: Path, small: Small, name: str) -> None:
    assert "model name" in refused(project, name, frozen=True, **arrays(small))


@pytest.mark.parametrize("option", ["weights", "labels"])
def test_a_missing_side_file_is_named(project: Path, small: Small, option: str) -> None:
    assert "gone.bin" in refused(project, frozen=True, **arrays(small), **{option: small.folder / "gone.bin"})


def test_a_folder_that_is_no_project_is_named(small: Small, tmp_path: Path) -> None:
    with pytest.raises(FinblendError, match=r"nowhere: is not a finblend project.*finblend init"):
        register(tmp_path / "nowhere", "m", frozen=True, **arrays(small))
