"""The page of `finblend compare`: which of two blends is better, on whom, and the photos they differ most on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cv.catalogue import NO_SPECIES
from cv.files import written_beside
from ensemble.comparison.compared import ComparedBlend
from ensemble.report.charts.charts import Bars
from ensemble.report.numbers import share
from ensemble.report.page.album import Album
from ensemble.report.page.html import render
from ensemble.report.page.photos import GalleryRow
from ensemble.report.page.pieces import Cell, Figures, Gallery, Piece, Section, Table, Text, Warnings

WHO = ("first", "second")
SPECIES = 48


def write_comparison(
    report: dict[str, Any], sides: Sequence[ComparedBlend], output: str | Path, images: Path | None = None
) -> None:
    """Write what `ensemble.comparison.compare.compare` found as one self-contained HTML page.

    Parameters
    ----------
    report : dict
        As of `compare`.
    sides : sequence of two Side
    output : str or Path
    images : Path, optional
        The folder of the photos.
    """
    album = Album(sides[0].project, images)
    sections = [_overall(report), _whom(report), _photos(report, album)]
    one, two = (report[who]["name"] for who in WHO)
    text = render(f"{one} and {two}: finblend compare", sections)
    with written_beside(Path(output)) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _overall(report: dict[str, Any]) -> Section:
    one, two = (report[who] for who in WHO)
    low, high = report["interval"]
    which = two["name"] if low > 0 else one["name"] if high < 0 else None
    title = "Neither is clearly better" if which is None else f"{which} is better"
    pairs = [
        (one["name"], f"{one['map5']:.4f}"),
        (two["name"], f"{two['map5']:.4f}"),
        (f"{two['name']} - {one['name']}", f"{report['difference']:+.4f}"),
        ("95 %, paired", f"{low:+.4f} to {high:+.4f}"),
        (f"drawn catalogues in which {two['name']} is better", share(report["second_better"])),
        (f"in which {one['name']} is better", share(report["first_better"])),
    ]
    header = ["", "models", "second stage", "MAP@5", "95 % from", "to", "known", "new", "its own nested MAP@5"]
    rows: list[list[Cell]] = [
        [
            who["name"],
            ", ".join(who["models"]),
            "yes" if who["second_stage"] else "no",
            who["map5"],
            *who["interval"],
            who["known"],
            who["new"],
            who["nested"]["map5"] if who["nested"] else None,
        ]
        for who in (one, two)
    ]
    note = "Nested figures are as each 'finblend tune' found them, in its own mix."
    body: list[Piece] = [Figures(pairs), Table("The two", header, rows, note)]
    body += [Text(f"{who['name']}: {who['measured']}.") for who in (one, two)]
    if report["nested"]:
        found = report["nested"]
        low, high = found["interval"]
        body.append(
            Text(
                f"Nested: {one['name']} {found['first']:.4f}, {two['name']} {found['second']:.4f}; difference "
                f"{found['difference']:+.4f} (95 % {low:+.4f} to {high:+.4f}), {two['name']} better in "
                f"{share(found['second_better'])} of drawn catalogues. {found['measured']}."
            )
        )
    if report["warnings"]:
        body.append(Warnings(report["warnings"]))
    return Section("overall", title, _measured(report), body)


def _whom(report: dict[str, Any]) -> Section:
    one, two = (report[who]["name"] for who in WHO)
    tasks = [("known individuals", report["known"]), ("strangers", report["new"])]
    by_share = sorted(report["species"], key=lambda row: -row["share"])
    tasks += [(row["species"], row) for row in by_share if len(by_share) > 1][:SPECIES]
    drawn = [(name, task) for name, task in tasks if task["difference"] is not None and task["interval"]]
    title = f"Where {two} gains over {one}, and where it loses"
    chart = Bars(
        title,
        f"MAP@5 of {two} less that of {one}",
        "photos of",
        f"Differences of MAP@5, {two} less {one}: "
        + "; ".join(f"{name} {task['difference']:+.4f}" for name, task in drawn),
        [name for name, _ in drawn],
        [task["difference"] for _, task in drawn],
        [tuple(task["interval"]) for _, task in drawn],
    )
    header = ["photos of", "share of the mix", one, two, "difference", "95 % from", "to"]
    rows: list[list[Cell]] = [
        [name, task["share"], task["first"], task["second"], task["difference"], *(task["interval"] or [None, None])]
        for name, task in tasks
    ]
    left = len(by_share) - SPECIES
    note = f"{left} more species are left out." if left > 0 else ""
    table = Table("Scores", header, rows, note, shares=("share of the mix",))
    return Section("whom", "On whom they differ", _measured(report), [*([chart] if drawn else []), table])


def _photos(report: dict[str, Any], album: Album) -> Section:
    found, names = report["photos"], [report[who]["name"] for who in WHO]
    body: list[Piece] = [
        Text(
            f"Of {found['compared']:,} answers {names[1]} is better on {found['second_better']:,}, {names[0]} on "
            f"{found['first_better']:,}; {found['same']:,} score the same. Shown are those that move the "
            "score most, by weight times difference."
        )
    ]
    if album.images is None:
        header = ["photo", "truth", "species"]
        header += [f"{what} {name}" for name in names for what in ("place in", "answers of")]
        rows: list[list[Cell]] = []
        for photo in found["most"]:
            cells = [cell for who in WHO for cell in (photo[who]["place"], ", ".join(photo[who]["answers"]))]
            rows.append([photo["image"], _truth(photo), photo["species"], *cells])
        body.append(Table("Photos they differ most on", header, rows))
    else:
        body.append(Gallery([_row(photo, who, report[who]["name"], album) for photo in found["most"] for who in WHO]))
    body += [Warnings(album.notes)] if album.notes else []
    return Section("photos", "Photos they differ most on", _measured(report), body)


def _row(photo: dict[str, Any], who: str, name: str, album: Album) -> GalleryRow:
    """A photo and what one side answers to it."""
    given = photo[who]
    place = f"right in place {given['place']}" if given["place"] else "not right in five places"
    lines = [photo["image"], _truth(photo), *([photo["species"]] if photo["species"] != NO_SPECIES else [])]
    shots = []
    for answer, picture in zip(given["answers"], given["photos"], strict=True):
        right = answer == photo["truth"]
        shots.append(album.answer(picture or "", [answer + (" (right)" if right else "")], right))
    return GalleryRow(album.shot(photo["image"], lines), shots, f"{name}: {place}", joined=who != WHO[0])


def _truth(photo: dict[str, Any]) -> str:
    if photo["plays_stranger"]:
        return f"{photo['truth']} ({photo['individual']}, hidden from the gallery)"
    return str(photo["truth"])


def _measured(report: dict[str, Any]) -> str:
    text = str(report["measured"])
    how = [f"{report[who]['name']} {'cross-fitted' if report[who]['second_stage'] else 'in-sample'}" for who in WHO]
    return f"Out-of-fold, {' and '.join(how)}. {text[0].upper()}{text[1:]}."
