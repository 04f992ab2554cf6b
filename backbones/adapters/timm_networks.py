"""Networks of timm: creating them, naming their sizes, reading their stages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backbones.adapters.contract import Backbone, Published
from backbones.vision import load
from cv.errors import FinblendError

EMBEDDING = 512
WIDEST = 16384

if TYPE_CHECKING:
    from torch import Tensor, nn


def create(name: str, size: tuple[int, int] | None, **options: Any) -> nn.Module:
    """Create a timm network without its classifier; refuse a name that timm does not know.

    Networks whose positions are learned for one size (ViT, Swin) are made for the wanted one.
    """
    timm = load("timm")
    if not timm.is_model(name):
        import difflib

        near = difflib.get_close_matches(name, timm.list_models(), 3)
        raise FinblendError(f"timm has no network '{name}'" + (f"; did you mean {' or '.join(near)}?" if near else ""))
    try:
        if size is not None and timm.get_pretrained_cfg(name).fixed_input_size:
            options["img_size"] = size
        network: nn.Module = timm.create_model(name, pretrained=False, num_classes=0, **options)
    except (RuntimeError, TypeError, AssertionError, ValueError) as error:
        raise FinblendError(f"timm cannot build '{name}' ({_first_line(error)})") from None
    embed: Any = getattr(network, "patch_embed", None)
    if size is not None and isinstance(embed, timm.layers.PatchEmbed) and not embed.dynamic_img_pad:
        height, width = embed.patch_size
        if size[0] % height or size[1] % width:
            raise FinblendError(
                f"--size {size[0]}x{size[1]}: must be a multiple of the patches of '{name}', {height}x{width}"
            )
    return network


def as_backbone(
    network: nn.Module,
    timm_body: nn.Module,
    size: tuple[int, int] | None,
    body: str = "",
    published: Published | None = None,
) -> Backbone:
    """Wrap a network with the input size and normalisation of the timm network in it."""
    facts: Any = timm_body.pretrained_cfg
    height, width = size or facts["input_size"][1:]
    return Backbone(network, height, width, tuple(facts["mean"]), tuple(facts["std"]), body, published)


def stage_channels(network: nn.Module, stages: int, name: str) -> list[int]:
    """Channels of the last stages, the deepest last."""
    if not hasattr(network, "forward_intermediates") or not hasattr(network, "feature_info"):
        raise FinblendError(f"timm's '{name}' does not show its stages; use timm:{name}")
    return [int(stage["num_chs"]) for stage in list(network.feature_info)[-stages:]]  # type: ignore[arg-type]


def stage_maps(network: nn.Module, photos: Tensor, stages: int) -> list[Tensor]:
    """Feature maps (B, C, h, w) of the last stages, the deepest last."""
    maps: list[Tensor] = network.forward_intermediates(photos, indices=stages, intermediates_only=True)  # type: ignore[operator]
    return maps


def argument_of(name: str, what: str) -> str:
    """Whatever stands after the colon of a backbone's name."""
    argument = name.partition(":")[2]
    if not argument:
        raise FinblendError(f"--backbone {name}: must be {name.partition(':')[0]}:{what}")
    return argument


def without_argument(name: str) -> str:
    """The name of a network that takes nothing after a colon."""
    plain, colon, _ = name.partition(":")
    if colon:
        raise FinblendError(f"--backbone {name}: takes nothing after a colon; write {plain}")
    return plain


def width_of(name: str) -> tuple[str, int]:
    """Split `NAME` or `NAME:WIDTH` into the name and the width of the embedding."""
    family, colon, width = name.partition(":")
    if not colon:
        return family, EMBEDDING
    if not width.isdecimal() or not 2 <= int(width) <= WIDEST:
        raise FinblendError(f"--backbone {name}: 2 <= width <= {WIDEST} must hold after the colon, but got '{width}'")
    return family, int(width)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
