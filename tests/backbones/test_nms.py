"""Non-maximum suppression: as a literal reading of it, behind torchvision's operator, and as its compiled one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backbones.nms import nms
from backbones.vision import load


def iou(a: list[float], b: list[float]) -> float:
    shared = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union > 0 else 0.0


def read_literally(boxes: list[list[float]], scores: list[float], threshold: float) -> list[int]:
    """A box is kept if no better one that is kept overlaps it; of equals the first is the better one."""
    kept: list[int] = []
    for n in sorted(range(len(boxes)), key=lambda n: (-scores[n], n)):
        if all(iou(boxes[n], boxes[better]) <= threshold for better in kept):
            kept.append(n)
    return kept


# few places and scores: boxes meet, touch, are equal and have no area, and scores tie
EDGE = st.integers(0, 6)
BOX = st.tuples(EDGE, EDGE, EDGE, EDGE).map(
    lambda e: [min(e[0], e[2]), min(e[1], e[3]), max(e[0], e[2]), max(e[1], e[3])]
)
BOXES = st.lists(st.tuples(BOX, st.integers(0, 4)), max_size=12)


# thresholds that no ratio of small whole numbers equals: there rounding would decide
@given(BOXES, st.sampled_from([0.0, 0.301, 0.503, 0.707]))
def test_it_keeps_what_a_literal_reading_keeps(drawn: list[tuple[list[float], int]], threshold: float) -> None:
    boxes, scores = [box for box, _ in drawn], [float(score) for _, score in drawn]
    found = nms(torch.tensor(boxes).reshape(-1, 4).float(), torch.tensor(scores), threshold)
    assert found.dtype == torch.int64
    assert found.tolist() == read_literally(boxes, scores, threshold)


def test_torchvision_calls_it_and_keeps_classes_apart() -> None:
    ops = load("torchvision.ops")
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 9, 10], [50, 50, 60, 60]])
    scores = torch.tensor([0.5, 0.9, 0.8, 0.1])
    assert ops.nms(boxes, scores, 0.5).tolist() == [1, 3]
    assert ops.batched_nms(boxes, scores, torch.tensor([0, 0, 1, 1]), 0.5).tolist() == [1, 2, 3]
    # many boxes go another way in torchvision: class by class
    rng = np.random.default_rng(0)
    low = torch.from_numpy(rng.uniform(0, 90, (1200, 2))).float()
    many, score = torch.cat([low, low + 10], dim=1), torch.from_numpy(rng.permutation(1200)).float()
    kinds = torch.arange(1200) % 3
    found = ops.batched_nms(many, score, kinds, 0.3)
    each = [torch.where(kinds == kind)[0] for kind in range(3)]
    apart = torch.cat([rows[nms(many[rows], score[rows], 0.3)] for rows in each])
    assert sorted(found.tolist()) == sorted(apart.tolist())
    assert score[found].tolist() == sorted(score[found].tolist(), reverse=True)


def test_other_operators_that_are_missing_still_say_so() -> None:
    ops, extension = load("torchvision.ops"), load("torchvision.extension")
    if extension._has_ops():
        pytest.skip("torchvision's compiled operators are here: nothing is missing")
    with pytest.raises(RuntimeError, match="Couldn't load custom C"):
        ops.roi_pool(torch.rand(1, 3, 8, 8), torch.rand(1, 5), 2)


def test_it_keeps_what_the_compiled_operator_keeps() -> None:
    if not load("torchvision.extension")._has_ops():
        pytest.skip("torchvision's compiled operators cannot load beside this torch")
    compiled, rng = torch.ops.torchvision.nms, np.random.default_rng(0)
    for _ in range(50):
        low = torch.from_numpy(rng.uniform(0, 50, (200, 2))).float()
        boxes = torch.cat([low, low + torch.from_numpy(rng.uniform(0, 40, (200, 2))).float()], dim=1)
        scores = torch.from_numpy(rng.random(200)).float()
        assert nms(boxes, scores, 0.5).tolist() == compiled(boxes, scores, 0.5).tolist()
