"""What `pseudo` and `merge` return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ensemble.project.result import Result, named
from ensemble.pseudo_labels.gallery_effect import GalleryEffect


@dataclass(frozen=True, kw_only=True)
class SetResult(Result):
    """One set that was written.

    Attributes
    ----------
    seen : str
        `full`, or the fold that its names may train.
    file : str
    threshold : float
    rows : int
    share : float
        Of the test photos.
    expected_share, right : float or None
        Out-of-fold: share of photos taken, and share of these that are right.
    """

    seen: str
    file: str
    threshold: float
    rows: int
    share: float
    expected_share: float | None
    right: float | None


@dataclass(frozen=True)
class HeldOutShare(Result):
    """Of photos that had no say in their set: the share that is taken, and how many of these are right."""

    share: float
    right: float | None


@dataclass(frozen=True, kw_only=True)
class PseudoResult(Result):
    """Sets of pseudo-labels that were written.

    Attributes
    ----------
    rows : int
        Of the set for `full`.
    output, rule : str
    precision, min_prob : float or None
        What the threshold keeps, or the threshold itself.
    sets : list of SetResult
        First `full`, then each fold's.
    held_out : HeldOutShare
    drift : mapping
        See `cv.drift`.
    mix : mapping
    measured : str
    warnings : list of str
    """

    rows: int
    output: str
    rule: str
    precision: float | None
    min_prob: float | None
    sets: list[SetResult]
    held_out: HeldOutShare
    drift: Mapping[str, Any]
    mix: Mapping[str, Any]
    measured: str
    warnings: list[str]


@dataclass(frozen=True, kw_only=True)
class MergeResult(Result):
    """A round that was merged: its ledger, and what joining does.

    Attributes
    ----------
    round : str
        `round-N`.
    kind : {"training", "gallery"}
    source : mapping
        `file, sha256`.
    origin : {"finblend", "elsewhere"}
        Key `from`.
    made : mapping or None
        Rule, threshold, models and recipe of what `pseudo` wrote.
    min_prob : float or None
    sets : mapping
        Of each set `sha256, rows`.
    effect : GalleryEffect or None
    forced : bool
    labels, finblend : str
        Hash of the labels and folds; the version.
    folder : str
    drift : mapping
        See `cv.drift`.
    left_out : int
        Rows of the table that name nobody or were left out.
    other_species : int or None
        Rows whose species is not their individual's; None where there are none told.
    """

    round: str
    kind: str
    source: Mapping[str, str]
    origin: str = named("from")
    made: Mapping[str, Any] | None
    min_prob: float | None
    sets: Mapping[str, Mapping[str, Any]]
    effect: GalleryEffect | None
    forced: bool
    labels: str
    finblend: str
    folder: str
    drift: Mapping[str, Any]
    left_out: int
    other_species: int | None
