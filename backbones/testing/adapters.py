"""The contract of adapters: a name becomes a network that maps photos to vectors."""

from __future__ import annotations

import pytest
import torch

from backbones.adapters import Backbone, build_backbone
from cv.errors import FinblendError


class AdapterContract:
    """Subclass it with the name of an adapter, and pytest checks every rule on it.

    Attributes
    ----------
    name : str
        What stands behind `--backbone`; where it is known only in a test's folder, override the fixture
        `backbone_name`.
    size : (int, int) or None
        Height and width that the network is built for; None: its own.
    other_size : (int, int) or None
        Another size that it can be built for; None where it has one size only.
    idle : tuple of str
        How names of weights begin that no gradient reaches, such as those of a head that its weights come with.

    Examples
    --------
    >>> class TestPooledNetwork(AdapterContract):
    ...     name = "timm:test_efficientnet"
    """

    name: str
    size: tuple[int, int] | None = (64, 64)
    other_size: tuple[int, int] | None = (64, 96)
    idle: tuple[str, ...] = ()

    @pytest.fixture
    def backbone_name(self) -> str:
        """What stands behind `--backbone`."""
        return self.name

    @pytest.fixture
    def backbone(self, backbone_name: str) -> Backbone:
        """The network, built for `size`."""
        return build_backbone(backbone_name, self.size)

    def photos(self, backbone: Backbone, count: int) -> torch.Tensor:
        """Draw photos of different brightness and texture: noise alone looks the same to a pooled network."""
        noise = torch.Generator().manual_seed(1)
        coarse = torch.randn(count, 3, 4, 4, generator=noise)
        fine = torch.randn(count, 3, backbone.height, backbone.width, generator=noise)
        return torch.nn.functional.interpolate(coarse, size=fine.shape[2:]) + 0.3 * fine

    @torch.no_grad()
    def test_maps_photos_to_embeddings(self, backbone: Backbone) -> None:
        """(B, 3, height, width) to (B, D), finite float32, another one for every photo."""
        network = backbone.network.eval()
        one, three = (network(self.photos(backbone, count)) for count in (1, 3))
        assert one.shape[0] == 1
        assert three.shape == (3, one.shape[1])
        assert one.shape[1] > 1
        assert three.dtype == torch.float32
        assert torch.isfinite(three).all()
        assert len(torch.unique(three, dim=0)) == 3

    @torch.no_grad()
    def test_an_embedding_does_not_depend_on_the_rest_of_its_batch(self, backbone: Backbone) -> None:
        """A photo alone and a photo among others have one embedding."""
        network, photos = backbone.network.eval(), self.photos(backbone, 4)
        together, alone = network(photos), torch.cat([network(photo[None]) for photo in photos])
        assert torch.nn.functional.cosine_similarity(together, alone).min() > 1 - 1e-4
        torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4)

    def test_two_builds_are_identical_whatever_was_drawn_before(self, backbone_name: str) -> None:
        """Weights at random are drawn from a fixed seed, and nobody else's draws are disturbed."""
        torch.manual_seed(7)
        before = torch.get_rng_state()
        first = build_backbone(backbone_name, self.size).network.state_dict()
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(8)
        second = build_backbone(backbone_name, self.size).network.state_dict()
        assert list(first) == list(second)
        assert all(torch.equal(first[name], second[name]) for name in first)

    def test_its_body_is_a_part_of_it(self, backbone: Backbone) -> None:
        """What pretrained weights fill is a module of the network."""
        assert backbone.body_module in list(backbone.network.modules())
        assert (backbone.body_module is backbone.network) == (backbone.body == "")

    def test_gradients_reach_all_weights(self, backbone: Backbone) -> None:
        """Every weight but those named as idle is trained, and no gradient is NaN or infinite."""
        network, photos = backbone.network.train(), self.photos(backbone, 4)
        weights = dict(network.named_parameters())
        if weights:
            embedded = network(photos)
            (embedded * torch.randn(embedded.shape, generator=torch.Generator().manual_seed(2))).sum().backward()
        without_gradient = [name for name, weight in weights.items() if weight.grad is None]
        assert [name for name in without_gradient if not name.startswith(self.idle)] == []
        assert all(torch.isfinite(weight.grad).all() for weight in weights.values() if weight.grad is not None)

    @torch.no_grad()
    def test_a_size_is_respected(self, backbone_name: str) -> None:
        """The network is built for the size that is asked for, and a size that no photo has is refused in one line."""
        if self.other_size is not None:
            backbone = build_backbone(backbone_name, self.other_size)
            assert (backbone.height, backbone.width) == self.other_size
            assert backbone.network.eval()(self.photos(backbone, 2)).shape[0] == 2
        with pytest.raises(FinblendError, match="8 <= size <= 4096") as refusal:
            build_backbone(backbone_name, (4, 64))
        assert "\n" not in str(refusal.value)
