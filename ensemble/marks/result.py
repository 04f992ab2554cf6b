"""What `match` returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ensemble.project.result import Result


@dataclass(frozen=True, kw_only=True)
class MatchResult(Result):
    """How pairs of photos were compared.

    Attributes
    ----------
    name : str
        Of the pair source.
    features, matcher, verify : str
    keypoints : float
        A photo, in the mean.
    pairs : mapping of split to int
        Pairs that the source says something of.
    verified : mapping of split to int
        Those of them that were compared keypoint by keypoint.
    compared : int
        Those that this call compared; earlier ones compared the others.
    unreadable : mapping of photo to what is wrong with it
        Photos without features: nothing is known of their marks.
    seconds : mapping of str to float
        What each step took: features, votes, verification, and all.
    warnings : list of str
    """

    name: str
    features: str
    matcher: str
    verify: str
    keypoints: float
    pairs: Mapping[str, int]
    verified: Mapping[str, int]
    compared: int
    unreadable: Mapping[str, str]
    seconds: Mapping[str, float]
    warnings: list[str]
