"""What tables and photos say beside names: where the animal is on its photo, and how large the photo is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from cv.errors import FinblendError, shown
from cv.extras import load_extra
from ensemble.exchange.records import BOX


def boxes_of(source: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Columns `image` and those of `BOX`, of the photos that have a box; source as of `embed --boxes`."""
    boxes = load_extra("backbones.photos", "photos").read_boxes(source, frame)
    corners = pl.DataFrame(
        [[image, box.x1, box.y1, box.x2, box.y2] for image, box in boxes.items()],
        schema={"image": pl.String, **dict.fromkeys(BOX, pl.Float64)},
        orient="row",
    )
    # a corner less the other, of numbers that were added: back to what was written
    sizes = [(pl.col(far) - pl.col(near)).round(9).alias(far) for near, far in zip(BOX[:2], BOX[2:], strict=True)]
    return corners.with_columns(sizes)


def sizes_of(records: pl.DataFrame, folders: Sequence[str | Path]) -> pl.DataFrame:
    """Width and height of upright photos, where the records do not say them.

    Raises
    ------
    FinblendError
        If no photo is found, or one cannot be read.
    """
    find_photos = load_extra("backbones.photos", "photos").find_photos
    from PIL import Image, UnidentifiedImageError

    from backbones.photos.decode import upright_size

    paths = records["path"].to_list() if "path" in records.columns else None
    found = find_photos(records["image"].to_list(), [Path(folder) for folder in folders], paths)
    if not any(found.files):
        raise FinblendError(
            f"--images {shown(folders)}: none of the photos is there (a name looks like {records['image'][0]})"
        )
    sizes: list[tuple[int | None, int | None]] = []
    for path in found.files:
        if path is None:
            sizes.append((None, None))
            continue
        try:
            sizes.append(upright_size(path))
        except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError):
            raise FinblendError(f"{path}: cannot be read as a photo") from None
    read = {
        side: pl.Series(side, each, pl.Int64)
        for side, each in zip(("width", "height"), zip(*sizes, strict=True), strict=True)
    }
    said = {side: records[side].cast(pl.Int64, strict=False) for side in read if side in records.columns}
    return records.with_columns(
        said[side].fill_null(series) if side in said else series for side, series in read.items()
    )
