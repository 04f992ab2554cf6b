"""Folds in which out-of-fold looks like test: strangers are individuals whose other photos are nowhere else."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl

from cv.errors import FinblendError, shown

MAX_FOLD = 9999


@dataclass(frozen=True)
class FoldReport:
    """How the folds came out.

    Attributes
    ----------
    photos, strangers : dict of int to int
        Per fold, all photos and those whose individual has no photo in another fold.
    single_photo, single_encounter : int
        Individuals with one photo; individuals with several photos, all of one encounter. Both are strangers in
        their own fold.
    straddling_encounters : int
        Encounters with photos in several folds: 0 for folds made here, maybe more for folds that a team brought.
    """

    photos: dict[int, int]
    strangers: dict[int, int]
    single_photo: int
    single_encounter: int
    straddling_encounters: int


def make_folds(train: pl.DataFrame, n_folds: int, seed: int = 0, hold_out: int = 0) -> np.ndarray:
    """Assign photos to folds.

    An encounter never straddles folds (a photo without one is an encounter of its own). An individual's encounters
    are spread over as many folds as it has encounters, so that its queries find it in the gallery; an individual with
    one encounter is a stranger in its fold. Folds are balanced by species and by photos. The result depends on the
    set of photos and the seed, never on the order of rows.

    Parameters
    ----------
    train : polars.DataFrame
        Columns `image`, `individual_id`, `species`, `encounter` (null: stands alone).
    n_folds : int
        At least 2.
    seed : int
    hold_out : int
        So many individuals of several encounters, drawn by the seed, get all their photos into one fold: strangers to
        that fold's gallery, and to the network trained without it, who have more than one photo. Whoever shares an
        encounter with them goes along with it.

    Returns
    -------
    (n,) int32 array
        Fold of each row, in [0, n_folds).

    Examples
    --------
    One animal with three photos is spread; one with a single photo is somebody new in its fold.

    >>> photos = pl.DataFrame({"image": list("abcd"), "individual_id": ["i", "i", "i", "j"], "species": ["s"] * 4})
    >>> photos = photos.with_columns(encounter=pl.lit(None, dtype=pl.String))
    >>> folds = make_folds(photos, 3)
    >>> sorted(folds[:3].tolist())
    [0, 1, 2]
    """
    if n_folds < 2:
        raise FinblendError(f"--folds: n_folds >= 2 must hold, but got n_folds={n_folds}")
    images, individuals = train["image"].to_list(), train["individual_id"].to_list()
    species = train["species"].to_list()
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, (image, encounter) in enumerate(zip(images, train["encounter"].to_list(), strict=True)):
        groups[("photo", image) if encounter is None else ("encounter", encounter)].append(row)
    if hold_out:
        groups = _held_together(groups, individuals, hold_out, seed)
    encounters_of = _encounters_of(groups, individuals)

    def order(item: tuple[tuple[str, str], list[int]]) -> tuple[int, int, bytes]:
        # individuals with many encounters first: singles are free to balance the folds afterwards
        key, rows = item
        return -max(encounters_of[individuals[row]] for row in rows), -len(rows), _noise(seed, *key)

    n_photos = [0] * n_folds
    of_individual: dict[str, list[int]] = defaultdict(lambda: [0] * n_folds)
    of_species: dict[str, list[int]] = defaultdict(lambda: [0] * n_folds)
    folds = np.empty(train.height, dtype=np.int32)
    for _, rows in sorted(groups.items(), key=order):
        members = {individuals[row] for row in rows}
        kinds = {species[row] for row in rows}
        # an individual that is in one fold only must not get its next encounter there
        cost = [
            (
                sum(of_individual[name][fold] for name in members),
                sum(of_species[kind][fold] for kind in kinds),
                n_photos[fold],
                fold,
            )
            for fold in range(n_folds)
        ]
        fold = min(cost)[-1]
        for row in rows:
            folds[row] = fold
            of_individual[individuals[row]][fold] += 1
            of_species[species[row]][fold] += 1
        n_photos[fold] += len(rows)
    return folds


def _noise(seed: int, kind: str, name: str) -> bytes:
    """A draw that depends on a name, never on where it stands."""
    return hashlib.blake2b(f"{seed}|{kind}|{name}".encode(), digest_size=8).digest()


def _encounters_of(groups: dict[tuple[str, str], list[int]], individuals: list[str]) -> dict[str, int]:
    """In how many groups each individual is."""
    counts: dict[str, int] = defaultdict(int)
    for rows in groups.values():
        for individual in {individuals[row] for row in rows}:
            counts[individual] += 1
    return counts


def _held_together(
    groups: dict[tuple[str, str], list[int]], individuals: list[str], hold_out: int, seed: int
) -> dict[tuple[str, str], list[int]]:
    """Groups in which drawn individuals have one group each: all of theirs are one."""
    several = [name for name, n in _encounters_of(groups, individuals).items() if n > 1]
    if not 0 <= hold_out < max(len(several), 1):
        raise FinblendError(
            f"--hold-out: 0 <= N < {max(len(several), 1)} must hold ({len(several)} individuals have several "
            f"encounters), but got N={hold_out}"
        )
    drawn = set(sorted(several, key=lambda name: (_noise(seed, "held out", name), name))[:hold_out])
    joined: dict[tuple[str, str], list[int]] = {}
    group_of: dict[str, tuple[str, str]] = {}
    for key in sorted(groups):
        rows = groups[key]
        # groups that this one links become one, under the first one's key
        linked = sorted({group_of[individuals[row]] for row in rows if individuals[row] in group_of})
        rows = [row for other in linked for row in joined.pop(other)] + rows
        first = min([key, *linked])
        joined[first] = rows
        group_of |= {individuals[row]: first for row in rows if individuals[row] in drawn}
    return joined


def folds_from_values(images: Iterable[str], values: pl.DataFrame, source: str) -> np.ndarray:
    """Take folds that a team already has.

    Parameters
    ----------
    images : iterable of str
        The train photos.
    values : polars.DataFrame
        Columns `image` and `value`; the values are whole numbers >= 0.
    source : str
        Where they came from, for error lines.

    Returns
    -------
    (n,) int32 array
    """
    given = dict(values.iter_rows())
    images = list(images)
    missing = [image for image in images if given.get(image) is None]
    if missing:
        raise FinblendError(f"{source}: gives no fold for {shown(missing)}; every train photo needs one")
    folds = np.empty(len(images), dtype=np.int32)
    for i, image in enumerate(images):
        text = str(given[image]).strip()
        whole = text[:-2] if text.endswith(".0") else text
        if not whole.isdecimal() or int(whole) > MAX_FOLD:
            raise FinblendError(f"{source}: image {image}: fold '{text}' is not a whole number from 0 to {MAX_FOLD}")
        folds[i] = int(whole)
    if len(np.unique(folds)) < 2:
        raise FinblendError(f"{source}: all photos are in fold {folds[0]}; there must be at least 2 folds")
    return folds


def gallery_photos(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Count, for each photo, its individual's photos in the other groups: 0 for a stranger.

    Parameters
    ----------
    labels, groups : (n,) int arrays
        Groups are folds, or as of `cv.left_out`.

    Returns
    -------
    (n,) int64 array

    Examples
    --------
    >>> gallery_photos(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]))
    array([1, 1, 2, 0])
    """
    group = np.unique(groups, return_inverse=True)[1].astype(np.int64)
    # pairs that there are: groups may be as many as photos
    cell = group * (int(labels.max(initial=0)) + 1) + labels
    _, inverse, count = np.unique(cell, return_inverse=True, return_counts=True)
    return np.asarray(np.bincount(labels)[labels] - count[inverse])


def describe_folds(train: pl.DataFrame, labels: np.ndarray, folds: np.ndarray) -> FoldReport:
    """Count photos and strangers per fold, and what makes the strangers."""
    stranger = gallery_photos(labels, folds) == 0
    ids = [int(fold) for fold in np.unique(folds)]
    keyed = train.select("individual_id", "encounter", fold=pl.Series(folds)).with_columns(
        key=pl.coalesce("encounter", pl.format("photo {}", pl.int_range(pl.len())))
    )
    each = keyed.group_by("individual_id").agg(photos=pl.len(), encounters=pl.col("key").n_unique())
    per_encounter = keyed.drop_nulls("encounter").group_by("encounter").agg(pl.col("fold").n_unique())
    return FoldReport(
        photos={fold: int((folds == fold).sum()) for fold in ids},
        strangers={fold: int((stranger & (folds == fold)).sum()) for fold in ids},
        single_photo=each.filter(pl.col("photos") == 1).height,
        single_encounter=each.filter((pl.col("photos") > 1) & (pl.col("encounters") == 1)).height,
        straddling_encounters=per_encounter.filter(pl.col("fold") > 1).height,
    )
