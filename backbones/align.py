"""Put embeddings into the catalogue's order, by image name; refuse whatever does not fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from backbones.embeddings import Embeddings
from cv.errors import FinblendError, shown
from cv.limits import LONGEST, SHORTEST

_BLOCK = 4096


def align(
    embeddings: Embeddings,
    photos: pl.DataFrame,
    split: str,
    elsewhere: frozenset[str] = frozenset(),
    numbered: pl.DataFrame | None = None,
) -> Embeddings:
    """Reorder embeddings to the rows of `photos`, as float32.

    Parameters
    ----------
    embeddings : Embeddings
    photos : polars.DataFrame
        The catalogue's photos of this split: columns `image` and `row`.
    split : {"train", "test"}
    elsewhere : frozenset of str
        Images that may be present and are passed over: the rest of the catalogue, when one file serves both splits.
    numbered : polars.DataFrame, optional
        Columns `image` and `row` of the whole table that row numbers count in; `photos` by default.

    Raises
    ------
    FinblendError
        If images are missing, surplus, unknown or repeated, or a vector is zero or not finite.
    """
    source, wanted = embeddings.source, photos["image"].to_list()
    if embeddings.images is None:
        given = _images_of_rows(embeddings, photos if numbered is None else numbered, split)
    else:
        given = embeddings.images
    place: dict[str, int] = {}
    known = set(wanted)
    for row, image in enumerate(given):
        if image in place:
            raise FinblendError(f"{source}: row {row + 1}: image {image} stands twice; every image stands once")
        place[image] = row
    surplus = [image for image in given if image not in known and image not in elsewhere]
    if surplus:
        hint = f" (a catalogue name looks like {wanted[0]})" if len(surplus) == len(given) else ""
        raise FinblendError(f"{source}: {shown(surplus)}: not among the catalogue's {split} photos{hint}")
    missing = [image for image in wanted if image not in place]
    if missing:
        what = "photo" if len(missing) == 1 else "photos"
        raise FinblendError(f"{source}: no embedding for the {split} {what} {shown(missing)}")
    order = np.array([place[image] for image in wanted])
    views = {}
    for view, array in embeddings.views.items():
        views[view] = _checked(array, order, wanted, f"{source} ({view})" if len(embeddings.views) > 1 else source)
    return replace(
        embeddings,
        views=views,
        images=wanted,
        rows=None,
        predictions={name: array[order] for name, array in embeddings.predictions.items()},
        labels=None if embeddings.labels is None else embeddings.labels[order],
    )


def named_by_path(embeddings: Embeddings, photos: pl.DataFrame) -> Embeddings:
    """Embeddings under the catalogue's names, where they came under its paths.

    Parameters
    ----------
    embeddings : Embeddings
    photos : polars.DataFrame
        The whole catalogue; without a column `path`, or if any name of its own is there, nothing is done.
    """
    if embeddings.images is None or "path" not in photos.columns:
        return embeddings
    given = embeddings.images
    image_of = dict(photos.filter(pl.col("path").is_not_null()).select("path", "image").iter_rows())
    if not photos.filter(pl.col("image").is_in(given)).is_empty() or len(image_of) < photos["path"].count():
        return embeddings
    return replace(embeddings, images=[image_of.get(name, name) for name in given])


def _images_of_rows(embeddings: Embeddings, photos: pl.DataFrame, split: str) -> list[str]:
    """Names of photos that are given by their row in the catalogue's own table."""
    rows = np.asarray(embeddings.rows)
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise FinblendError(
            f"{embeddings.source}: original_index must be whole numbers, got {rows.dtype}{list(rows.shape)}"
        )
    image_of = dict(photos.select("row", "image").iter_rows())
    for position, row in enumerate(rows.tolist()):
        if row not in image_of:
            raise FinblendError(
                f"{embeddings.source}: row {position + 1}: original_index {row} is not a row of the {split} table"
            )
    return [image_of[row] for row in rows.tolist()]


def _checked(array: np.ndarray, order: np.ndarray, images: list[str], source: str) -> np.ndarray:
    out = np.empty((len(order), array.shape[1]), dtype=np.float32)
    for start in range(0, len(order), _BLOCK):
        with np.errstate(over="ignore"):
            out[start : start + _BLOCK] = array[order[start : start + _BLOCK]]
        block = out[start : start + _BLOCK]
        length = np.linalg.norm(block.astype(np.float64), axis=1)
        for bad, rule in (
            (~np.isfinite(block).all(axis=1), "holds NaN or infinite values"),
            (~block.any(axis=1), "is all zeros, so it has no direction"),
            (~((length > SHORTEST) & (length < LONGEST)), f"breaks {SHORTEST} < length < {LONGEST}"),
        ):
            if bad.any():
                position = start + int(bad.argmax())
                row = int(order[position]) + 1
                raise FinblendError(f"{source}: row {row}: the embedding of {images[position]} {rule}")
    return out


def contradicting_labels(labels: np.ndarray, individuals: list[str]) -> int:
    """Count photos whose class number is used for another individual too: a sign of wrongly matched rows."""
    frame = pl.DataFrame({"label": labels, "individual": individuals})
    common = frame.group_by("label", "individual").len().sort("len", "individual", descending=[True, False])
    main = common.unique("label", keep="first")
    return frame.height - int(main["len"].sum())
