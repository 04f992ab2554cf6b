"""The map of stride 16 inside a network: which it is, where it lies on a photo, and who has none."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from backbones.adapters import Backbone, build_backbone
from backbones.adapters.stride_map import StrideMap
from cv.errors import FinblendError

torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("name", "module"), [("timm:test_efficientnet", "blocks.3"), ("timm-gem:test_convnext", "body.stages.2")]
)
def test_it_is_what_timm_calls_the_stage(name: str, module: str) -> None:
    backbone = build_backbone(name, (64, 64))
    place = StrideMap.of(backbone)
    assert place == StrideMap(module, 48)
    network, photos = backbone.network.eval(), torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        wanted = backbone.body_module.forward_intermediates(photos, indices=[-2], intermediates_only=True)[0]  # type: ignore[operator]
        torch.testing.assert_close(place.of_photos(network, photos), wanted)
        with place.tapped(network) as maps:
            embedded = network(photos)
        torch.testing.assert_close(maps, [wanted])
        # a pass goes on to its end, and nothing stays behind
        torch.testing.assert_close(network(photos), embedded)
        assert len(maps) == 1


def test_networks_without_such_a_map_are_refused_in_one_line() -> None:
    for backbone, reason in (
        (build_backbone("timm:test_vit", None), "'blocks.5' gives [1, 25, 64] of a photo of 64x96"),
        (Backbone(nn.Flatten(), 64, 64), "and this one names none"),
    ):
        with pytest.raises(FinblendError, match="local features need a network of timm") as refusal:
            StrideMap.of(backbone)
        assert reason in str(refusal.value)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("kernel", "padding", "centre"), [(2, 0, 7.5), (3, 1, 0.0)])
def test_its_centre_is_that_of_the_pixels_it_depends_on(kernel: int, padding: int, centre: float) -> None:
    """Four halvings: without overlap the middle of 16 pixels, with PyTorch's padding the first of them."""
    layers = [nn.Conv2d(3 if n == 0 else 4, 4, kernel, 2, padding, bias=False) for n in range(4)]
    for layer in layers:
        nn.init.ones_(layer.weight)
    network = nn.Sequential(*layers)
    assert StrideMap("3", 4).centre(network) == centre
