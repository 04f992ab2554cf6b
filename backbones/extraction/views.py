"""Views: the ways in which one photo is shown to a network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cv.errors import FinblendError

WHOLE = "orig"
MIRRORED = "hflip"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class View:
    """One way of showing a photo.

    Attributes
    ----------
    name : str
        What the store calls it.
    crop : int
        Index into the crops of a photo.
    mirrored : bool
    """

    name: str
    crop: int
    mirrored: bool


def views_of(shown: Sequence[str], crops: Sequence[str] = ()) -> list[View]:
    """Every crop, shown in every way.

    Parameters
    ----------
    shown : sequence of {"orig", "hflip"}
    crops : sequence of str
        Names of crops; none for the photo (or its one unnamed box), which is then called as it is shown.

    Examples
    --------
    >>> [view.name for view in views_of(["orig", "hflip"])]
    ['orig', 'hflip']
    >>> [view.name for view in views_of(["orig", "hflip"], ["backfin"])]
    ['backfin', 'backfin-hflip']
    """
    for name in shown:
        if name not in (WHOLE, MIRRORED):
            raise FinblendError(f"--views must be {WHOLE}, {MIRRORED} or both, but got '{name}'")
    if not shown or len(set(shown)) < len(shown):
        raise FinblendError(f"--views must name each view once, but got '{','.join(shown)}'")
    for name in crops:
        if not _NAME.fullmatch(name):
            raise FinblendError(f"--crop '{name}': letters, digits, '.', '_' and '-' only, a letter or digit first")
        if name in (WHOLE, MIRRORED):
            raise FinblendError(f"--crop {name}: is what a whole photo's view is called; choose another name")
    names = [[WHOLE, MIRRORED] if not crops else [crop, f"{crop}-{MIRRORED}"] for crop in (list(crops) or [WHOLE])]
    views = [View(pair[way == MIRRORED], crop, way == MIRRORED) for crop, pair in enumerate(names) for way in shown]
    if len({view.name for view in views}) < len(views):
        raise FinblendError(f"--crop: two views would have one name: {', '.join(view.name for view in views)}")
    return views
