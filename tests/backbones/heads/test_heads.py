"""Heads: against the formula in float64, against the library, and worked by hand."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from margins import CLASSES, WIDTH, drawn, formula, some_labels, wide_angles
from pytorch_metric_learning.losses import ArcFaceLoss, SubCenterArcFaceLoss
from torch.nn import functional as F

from backbones.heads import LibraryHead, MarginHead
from cv import FinblendError


@pytest.mark.parametrize("sub_centers", [1, 3])
@pytest.mark.parametrize("easy_margin", [False, True])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
@pytest.mark.parametrize("by_class", [False, True])
def test_the_loss_is_its_formula(sub_centers: int, easy_margin: bool, label_smoothing: float, by_class: bool) -> None:
    margins = np.linspace(0.1, 0.9, CLASSES) if by_class else np.full(CLASSES, 0.4)
    head = MarginHead(
        WIDTH,
        CLASSES,
        scale=7.0,
        margin=margins if by_class else 0.4,
        sub_centers=sub_centers,
        easy_margin=easy_margin,
        label_smoothing=label_smoothing,
    ).double()
    labels = some_labels()
    embeddings = wide_angles(head, labels)
    assert head(embeddings, labels).item() == pytest.approx(formula(head, embeddings, labels, margins), rel=1e-6)


@pytest.mark.parametrize("sub_centers", [1, 3])
@pytest.mark.parametrize("margin", [0.0, 0.3, 1.2])
def test_values_and_gradients_are_the_library_s(sub_centers: int, margin: float) -> None:
    head = MarginHead(WIDTH, CLASSES, scale=9.0, margin=margin, sub_centers=sub_centers).double()
    settings = {"num_classes": CLASSES, "embedding_size": WIDTH, "margin": math.degrees(margin), "scale": 9.0}
    theirs = ArcFaceLoss(**settings) if sub_centers == 1 else SubCenterArcFaceLoss(sub_centers=sub_centers, **settings)
    wrapped = LibraryHead(WIDTH, CLASSES, scale=9.0, margin=margin, sub_centers=sub_centers)
    theirs.W.data = head.weight.detach().T.clone()
    wrapped.loss.W.data = head.weight.detach().T.clone()
    labels = some_labels()
    embeddings = wide_angles(head, labels)
    results = []
    for loss, weight in ((head, head.weight), (theirs, theirs.W), (wrapped, wrapped.loss.W)):
        x = embeddings.clone().requires_grad_()
        value = loss(x, labels)
        value.backward()
        results.append((value.detach(), x.grad, weight.grad if loss is head else weight.grad.T))
    for other in results[1:]:
        for mine, their in zip(results[0], other, strict=True):
            assert torch.allclose(mine, their, rtol=1e-6, atol=1e-9)
    assert torch.allclose(head.cosines(embeddings), wrapped.cosines(embeddings))


@pytest.mark.parametrize("by_class", [False, True])
@pytest.mark.parametrize("easy_margin", [False, True])
def test_gradients_are_right_in_float64(by_class: bool, easy_margin: bool) -> None:
    margin = np.linspace(0.1, 0.5, 4) if by_class else 0.3
    head = MarginHead(3, 4, scale=5.0, margin=margin, sub_centers=2, easy_margin=easy_margin).double()
    labels = torch.tensor([0, 3, 1, 2, 2])

    def loss(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(head, {"weight": weight}, (x, labels))

    x = drawn(5, 3).requires_grad_()
    assert torch.autograd.gradcheck(loss, (x, drawn(8, 3, seed=1).requires_grad_()))


@pytest.mark.parametrize("kind", [MarginHead, LibraryHead])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_an_embedding_on_its_centre_or_opposite_has_a_gradient(kind: type, sign: float) -> None:
    head = kind(4, 3, scale=30.0, margin=0.3)
    centres = torch.eye(4)[:3]
    (head.weight if kind is MarginHead else head.loss.W).data = centres if kind is MarginHead else centres.T.clone()
    x = (sign * 5 * centres).requires_grad_()
    loss = head(x, torch.arange(3))
    loss.backward()
    own = math.cos(0.3) if sign > 0 else -1 - 0.3 * math.sin(0.3)
    assert loss.item() == pytest.approx(math.log1p(2 * math.exp(-30 * own)), abs=1e-3 if sign > 0 else 0.02)
    assert torch.isfinite(x.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in head.parameters())


@pytest.mark.parametrize("margin", [0.2, 0.8, 1.57])
def test_the_loss_rises_with_the_angle_all_the_way(margin: float) -> None:
    head = MarginHead(3, 2, scale=4.0, margin=margin).double()
    # embeddings turn away from the first centre and stay at a right angle to the second
    head.weight.data = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    angles = torch.linspace(0, math.pi, 100, dtype=torch.float64)
    turned = torch.stack([angles.cos(), angles.sin(), torch.zeros_like(angles)], dim=1)
    losses = [head(x[None], torch.tensor([0])).item() for x in turned]
    assert (np.diff(losses) > 0).all()


def test_the_easy_margin_worked_by_hand() -> None:
    head = MarginHead(2, 2, scale=2.0, margin=0.5, easy_margin=True).double()
    head.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    near = torch.tensor([[0.6, 0.8]], dtype=torch.float64)  # the cosines to the centres, too
    far = torch.tensor([[-0.6, 0.8]], dtype=torch.float64)
    first = torch.tensor([0])
    turned = 0.6 * math.cos(0.5) - 0.8 * math.sin(0.5)
    assert head(near, first).item() == pytest.approx(math.log1p(math.exp(2 * (0.8 - turned))))
    assert head(far, first).item() == pytest.approx(math.log1p(math.exp(2 * (0.8 + 0.6))))


def test_label_smoothing_is_that_of_torch_on_logits_made_by_hand() -> None:
    head = MarginHead(2, 2, scale=3.0, margin=0.0, label_smoothing=0.1).double()
    head.weight.data = torch.tensor([[2.0, 0.0], [0.0, 5.0]], dtype=torch.float64)
    x, labels = torch.tensor([[3.0, 4.0], [-6.0, 8.0]], dtype=torch.float64), torch.tensor([0, 1])
    logits = torch.tensor([[1.8, 2.4], [-1.8, 2.4]], dtype=torch.float64)
    assert head(x, labels).item() == pytest.approx(F.cross_entropy(logits, labels, label_smoothing=0.1).item())


def test_the_nearest_sub_centre_counts() -> None:
    head = MarginHead(2, 2, sub_centers=2)
    head.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    cosines = head.cosines(torch.tensor([[0.0, 7.0], [-3.0, 0.0]]))
    assert torch.allclose(cosines, torch.tensor([[1.0, 0.0], [0.0, 1.0]]))


def test_each_photo_has_the_margin_of_its_own_class() -> None:
    margins = np.array([0.1, 0.7, 0.3], dtype=np.float32)
    together = MarginHead(4, 3, margin=margins)
    x = drawn(3, 4).float()
    for label in range(3):
        alone = MarginHead(4, 3, margin=float(margins[label]))
        alone.weight = together.weight
        labels = torch.full((3,), label)
        assert torch.allclose(together(x, labels), alone(x, labels), rtol=1e-6)


@pytest.mark.parametrize("kind", [MarginHead, LibraryHead])
def test_autocast_changes_nothing(kind: type) -> None:
    torch.manual_seed(0)
    head = kind(64, 20, margin=0.3, sub_centers=2)
    x, labels = drawn(8, 64).float(), some_labels(8, 20)
    plain, cosines = head(x, labels), head.cosines(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(head(x, labels), plain)
        assert torch.equal(head.cosines(x), cosines)
        assert head(x.bfloat16(), labels).dtype == head.cosines(x.bfloat16()).dtype == torch.float32
    # the library would leave its centres in bfloat16 here, and lose what training adds to them
    assert {p.dtype for p in head.parameters()} == {torch.float32}


def test_a_margin_head_has_one_parameter_and_no_other_state() -> None:
    head = MarginHead(4, 3, margin=np.array([0.1, 0.2, 0.3]), sub_centers=2)
    assert {name: tuple(t.shape) for name, t in head.state_dict().items()} == {"weight": (6, 4)}
    bound = math.sqrt(6 / (6 + 4))
    assert bound / 2 < head.weight.abs().max() <= bound


def test_both_heads_start_with_centres_of_the_same_length() -> None:
    torch.manual_seed(0)
    ours, library = MarginHead(64, 50, sub_centers=2).weight, LibraryHead(64, 50, sub_centers=2).loss.W
    assert ours.shape == library.T.shape
    assert library.std().item() == pytest.approx(ours.std().item(), rel=0.05)


@pytest.mark.parametrize("kind", [MarginHead, LibraryHead])
def test_heads_are_copied_and_pickled_whole(kind: type) -> None:
    head = kind(4, 3)
    x, labels = torch.eye(4)[:3], torch.arange(3)
    for copied in (copy.deepcopy(head), pickle.loads(pickle.dumps(head))):
        assert torch.equal(copied(x, labels), head(x, labels))


@pytest.mark.parametrize("margin", [-0.1, math.pi / 2, math.nan, np.array([0.1, 2.0, 0.2])])
def test_a_head_refuses_margins_outside_a_right_angle(margin: float | np.ndarray) -> None:
    with pytest.raises(FinblendError, match="0 <= margin < pi/2"):
        MarginHead(4, 3, margin=margin)


def test_a_head_refuses_margins_of_other_classes() -> None:
    with pytest.raises(FinblendError, match=r"one a class \(3\), but got shape=\(2,\)"):
        MarginHead(4, 3, margin=np.array([0.1, 0.2]))
