"""Layers: pooling, the orthogonal part, DOLG and the neck, against formulas written out and at their edges."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from backbones.heads import MarginHead
from backbones.layers import Dolg, GeM, LocalBranch, Neck, orthogonal_part
from cv import FinblendError


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Standard normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def cosine_to(globe: torch.Tensor, part: torch.Tensor) -> float:
    """The largest |cosine| between a feature and its photo's global one, in float64."""
    unit = F.normalize(globe.double(), dim=1)
    feature = F.normalize(part.double().flatten(2), dim=1)
    return float((feature * unit[:, :, None]).sum(1).abs().max())


@pytest.mark.parametrize("module", ["backbones", "backbones.store"])
def test_embeddings_are_read_without_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_gem_is_the_mean_for_p_1_and_nears_the_maximum_for_large_p() -> None:
    x = drawn(3, 5, 4, 7).abs() + 0.1
    assert torch.allclose(GeM(p=1.0)(x), x.mean((-2, -1)), rtol=1e-6)
    # (max^p / 28)^(1/p) <= GeM <= max
    ratio = GeM(p=200.0)(x * 1000) / (x * 1000).amax((-2, -1))
    assert 28 ** (-1 / 200) - 1e-6 <= ratio.min() <= ratio.max() <= 1 + 1e-6


@pytest.mark.parametrize("p", [1.0, 2.5, 3.0])
def test_gem_is_its_formula(p: float) -> None:
    x = drawn(2, 3, 5, 4)
    literal = (np.maximum(x.double().numpy(), 1e-6) ** p).mean((-2, -1)) ** (1 / p)
    assert np.allclose(GeM(p)(x).detach().numpy(), literal, rtol=1e-5)


def test_gem_of_a_dead_channel_has_a_gradient() -> None:
    x = torch.zeros(1, 2, 3, 3).requires_grad_()
    gem = GeM(p=12.0)
    gem(x).sum().backward()
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(gem.p.grad)


def test_gem_has_the_right_gradients_also_for_p() -> None:
    gem = GeM(p=3.0).double()

    def pooled(x: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(gem, {"p": p}, (x,))

    x = (drawn(2, 2, 3, 3, dtype=torch.float64).abs() + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(pooled, (x, torch.tensor(3.0, dtype=torch.float64, requires_grad=True)))


def test_gem_learns_p_only_when_told_to() -> None:
    assert [p.requires_grad for p in (GeM().p, GeM(trainable=False).p)] == [True, False]


@pytest.mark.parametrize(("p", "eps"), [(0.0, 1e-6), (math.nan, 1e-6), (math.inf, 1e-6), (3.0, 0.0)])
def test_gem_refuses_what_is_no_mean(p: float, eps: float) -> None:
    with pytest.raises(FinblendError, match="must hold for generalised mean pooling"):
        GeM(p=p, eps=eps)


def test_gem_is_in_float32_under_autocast() -> None:
    x = drawn(2, 3, 9, 9).abs()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pooled, halves = GeM()(x), GeM()(x.bfloat16())
    assert pooled.dtype == halves.dtype == torch.float32
    assert torch.equal(pooled, GeM()(x))
    assert torch.equal(halves, GeM()(x.bfloat16().float()))


@pytest.mark.parametrize("length", [1e-5, 1e-2, 1.0, 3.0, 1e6])
@pytest.mark.parametrize("autocast", [False, True])
def test_the_orthogonal_part_is_orthogonal_whatever_the_length(length: float, autocast: bool) -> None:
    local = drawn(4, 32, 5, 3)
    globe = length * F.normalize(drawn(4, 32, seed=1), dim=1)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        part = orthogonal_part(local, globe)
    assert part.dtype == torch.float32
    assert part.shape == local.shape
    assert cosine_to(globe, part) < 1e-6


def test_the_orthogonal_part_and_the_projection_make_up_the_local_feature() -> None:
    local, globe = drawn(2, 8, 3, 4).double().numpy(), drawn(2, 8, seed=1).double().numpy()
    literal = np.empty_like(local)
    for b, y, x in np.ndindex(2, 3, 4):
        literal[b, :, y, x] = local[b, :, y, x] - local[b, :, y, x] @ globe[b] / (globe[b] @ globe[b]) * globe[b]
    assert np.allclose(orthogonal_part(torch.tensor(local), torch.tensor(globe)).numpy(), literal, atol=1e-14)


def test_halves_are_made_orthogonal_in_float32() -> None:
    local, globe = drawn(2, 64, 4, 4).bfloat16(), drawn(2, 64, seed=1).bfloat16()
    assert cosine_to(globe, orthogonal_part(local, globe)) < 1e-6


def test_a_global_feature_of_zero_takes_nothing_away() -> None:
    local, globe = drawn(2, 4, 3, 3).requires_grad_(), torch.zeros(2, 4).requires_grad_()
    part = orthogonal_part(local, globe)
    assert torch.equal(part, local)
    part.square().sum().backward()
    assert torch.isfinite(local.grad).all()
    assert torch.isfinite(globe.grad).all()


def test_the_orthogonal_part_has_the_right_gradients() -> None:
    local = drawn(2, 3, 2, 2, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(orthogonal_part, (local, drawn(2, 3, seed=1, dtype=torch.float64).requires_grad_()))


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (7, 7), (13, 9)])
def test_local_features_keep_the_size_of_the_map(size: tuple[int, int]) -> None:
    features = LocalBranch(6, 8).eval()(drawn(1, 6, *size))
    assert features.shape == (1, 8, *size)
    assert torch.isfinite(features).all()


def test_a_local_feature_is_as_long_as_its_attention() -> None:
    branch, seen = LocalBranch(6, 8).eval(), {}
    branch.attention.register_forward_hook(lambda _module, _inputs, out: seen.update(attention=out))
    length = branch(drawn(2, 6, 5, 5)).norm(dim=1, keepdim=True)
    assert torch.allclose(length, F.softplus(seen["attention"]), rtol=1e-5)
    assert length.min() > 0


def test_the_atrous_convolutions_see_as_far_as_they_say() -> None:
    branch = LocalBranch(1, 6, dilations=(2, 5))
    assert [tuple(c.dilation) for c in branch.atrous] == [(2, 2), (5, 5)]
    x = torch.zeros(1, 1, 13, 13)
    x[0, 0, 6, 6] = 1.0
    for atrous, d in zip(branch.atrous, (2, 5), strict=True):
        reached = (atrous(x) - atrous.bias[:, None, None])[0, 0].abs() > 1e-9
        assert sorted({int(v) for v in reached.nonzero().flatten()}) == [6 - d, 6, 6 + d]


def test_every_part_of_dolg_learns() -> None:
    torch.manual_seed(0)
    dolg = Dolg(5, 7, width=8, embedding=6)
    (dolg(drawn(4, 5, 12, 12), drawn(4, 7, 6, 6)) * drawn(4, 6, seed=3)).sum().backward()
    silent = [name for name, p in dolg.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []


def test_dolg_is_its_pipeline_written_out() -> None:
    torch.manual_seed(0)
    dolg = Dolg(5, 7, width=8, embedding=6).eval().double()
    nn.init.normal_(dolg.neck.norm.running_mean)
    nn.init.uniform_(dolg.neck.norm.running_var, 0.5, 2.0)
    local_map, global_map = drawn(3, 5, 6, 4, dtype=torch.float64), drawn(3, 7, 3, 2, seed=1, dtype=torch.float64)
    local = dolg.local(local_map)
    globe = global_map.clamp_min(1e-6).pow(3).mean((2, 3)).pow(1 / 3) @ dolg.globe.weight.T + dolg.globe.bias
    beside = torch.cat([orthogonal_part(local, globe), globe[:, :, None, None].expand(-1, -1, 6, 4)], dim=1)
    norm = dolg.neck.norm
    pooled = F.adaptive_avg_pool2d(beside, 1).flatten(1) @ dolg.neck.linear.weight.T
    literal = (pooled - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
    assert torch.allclose(dolg(local_map, global_map), literal, atol=1e-12)


@pytest.mark.parametrize("embedding", [512, 2048])
def test_dolg_takes_the_maps_of_efficientnet_b7(embedding: int) -> None:
    dolg = Dolg(224, 640, embedding=embedding).eval()
    with torch.inference_mode():
        assert dolg(drawn(2, 224, 4, 4), drawn(2, 640, 2, 2)).shape == (2, embedding)


@pytest.mark.parametrize(("local_size", "global_size"), [((1, 1), (1, 1)), ((1, 9), (1, 5)), ((11, 7), (6, 4))])
def test_dolg_embeds_one_photo_of_any_size(local_size: tuple[int, int], global_size: tuple[int, int]) -> None:
    dolg = Dolg(4, 6, width=8, embedding=5).eval()
    both = dolg(drawn(2, 4, *local_size), drawn(2, 6, *global_size, seed=1))
    first = dolg(drawn(2, 4, *local_size)[:1], drawn(2, 6, *global_size, seed=1)[:1])
    assert first.shape == (1, 5)
    assert torch.allclose(first, both[:1], atol=1e-6)


def test_dolg_gives_float32_under_autocast_near_its_own_answer() -> None:
    torch.manual_seed(0)
    dolg = Dolg(4, 6, width=16, embedding=8).eval()
    maps = drawn(2, 4, 6, 6), drawn(2, 6, 3, 3, seed=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = dolg(*maps)
    assert half.dtype == torch.float32
    assert torch.allclose(half, dolg(*maps), atol=0.02)


def test_the_neck_centres_and_scales_without_a_bias_of_its_own() -> None:
    neck = Neck(6, 4)
    assert neck.linear.bias is None
    out = neck(drawn(50, 6))
    assert torch.allclose(out.mean(0), torch.zeros(4), atol=1e-6)
    assert torch.allclose(out.var(0, unbiased=False), torch.ones(4), atol=1e-3)


class Small(nn.Module):
    """Three convolutions, their last two maps through DOLG."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 16, 4, stride=4), nn.BatchNorm2d(16), nn.ReLU())
        self.near = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.far = nn.Sequential(nn.Conv2d(16, 24, 3, stride=2, padding=1), nn.BatchNorm2d(24), nn.ReLU())
        self.dolg = Dolg(16, 24, width=16, embedding=16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        near = self.near(self.first(x))
        return self.dolg(near, self.far(near))


@pytest.mark.parametrize("centres_move", [True, False])
def test_a_small_network_learns_thirty_photos_by_heart(centres_move: bool) -> None:
    # with centres that stay, all of the learning has to come through the embedding
    torch.manual_seed(0)
    photos, who = drawn(30, 3, 32, 32), torch.arange(30) % 10
    network, head = Small(), MarginHead(16, 10, scale=16.0, margin=0.2, sub_centers=2)
    learning = [*network.parameters(), *head.requires_grad_(centres_move).parameters()]
    optimizer = torch.optim.Adam([p for p in learning if p.requires_grad], lr=0.01)
    losses = []
    for _ in range(60):
        loss = head(network(photos), who)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
    assert (head.cosines(network.eval()(photos)).argmax(1) == who).sum() >= 29
