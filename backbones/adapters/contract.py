"""What an adapter gives: a network, the size of its input and how its input is normalised; nothing more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from cv.errors import FinblendError

if TYPE_CHECKING:
    from torch import nn

Value = TypeVar("Value")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LONGEST_SIDE = 4096


@dataclass(frozen=True, kw_only=True)
class Published:
    """Weights that somebody published for a whole network: where, on what terms, and how they name its parts.

    Attributes
    ----------
    repository : str
        Of the hub, as `OWNER/NAME`: what `--weights hub` fetches.
    licence : str
        What its terms are: a sentence's end, told whenever the weights are loaded; empty where they are free.
    renamed : mapping of str to str
        How published names begin, to how the network's own do.
    dropped : tuple of str
        How the names of parts begin that the network has no use for: heads of its training.

    Examples
    --------
    >>> Published(repository="a/b", licence="", renamed={"net.": "body."}, dropped=("head.",)).own_names(
    ...     {"net.w": 1, "head.w": 2, "bn.w": 3}
    ... )
    {'body.w': 1, 'bn.w': 3}
    """

    repository: str
    licence: str
    renamed: Mapping[str, str] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.repository.count("/") != 1:
            raise FinblendError(f"a repository of the hub must be OWNER/NAME, but got '{self.repository}'")

    def own_names(self, state: Mapping[str, Value]) -> dict[str, Value]:
        """A state dict under the network's own names, without what it has no use for."""
        renamed = {}
        for name, value in state.items():
            begins = next((old for old in self.renamed if name.startswith(old)), "")
            own = self.renamed[begins] + name.removeprefix(begins) if begins else name
            if not own.startswith(self.dropped):
                renamed[own] = value
        return renamed


@dataclass(frozen=True)
class Backbone:
    """A network with what must be known to show it a photo.

    Attributes
    ----------
    network : torch.nn.Module
        Maps a float batch (B, 3, height, width), RGB, normalised, to embeddings (B, D).
    height, width : int
        Size of its input in pixels.
    mean, std : tuple of three floats
        Its input is (rgb / 255 - mean) / std.
    body : str
        Dotted name of the part that pretrained weights fill and that trains with the smaller learning rate; empty for
        the whole network.
    published : Published, optional
        Weights of the whole network that somebody published under its name; without them, `hub` fills its body with
        timm's.
    """

    network: nn.Module
    height: int
    width: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    body: str = ""
    published: Published | None = None

    def __post_init__(self) -> None:
        check_size(self.height, self.width)
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise FinblendError(
                f"mean and std must hold one number a colour and std > 0, but got {self.mean} and {self.std}"
            )

    @property
    def body_module(self) -> nn.Module:
        """The part that pretrained weights fill."""
        return self.network.get_submodule(self.body)


class Builder(Protocol):
    """What an entry point of the group `finblend.backbones` points at."""

    def __call__(self, name: str, size: tuple[int, int] | None) -> Backbone:
        """Build the network that `name` (the whole of what stands after --backbone) means.

        `size` is the wanted (height, width), or None for the network's own. Weights are drawn, not fetched: the
        loader fills them.
        """
        ...


def check_size(height: int, width: int) -> None:
    """Refuse a size that no photo is shown at."""
    if not (8 <= height <= LONGEST_SIDE and 8 <= width <= LONGEST_SIDE):
        raise FinblendError(f"8 <= size <= {LONGEST_SIDE} must hold, but got {height}x{width}")


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Read `N` or `HEIGHTxWIDTH`.

    Examples
    --------
    >>> parse_size("256x128"), parse_size("224"), parse_size(None)
    ((256, 128), (224, 224), None)
    """
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() for part in parts):
        raise FinblendError(f"--size must be N or HEIGHTxWIDTH, but got '{text}'")
    size = int(parts[0]), int(parts[-1])
    check_size(*size)
    return size
