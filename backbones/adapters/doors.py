"""Where adapters come in: entry points of installed distributions, finblend's own among them."""

from __future__ import annotations

from difflib import get_close_matches

from backbones.adapters.contract import Backbone, check_size
from backbones.doors import MEANT, Doors
from backbones.vision import INSTALL
from cv.errors import FinblendError

ENTRY_POINTS = "finblend.backbones"
_DOORS = Doors(group=ENTRY_POINTS, option="--backbone", noun="backbone", page="docs/networks.md")


def backbone_names() -> list[str]:
    """Every name that `--backbone` knows; some take an argument after a colon.

    Examples
    --------
    >>> {"effnet-b7-dolg", "convnext-arcface", "timm"} <= set(backbone_names())
    True
    """
    return _DOORS.names()


def build_backbone(name: str, size: tuple[int, int] | None = None) -> Backbone:
    """Build a network by name, its weights drawn from a fixed seed.

    Parameters
    ----------
    name : str
        `NAME` or `NAME:ARGUMENT`, as in `effnet-b7-dolg`, `timm:resnet50`, `onnx:file.onnx`.
    size : (int, int), optional
        Height and width of the input; the network's own by default.

    Raises
    ------
    FinblendError
        If nobody provides the name, what it needs is not installed, or the adapter breaks its contract.
    """
    if size is not None:
        check_size(*size)
    place, builder = _DOORS.open(name, INSTALL, _near)
    try:
        import torch
    except ModuleNotFoundError as error:
        raise FinblendError(f"--backbone {name}: {error}; {INSTALL}") from None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = builder(name, size)
    if not isinstance(backbone, Backbone):
        raise FinblendError(f"--backbone {name}: {place} must return a Backbone, got {type(backbone).__name__}")
    if backbone.body not in dict(backbone.network.named_modules()):
        raise FinblendError(f"--backbone {name}: its body '{backbone.body}' is no part of its network")
    return backbone


def provider_of(name: str) -> str:
    """The installed package, with its version, that provides a backbone."""
    return _DOORS.provider_of(name)


def _near(name: str) -> list[str]:
    """Names that were meant, perhaps: a network of timm without its prefix, or a slip of the pen."""
    from backbones.vision import load

    if ":" in name:
        return _DOORS.near(name)
    try:
        of_timm = load("timm").list_models()
    except FinblendError:  # not installed
        of_timm = []
    if name in of_timm:
        return [f"timm:{name}"]
    # the likeliest of both, whichever door they come through
    meant = {**{other: f"timm:{other}" for other in of_timm}, **{other: other for other in backbone_names()}}
    # papers and cards write MiewID, MegaDescriptor-L-384
    return [meant[near] for near in get_close_matches(name.lower(), meant, MEANT)]
