"""Sheets of photos to look at: a catalogue's animals side by side, and queries with their ranked names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

from cv.catalogue import NEW_INDIVIDUAL
from cv.errors import FinblendError
from cv.files import written_beside
from ensemble.demo.painter.catalogue import Painted

TILE = (200, 150)
GAP = 8
CAPTION = 20
TITLE = 26
RANKS = 5
PAPER, INK, FAINT = (250, 250, 248), (40, 44, 48), (120, 124, 128)
GREEN, RED, GREY = (36, 150, 74), (196, 64, 56), (170, 172, 174)
# one colour an individual, so that its photos are seen to belong together
ACCENTS = ((43, 108, 176), (201, 122, 32))


def contact_sheet(path: Path, painted: Painted, *, each: int = 3) -> None:
    """Write a PNG with two well-photographed individuals of every species, `each` train photos of both.

    Parameters
    ----------
    path : Path
    painted : Painted
    each : int
        Photos of an individual, 1 to 10.

    Raises
    ------
    FinblendError
        If `each` is out of its range, a photo cannot be read or the file cannot be written.
    """
    if not 1 <= each <= 10:
        raise FinblendError(f"1 <= each <= 10 must hold, but got each={each}")
    train = painted.details.filter(split="train")
    species = sorted(train["species"].unique().to_list())
    row_height = TITLE + TILE[1] + CAPTION + GAP
    wide = 2 * each * (TILE[0] + GAP) + 2 * GAP
    sheet = Image.new("RGB", (wide, GAP + len(species) * row_height), PAPER)
    draw = ImageDraw.Draw(sheet)
    for row, name in enumerate(species):
        top = GAP + row * row_height
        of_species = train.filter(species=name)
        known = of_species["individual"].n_unique()
        title = f"{name.replace('_', ' ')}: {of_species.height} train photos of {known} individuals"
        draw.text((GAP, top + 2), title, INK, _font(17))
        for which, individual in enumerate(_best_known(of_species)):
            chosen = _varied(of_species.filter(individual=individual), each)
            for column, (image, flank) in enumerate(chosen):
                left = GAP + (which * each + column) * (TILE[0] + GAP) + which * GAP
                _tile(sheet, painted.photo(image), (left, top + TITLE), ACCENTS[which], 2)
                caption = individual if flank == "fluke" else f"{individual}, {flank} side"
                draw.text((left, top + TITLE + TILE[1] + 3), caption, ACCENTS[which], _font(14))
    _save(sheet, path)


def answers_sheet(path: Path, rows: Sequence[tuple[Path, str, Sequence[tuple[str, Path | None]]]]) -> None:
    """Write a PNG with a query a row, followed by the names it was given, best first; the right one is framed green.

    Parameters
    ----------
    path : Path
    rows : sequence of (query photo, truth, ranked names)
        Ranked names are up to five pairs of a name and an example photo of it, or None. Strangers have
        `new_individual` as truth.

    Raises
    ------
    FinblendError
        If there are no rows, a row has more than five names, a photo cannot be read or the file cannot be written.
    """
    if not rows:
        raise FinblendError(f"{path}: an answers sheet needs at least one query")
    row_height = TILE[1] + CAPTION + GAP
    wide = (RANKS + 1) * (TILE[0] + GAP) + 3 * GAP
    sheet = Image.new("RGB", (wide, TITLE + GAP + len(rows) * row_height), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, GAP), "query and its true name", INK, _font(16))
    key = "answers, best first; green: right, red: wrong in first place or all wrong, grey: wrong beside the right one"
    draw.text((TILE[0] + 4 * GAP, GAP), key, INK, _font(16))
    for row, (query, truth, ranked) in enumerate(rows):
        if len(ranked) > RANKS:
            raise FinblendError(f"{query}: at most {RANKS} names fit on a row, but got {len(ranked)}")
        top = TITLE + GAP + row * row_height
        _tile(sheet, query, (GAP, top), INK, 2)
        draw.text((GAP, top + TILE[1] + 3), truth, INK, _font(14))
        hit = any(name == truth for name, _ in ranked)
        for rank, (name, example) in enumerate(ranked):
            left = 4 * GAP + (rank + 1) * TILE[0] + rank * GAP
            # a wrong first answer costs most; others are no loss where the right one is on the row
            colour = GREEN if name == truth else RED if rank == 0 or not hit else GREY
            _tile(sheet, example, (left, top), colour, 5, name)
            draw.text((left, top + TILE[1] + 3), f"{rank + 1}. {name}", colour if colour != GREY else FAINT, _font(14))
    _save(sheet, path)


def _best_known(photos: pl.DataFrame) -> list[str]:
    """The two individuals with most photos."""
    return (
        photos["individual"]
        .value_counts()
        .sort(["count", "individual"], descending=[True, False])["individual"][:2]
        .to_list()
    )


def _varied(photos: pl.DataFrame, each: int) -> list[tuple[str, str]]:
    """Image and flank of up to `each` photos: one from every encounter first, both flanks if there are."""
    order = photos.with_columns(again=pl.int_range(pl.len()).over("encounter")).sort("again", "image")
    rows = list(order.select("image", "flank").iter_rows())
    chosen = rows[:each]
    other = [row for row in rows if row[1] != rows[0][1]]
    if each > 1 and other and all(row[1] == rows[0][1] for row in chosen):
        chosen[-1] = other[0]
    return sorted(chosen, key=lambda row: row[1])


def _tile(
    sheet: Image.Image,
    photo: Path | None,
    place: tuple[int, int],
    frame: tuple[int, int, int],
    thick: int,
    name: str = "",
) -> None:
    """Put a photo onto the sheet, or a grey tile with the name where there is none."""
    if photo is None:
        tile = Image.new("RGB", TILE, (214, 216, 218))
        text = "new individual:\nnot in the catalogue" if name == NEW_INDIVIDUAL else f"{name}\nno photo"
        middle = (TILE[0] / 2, TILE[1] / 2)
        ImageDraw.Draw(tile).multiline_text(middle, text, FAINT, _font(16), anchor="mm", align="center")
    else:
        try:
            with Image.open(photo) as opened:
                tile = ImageOps.fit(opened.convert("RGB"), TILE, Image.Resampling.LANCZOS)
        except (OSError, UnidentifiedImageError):
            raise FinblendError(f"{photo}: cannot be read as a photo") from None
    left, top = place
    sheet.paste(tile, place)
    ImageDraw.Draw(sheet).rectangle((left, top, left + TILE[0] - 1, top + TILE[1] - 1), outline=frame, width=thick)


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size=size)


def _save(sheet: Image.Image, path: Path) -> None:
    with written_beside(Path(path)) as temporary:
        sheet.save(temporary, "PNG")
