"""The head for local features: what it gives, what teaches it, and that it teaches nobody else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from backbones.layers import DelgHead, DelgTraining

CHANNELS, CLASSES, SIDE = 24, 8, 6


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def planted(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Maps of which 4 positions of 36 tell the class; the others show one of 6 patterns that anybody may have."""
    rng = np.random.default_rng(seed)
    looks = np.random.default_rng(0).normal(size=(CLASSES + 6, CHANNELS))
    labels = rng.integers(CLASSES, size=n)
    maps = looks[CLASSES + rng.integers(6, size=(n, SIDE * SIDE))]
    marked = np.zeros((n, SIDE * SIDE), dtype=bool)
    for row, label in enumerate(labels):
        places = rng.choice(SIDE * SIDE, 4, replace=False)
        maps[row, places], marked[row, places] = looks[label], True
    maps += rng.normal(0, 0.3, maps.shape)
    shape = n, SIDE, SIDE
    return (
        torch.from_numpy(maps.reshape(*shape, -1)).permute(0, 3, 1, 2).float(),
        torch.from_numpy(labels),
        torch.from_numpy(marked.reshape(shape)),
    )


def test_descriptors_are_of_length_one_and_attention_is_not_negative() -> None:
    descriptors, attention = DelgHead(48)(torch.randn(2, 48, 3, 5))
    assert descriptors.shape == (2, 40, 3, 5)
    torch.testing.assert_close(descriptors.norm(dim=1), torch.ones(2, 3, 5))
    assert attention.shape == (2, 3, 5)
    assert (attention >= 0).all()
    assert DelgHead(12).width == 12


def test_an_untrained_head_keeps_angles() -> None:
    """As many numbers as channels: the projection is a rotation."""
    maps = torch.randn(64, 8, 2, 2)
    head = DelgHead(8).train()
    descriptors, _ = head(maps)
    standard = F.normalize((maps - maps.mean((0, 2, 3), keepdim=True)) / maps.std((0, 2, 3), keepdim=True), dim=1)
    there, here = (each.permute(0, 2, 3, 1).reshape(-1, 8) for each in (standard, descriptors))
    torch.testing.assert_close(here @ here.T, there @ there.T, atol=1e-2, rtol=0)


def test_no_gradient_reaches_the_network() -> None:
    body, training = nn.Conv2d(3, CHANNELS, 1), DelgTraining(CHANNELS, CLASSES)
    training(body(torch.randn(5, 3, SIDE, SIDE)), torch.arange(5) % CLASSES).backward()
    assert all(parameter.grad is None for parameter in body.parameters())
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in training.parameters())


def test_the_losses_are_those_of_the_formulas() -> None:
    training = DelgTraining(CHANNELS, CLASSES).eval()
    maps, labels, _ = planted(3, 1)
    head = training.head
    standard = (maps - head.standard.running_mean[:, None, None]) / (head.standard.running_var[:, None, None] + 1e-5) ** 0.5  # type: ignore[index] # fmt: skip # noqa: E501
    encoder, decoder = (layer.weight[:, :, 0, 0] for layer in (head.encoder, head.decoder))
    told = []
    reconstruction = 0.0
    for x, label in zip(standard, labels, strict=True):
        columns = x.reshape(CHANNELS, -1)
        rebuilt = decoder @ (encoder @ columns)
        reconstruction += float(((rebuilt - columns) ** 2).mean().detach()) / 3
        attention = head.attention(x[None])[0, 0].reshape(-1)
        pooled = (attention * rebuilt / rebuilt.norm(dim=0)).mean(dim=1) * CHANNELS**0.5
        told.append(-torch.log_softmax(training.classifier.weight @ pooled + training.classifier.bias, 0)[label])
    mse, entropy = training.parts(maps, labels)
    assert float(mse.detach()) == pytest.approx(reconstruction, rel=1e-4, abs=1e-7)
    assert float(entropy.detach()) == pytest.approx(float(torch.stack(told).mean().detach()), rel=1e-4)
    torch.testing.assert_close(training(maps, labels), 10 * mse + entropy)


def test_attention_learns_to_look_where_the_class_shows_and_reconstruction_falls() -> None:
    maps, labels, _ = planted(128, 1)
    training = DelgTraining(CHANNELS, CLASSES)
    training.head.encoder = nn.Conv2d(CHANNELS, 10, 1, bias=False)
    training.head.decoder = nn.Conv2d(10, CHANNELS, 1, bias=False)
    optimizer = torch.optim.AdamW(training.parameters(), lr=3e-3)
    errors = []
    for step in range(100):
        rows = torch.arange(32) + 32 * (step % 4)
        reconstruction, classification = training.parts(maps[rows], labels[rows])
        optimizer.zero_grad()
        (10 * reconstruction + classification).backward()
        optimizer.step()
        errors.append(float(reconstruction.detach()))
    assert errors[-1] < 0.7 * errors[0]
    seen, _, there = planted(64, 2)
    with torch.no_grad():
        _, attention = training.eval().head(seen)
    best = attention.flatten(1).topk(4).indices
    # by chance 4 of 36; a class may be told by the absence of the others' marks, and then attention leaves its out
    assert there.flatten(1).gather(1, best).float().mean() > 0.7
