"""Margins by class, and recipes that build heads: refused where they make no sense, built whole."""

from __future__ import annotations

import math

import numpy as np
import pytest
from margins import PHOTOS, WIDTH, drawn, formula, some_labels, wide_angles

from backbones import heads
from backbones.heads import Head, HeadRecipe, LibraryHead, MarginHead, build_head, margins_by_count
from cv import FinblendError


def test_margins_shrink_with_the_photos_as_by_hand() -> None:
    margins = margins_by_count(np.array([1, 4, 16]), 0.4, 0.5, 0.05)
    assert margins.dtype == np.float32
    assert margins.tolist() == pytest.approx([0.45, 0.25, 0.15])


@pytest.mark.parametrize(
    ("counts", "rule", "message"),
    [
        ([3, 0, 1], (0.3, 0.4, 0.05), "class 1 has count=0"),
        ([3, 1], (0.3, -0.36, 0.05), "power >= 0"),
        ([3, 1], (1.6, 0.4, 0.05), "0 <= margin < pi/2 must hold .radians., but got margin=1.0.*, 1.65|margin=1.65"),
        ([1000], (0.3, 0.5, -0.05), "margin=-0.04"),
        ([1], (math.nan, 0.5, 0.0), "scale=nan"),
        ([1.0, 2.0], (0.3, 0.4, 0.05), "integers"),
        ([[1, 2]], (0.3, 0.4, 0.05), "one row"),
    ],
)
def test_counts_and_margins_that_make_no_sense_are_refused(
    counts: list, rule: tuple[float, float, float], message: str
) -> None:
    with pytest.raises(FinblendError, match=message) as refusal:
        margins_by_count(np.array(counts), *rule)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sub_centers": 0},
        {"sub_centers": 2.0},
        {"sub_centers": True},
        {"scale": 0.0},
        {"scale": math.inf},
        {"scale": "30"},
        {"margin": 1.6},
        {"margin": -0.1},
        {"easy_margin": 1},
        {"label_smoothing": 1.0},
        {"label_smoothing": -0.1},
        {"margin_by_count": (0.3, 0.4)},
        {"margin_by_count": (0.3, 0.4, None)},
        {"margin_by_count": (0.3, -0.4, 0.05)},
        {"margin_by_count": (3.0, 0.4, 0.05)},
    ],
)
def test_a_recipe_refuses_what_is_no_head(wrong: dict) -> None:
    with pytest.raises(FinblendError) as refusal:
        HeadRecipe(**wrong)
    assert "\n" not in str(refusal.value)
    assert " must " in str(refusal.value)


def test_a_recipe_from_json_is_that_recipe() -> None:
    assert HeadRecipe(margin_by_count=[0.3, 0.4, 0.05]) == HeadRecipe(margin_by_count=(0.3, 0.4, 0.05))


@pytest.mark.parametrize(
    ("recipe", "kind"),
    [
        (HeadRecipe(), LibraryHead),
        (HeadRecipe(sub_centers=1), LibraryHead),
        (HeadRecipe(easy_margin=True), MarginHead),
        (HeadRecipe(label_smoothing=0.1), MarginHead),
        (HeadRecipe(margin_by_count=(0.27, 0.36, 0.05)), MarginHead),
    ],
)
def test_the_library_is_taken_where_it_has_the_head(recipe: HeadRecipe, kind: type) -> None:
    head: Head = build_head(recipe, WIDTH, np.array([5, 2, 1, 9]))
    assert type(head) is kind
    x = drawn(7, WIDTH).float()
    assert head.cosines(x).shape == (7, 4)
    assert head.forward(x, some_labels(7, 4)).shape == ()
    assert sum(p.numel() for p in head.parameters()) == 4 * recipe.sub_centers * WIDTH


def test_a_built_head_has_all_of_its_recipe() -> None:
    counts = np.array([1, 4, 100])
    recipe = HeadRecipe(2, 20.0, 0.3, True, 0.1, (0.3, 0.5, 0.05))
    head = build_head(recipe, WIDTH, counts).double()
    labels = some_labels(PHOTOS, 3)
    embeddings = wide_angles(head, labels)
    margins = margins_by_count(counts, 0.3, 0.5, 0.05)
    assert (head.sub_centers, head.scale, head.easy_margin, head.label_smoothing) == (2, 20.0, True, 0.1)
    assert head(embeddings, labels).item() == pytest.approx(formula(head, embeddings, labels, margins), rel=1e-6)


def test_a_library_head_has_all_of_its_recipe() -> None:
    head = build_head(HeadRecipe(2, 20.0, 0.4), WIDTH, np.array([3, 3, 3]))
    ours = MarginHead(WIDTH, 3, scale=20.0, margin=0.4, sub_centers=2)
    ours.weight.data = head.loss.W.detach().T.clone()
    labels = some_labels(PHOTOS, 3)
    embeddings = wide_angles(ours, labels).float()
    assert head(embeddings, labels).item() == pytest.approx(ours(embeddings, labels).item(), rel=1e-4)


def test_one_class_is_no_task() -> None:
    with pytest.raises(FinblendError, match="classes=1"):
        build_head(HeadRecipe(), WIDTH, np.array([7]))


def test_the_package_names_what_it_has() -> None:
    assert all(hasattr(heads, name) for name in heads.__all__)
