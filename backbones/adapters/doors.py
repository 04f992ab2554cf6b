"""Where adapters come in: entry points of installed distributions, finblend's own among them."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points

from backbones.adapters.contract import Backbone, check_size
from backbones.vision import INSTALL
from cv.errors import FinblendError, shown

ENTRY_POINTS = "finblend.backbones"
# names that a refusal suggests, at most
MEANT = 3


def backbone_names() -> list[str]:
    """Every name that `--backbone` knows; some take an argument after a colon.

    Examples
    --------
    >>> {"effnet-b7-dolg", "convnext-arcface", "timm"} <= set(backbone_names())
    True
    """
    return sorted({door.name for door in entry_points(group=ENTRY_POINTS)})


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
    door = _door(name)
    try:
        import torch

        builder = door.load()
    except ModuleNotFoundError as error:
        hint = f"; {INSTALL}" if door.value.startswith("backbones.") else f", which {door.value} needs"
        raise FinblendError(f"--backbone {name}: {error}{hint}") from None
    except (ImportError, AttributeError) as error:
        raise FinblendError(f"--backbone {name}: {door.value} cannot be loaded ({error})") from None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = builder(name, size)
    if not isinstance(backbone, Backbone):
        raise FinblendError(f"--backbone {name}: {door.value} must return a Backbone, got {type(backbone).__name__}")
    if backbone.body not in dict(backbone.network.named_modules()):
        raise FinblendError(f"--backbone {name}: its body '{backbone.body}' is no part of its network")
    return backbone


def provider_of(name: str) -> str:
    """The installed package, with its version, that provides a backbone."""
    distribution = _door(name).dist
    return "" if distribution is None else f"{distribution.name} {distribution.version}"


def _door(name: str) -> EntryPoint:
    family = name.partition(":")[0]
    doors = {door.value: door for door in entry_points(group=ENTRY_POINTS, name=family)}
    if not doors:
        near = _near(name)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {shown(backbone_names(), 4)};"
        raise FinblendError(f"--backbone {name}: no such backbone; {hint} docs/networks.md lists them all")
    built_in = [door for value, door in doors.items() if value.startswith("backbones.")]
    if len(doors) > 1 and not built_in:
        raise FinblendError(f"--backbone {family}: several installed packages provide it: {shown(doors)}")
    return built_in[0] if built_in else next(iter(doors.values()))


def _near(name: str) -> list[str]:
    """Names that were meant, perhaps: a network of timm without its prefix, or a slip of the pen."""
    from backbones.vision import load

    family, colon, argument = name.partition(":")
    if colon:
        return [f"{near}:{argument}" for near in get_close_matches(family, backbone_names(), MEANT)]
    try:
        of_timm = load("timm").list_models()
    except FinblendError:  # not installed
        of_timm = []
    if name in of_timm:
        return [f"timm:{name}"]
    # the likeliest of both, whichever door they come through
    meant = {**{other: f"timm:{other}" for other in of_timm}, **{other: other for other in backbone_names()}}
    return [meant[near] for near in get_close_matches(name, meant, MEANT)]
