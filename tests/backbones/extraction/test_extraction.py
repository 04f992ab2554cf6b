"""Photos through a network: views, normalisation, slices, folded batch norms and the choice of precision."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from backbones.adapters import Backbone, build_backbone
from backbones.extraction import forward as forward_module
from backbones.extraction.fold import folded
from backbones.extraction.forward import Forward, device_of
from backbones.extraction.views import View, views_of
from cv import FinblendError

CPU = torch.device("cpu")
BOTH = views_of(["orig", "hflip"])
H, W = 12, 16


def pixels(count: int, crops: int = 1, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, crops, H, W, 3), generator=generator, dtype=torch.uint8)


class Tiny(nn.Module):
    """A convolution, its batch norm, and a pooled embedding that tells left from right."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)

    def forward(self, photos: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(self.normed(photos).relu(), (1, 2)).flatten(1)

    def normed(self, photos: Tensor) -> Tensor:
        maps: Tensor = self.norm(self.conv(photos))
        return maps


class NormFirst(Tiny):
    """Declared in the same order, computed in another."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)

    def normed(self, photos: Tensor) -> Tensor:
        maps: Tensor = self.conv(self.norm(photos))
        return maps


class Between(Tiny):
    """Something that is no module stands between the two."""

    def normed(self, photos: Tensor) -> Tensor:
        maps: Tensor = self.norm(self.conv(photos).sigmoid())
        return maps


class Reaching(Tiny):
    """Looks into its batch norm."""

    def normed(self, photos: Tensor) -> Tensor:
        maps: Tensor = super().normed(photos) * self.norm.weight.mean()
        return maps


class Parametrised(Tiny):
    """Its convolution's weight is computed."""

    def __init__(self) -> None:
        super().__init__()
        torch.nn.utils.parametrizations.weight_norm(self.conv)


class Rounding(Tiny):
    """Takes a small difference of large numbers, which bfloat16 does not hold."""

    def normed(self, photos: Tensor) -> Tensor:
        maps: Tensor = self.conv(photos) - 1000
        return maps


def drawn(network: nn.Module, seed: int = 0) -> nn.Module:
    """Batch norms as training leaves them, each with statistics of its own."""
    generator = torch.Generator().manual_seed(seed)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor, low in ((part.running_mean, -0.5), (part.running_var, 0.5), (part.weight, 0.5)):
                assert tensor is not None
                tensor.data.copy_(torch.rand(tensor.shape, generator=generator) + low)
            part.bias.data.copy_(torch.rand(part.bias.shape, generator=generator) - 0.5)
    return network.eval()


def ready(make: Callable[[], nn.Module] = Tiny) -> Forward:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = drawn(make()).train()
        if isinstance(network, Rounding):
            assert network.conv.bias is not None
            network.conv.bias.data += 1000
    return Forward.of(Backbone(network, H, W), CPU)


@pytest.mark.parametrize(
    ("shown", "crops", "views"),
    [
        (["orig"], [], [View("orig", 0, False)]),
        (["hflip", "orig"], [], [View("hflip", 0, True), View("orig", 0, False)]),
        (["orig"], ["fin", "body"], [View("fin", 0, False), View("body", 1, False)]),
        (["orig", "hflip"], ["fin"], [View("fin", 0, False), View("fin-hflip", 0, True)]),
        (["hflip"], ["a", "b"], [View("a-hflip", 0, True), View("b-hflip", 1, True)]),
    ],
)
def test_views_are_crops_in_every_way(shown: list[str], crops: list[str], views: list[View]) -> None:
    assert views_of(shown, crops) == views


@pytest.mark.parametrize(
    ("shown", "crops", "told"),
    [
        ([], [], "each view once"),
        (["orig", "orig"], [], "each view once"),
        (["vflip"], [], "'vflip'"),
        (["orig"], ["a", "a"], "one name: a, a"),
        (["orig", "hflip"], ["a", "a-hflip"], "one name"),
        (["orig"], [""], "--crop ''"),
        (["orig"], ["../a"], "--crop '../a'"),
        (["orig"], ["a\n"], "--crop 'a"),
    ],
)
def test_other_views_are_refused(shown: list[str], crops: list[str], told: str) -> None:
    with pytest.raises(FinblendError) as caught:
        views_of(shown, crops)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("name", "left"),
    # the first batch norm of this ResNet follows a sequence, not a convolution
    [("tiny", 0), ("timm:test_efficientnet", 0), ("timm:test_resnet", 1), ("effnet-b0-dolg", 0)],
)
@torch.no_grad()
def test_a_folded_network_is_the_same_network(name: str, left: int) -> None:
    network = drawn(Tiny() if name == "tiny" else build_backbone(name, (32, 32)).network)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    photos = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    lighter = folded(network, lambda candidate: candidate(photos))
    assert lighter is not None
    torch.testing.assert_close(lighter(photos), network(photos), rtol=1e-3, atol=1e-4)
    assert sum(isinstance(part, nn.BatchNorm2d) for part in lighter.modules()) == left
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())


@pytest.mark.parametrize("make", [NormFirst, Between, Reaching, Parametrised, lambda: build_backbone("timm:test_vit")])
@torch.no_grad()
def test_a_network_that_folding_would_change_is_left_alone(make: Callable[[], nn.Module | Backbone]) -> None:
    made = make()
    network = drawn(made.network if isinstance(made, Backbone) else made)
    photos = torch.randn(4, 3, 160, 160, generator=torch.Generator().manual_seed(1))
    before = network(photos)
    assert folded(network, lambda candidate: candidate(photos)) is None
    assert torch.equal(network(photos), before)


def test_photos_are_normalised_mirrored_and_cropped() -> None:
    mean, std = (0.1, 0.5, 0.9), (0.2, 0.4, 0.5)
    forward = Forward.of(Backbone(nn.Flatten(), H, W, mean, std), CPU)
    photos = pixels(3, crops=2)
    found = forward(photos, [View("a", 1, False), View("b", 0, True)]).numpy()
    normal = (photos.numpy() / 255 - np.array(mean)) / np.array(std)
    expected = [normal[:, 1], normal[:, 0, :, ::-1]]
    np.testing.assert_allclose(found, [view.transpose(0, 3, 1, 2).reshape(3, -1) for view in expected], atol=1e-5)


def test_a_mirrored_view_is_that_of_the_mirrored_photo() -> None:
    forward, photos = ready(), pixels(5)
    orig, hflip = forward(photos, BOTH)
    assert torch.equal(hflip, forward(photos.flip(-2), BOTH)[0])
    assert not torch.allclose(orig, hflip, atol=1e-3)


def test_slices_change_nothing_but_the_last_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    forward, photos, sizes = ready(), pixels(19), []
    handle = forward.network.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    sliced = forward(photos, BOTH)
    assert sizes == [8, 8, 8, 8, 3, 3]
    handle.remove()
    monkeypatch.setattr(forward_module, "CPU_SLICE", 64)
    torch.testing.assert_close(sliced, forward(photos, BOTH), rtol=1e-5, atol=1e-6)


class Pair(nn.Module):
    """Two outputs."""

    def forward(self, photos: Tensor) -> tuple[Tensor, Tensor]:
        return photos.flatten(1), photos


@pytest.mark.parametrize("network", [nn.Identity(), nn.Flatten(0), nn.Flatten(0, 1), Pair()])
def test_what_is_no_embedding_is_refused(network: nn.Module) -> None:
    with pytest.raises(FinblendError, match=r"must map 2 photos to \(2, D\)"):
        Forward.of(Backbone(network, H, W), CPU)(pixels(2), BOTH)


@pytest.mark.parametrize(
    ("make", "wanted", "hardware", "precision", "measured"),
    [
        (Tiny, "auto", True, "bfloat16", True),
        (Tiny, "auto", False, "float32", False),
        (Tiny, "float32", True, "float32", False),
        (Tiny, "bfloat16", False, "bfloat16", True),
        (Rounding, "auto", True, "float32", True),
        (Rounding, "bfloat16", True, "bfloat16", True),
        (nn.Flatten, "auto", True, "float32", False),
    ],
)
def test_the_precision_is_the_one_that_agrees(
    make: Callable[[], nn.Module],
    wanted: str,
    hardware: bool,
    precision: str,
    measured: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forward_module, "has_bfloat16", lambda device: hardware)
    forward, photos = ready(make), pixels(9)
    exact = forward(photos, BOTH)
    cosine = forward.prepare(wanted, photos, BOTH)
    found = forward(photos, BOTH)
    assert (forward.precision, cosine is not None) == (precision, measured)
    assert found.dtype == torch.float32
    if cosine is not None:
        assert (cosine > 0.999) == (make is Tiny)
    if precision == "float32":
        torch.testing.assert_close(found, exact, rtol=1e-3, atol=1e-4)
    else:
        assert float(torch.nn.functional.cosine_similarity(found, exact, dim=-1).min()) == pytest.approx(cosine)


def test_a_prepared_network_is_a_folded_one() -> None:
    forward = ready()
    forward.prepare("float32", pixels(2), BOTH)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in forward.network.modules())


def test_wrong_precisions_and_devices_are_refused() -> None:
    with pytest.raises(FinblendError, match="--precision must be one of auto, float32, bfloat16, but got 'half'"):
        ready().prepare("half", pixels(1), BOTH)
    with pytest.raises(FinblendError, match="--device must be one of auto, cpu, cuda, but got 'tpu'"):
        device_of("tpu")
    assert device_of("cpu") == CPU
    if not torch.cuda.is_available():
        assert device_of("auto") == CPU
        with pytest.raises(FinblendError, match="no CUDA device"):
            device_of("cuda")
