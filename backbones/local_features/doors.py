"""Where extractors come in: entry points of installed distributions, finblend's own among them."""

from __future__ import annotations

from backbones.doors import Doors
from backbones.local_features.contract import LocalExtractor
from cv.errors import FinblendError
from cv.extras import install_line

ENTRY_POINTS = "finblend.local_features"
KEYPOINTS = 400
MOST = 20_000
EXTRA = "local"
_DOORS = Doors(group=ENTRY_POINTS, option="--features", noun="local features", page="docs/networks.md")


def local_feature_names() -> list[str]:
    """Every name that `--features` knows.

    Examples
    --------
    >>> {"sift", "disk", "aliked"} <= set(local_feature_names())
    True
    """
    return _DOORS.names()


def build_local(name: str, keypoints: int = KEYPOINTS) -> LocalExtractor:
    """Build an extractor by name.

    Parameters
    ----------
    name : str
        `NAME` or `NAME:ARGUMENT`.
    keypoints : int
        Features a photo, at most.

    Raises
    ------
    FinblendError
        If nobody provides the name, what it needs is not installed, or the extractor breaks its contract.
    """
    if not 1 <= keypoints <= MOST:
        raise FinblendError(f"1 <= keypoints <= {MOST} must hold, but got {keypoints}")
    place, builder = _DOORS.open(name, install_line(EXTRA))
    extractor = builder(name, keypoints)
    if not isinstance(extractor, LocalExtractor):
        raise FinblendError(
            f"--features {name}: {place} must return a LocalExtractor (name, width, fingerprint, extract), "
            f"got {type(extractor).__name__}"
        )
    if extractor.name != name or extractor.width < 1 or not extractor.fingerprint:
        raise FinblendError(
            f"--features {name}: {place} must return a LocalExtractor of that name, with a width and a fingerprint, "
            f"but got '{extractor.name}', {extractor.width} and '{extractor.fingerprint}'"
        )
    return extractor


def local_provider_of(name: str) -> str:
    """The installed package, with its version, that provides an extractor."""
    return _DOORS.provider_of(name)
