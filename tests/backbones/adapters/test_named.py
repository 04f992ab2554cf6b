"""Networks by the names that users look for: MiewID, MegaDescriptor, DINO."""

from __future__ import annotations

import pytest
import torch

from backbones.adapters import Backbone, Published, build_backbone, dino, megadescriptor, miewid
from backbones.testing import AdapterContract
from backbones.vision import load
from cv import FinblendError


class TestMiewId(AdapterContract):
    """The layers around it are MiewID's; the network inside is a small one."""

    name = "miewid"

    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(miewid, "NETWORK", "test_efficientnet")

    @torch.no_grad()
    def test_it_is_the_batch_norm_of_the_generalised_mean_of_the_last_map(self, backbone: Backbone) -> None:
        network, photos = backbone.network.eval(), self.photos(backbone, 2)
        network.pooling.p.fill_(2.0)
        network.bn.running_mean.fill_(0.5)
        last = network.backbone.forward_features(photos).clamp_min(1e-6)
        expected = (last.square().mean((-2, -1)).sqrt() - 0.5) / (1 + 1e-5) ** 0.5
        torch.testing.assert_close(network(photos), expected, rtol=1e-3, atol=1e-5)


class TestMegaDescriptor(AdapterContract):
    name = "megadescriptor-t-cnn-288"

    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(megadescriptor.NETWORKS, "t-cnn-288", "test_efficientnet")


class TestDino(AdapterContract):
    name = "dinov2-small"

    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(dino.NETWORKS, "dinov2-small", "test_vit")


IMAGENET, HALF = 0.485, 0.5


@pytest.mark.parametrize(
    ("name", "width", "side", "mean", "millions"),
    [
        ("miewid", 2152, 440, IMAGENET, 51),
        ("miewid-msv2", 2152, 440, IMAGENET, 51),
        ("megadescriptor-t-224", 768, 224, HALF, 28),
        ("megadescriptor-s-224", 768, 224, HALF, 49),
        ("megadescriptor-b-224", 1024, 224, HALF, 87),
        ("megadescriptor-l-224", 1536, 224, HALF, 195),
        ("megadescriptor-l-384", 1536, 384, HALF, 195),
        ("megadescriptor-t-cnn-288", 1536, 288, HALF, 11),
        ("dinov2-small", 384, 518, IMAGENET, 22),
        ("dinov2-base", 768, 518, IMAGENET, 87),
        ("dinov2-large", 1024, 518, IMAGENET, 304),
        ("dinov2-giant", 1536, 518, IMAGENET, 1136),
        ("dinov3-small", 384, 256, IMAGENET, 22),
        ("dinov3-small-plus", 384, 256, IMAGENET, 29),
        ("dinov3-base", 768, 256, IMAGENET, 86),
        ("dinov3-large", 1024, 256, IMAGENET, 303),
        ("dinov3-huge-plus", 1280, 256, IMAGENET, 841),
        ("dinov3-7b", 4096, 256, IMAGENET, 6716),
    ],
)
def test_every_network_has_the_width_the_side_and_the_normalisation_that_it_was_published_with(
    name: str, width: int, side: int, mean: float, millions: int
) -> None:
    with torch.device("meta"):
        backbone = build_backbone(name)
    assert backbone.body_module.num_features == width
    assert (backbone.height, backbone.width, backbone.mean[0]) == (side, side, mean)
    assert round(sum(weight.numel() for weight in backbone.network.parameters()) / 1e6) == millions


@pytest.mark.parametrize(
    ("name", "size"), [("dinov2-small", (224, 112)), ("dinov3-small", (64, 96)), ("megadescriptor-t-224", (96, 128))]
)
def test_networks_with_positions_are_built_for_other_sizes(name: str, size: tuple[int, int]) -> None:
    with torch.device("meta"):
        network = build_backbone(name, size).network.eval()
        assert network(torch.zeros(2, 3, *size)).shape == (2, network.num_features)


@pytest.mark.parametrize(("name", "told"), [("dinov2-small", "14x14"), ("dinov3-small", "16x16")])
def test_a_size_that_patches_do_not_tile_is_refused(name: str, told: str) -> None:
    with torch.device("meta"), pytest.raises(FinblendError, match=f"multiple of the patches of .*{told}"):
        build_backbone(name, (100, 224))


def test_a_short_name_is_the_network_of_timm() -> None:
    timm = load("timm")
    for inner in [*dino.NETWORKS.values(), *megadescriptor.NETWORKS.values(), miewid.NETWORK]:
        assert timm.is_model(inner)
        assert timm.get_pretrained_cfg(inner).has_weights, inner
    with torch.device("meta"):
        short, long = (build_backbone(name) for name in ("dinov2-small", f"timm:{dino.NETWORKS['dinov2-small']}"))
    assert list(short.network.state_dict()) == list(long.network.state_dict())
    assert (short.height, short.mean, short.std) == (long.height, long.mean, long.std)


def test_a_repository_has_an_owner() -> None:
    with pytest.raises(FinblendError, match="must be OWNER/NAME, but got 'miewid'"):
        Published(repository="miewid", licence="")
