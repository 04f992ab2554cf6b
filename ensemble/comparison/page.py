"""The page of `finblend compare`: which of two blends is better, on whom, and the photos they differ most on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cv.catalogue import NO_SPECIES
from cv.files import written_beside
from ensemble.comparison.result import (
    BlendScores,
    ComparisonResult,
    DifferingPhoto,
    GroupDifference,
    PhotoAnswers,
    SpeciesDifference,
)
from ensemble.project.folder import Project
from ensemble.report.charts.charts import Bars
from ensemble.report.numbers import share
from ensemble.report.page.album import Album
from ensemble.report.page.html import render
from ensemble.report.page.photos import GalleryRow
from ensemble.report.page.pieces import Cell, Figures, Gallery, Piece, Section, Table, Text, Warnings

SPECIES = 48
# stands where a group has no interval
NO_ENDS: tuple[None, None] = (None, None)


def write_comparison(
    result: ComparisonResult, project: Project, output: str | Path, images: Sequence[Path] = ()
) -> None:
    """Write what `ensemble.comparison.compare.compare` returns as one self-contained HTML page.

    Parameters
    ----------
    result : ComparisonResult
    project : Project
        The first's.
    output : str or Path
    images : sequence of Path
        The folders of the photos; none where only names are to be shown.
    """
    album = Album(project, images)
    sections = [_overall(result), _groups(result), _photos(result, album)]
    text = render(f"{result.first.name} and {result.second.name}: finblend compare", sections)
    with written_beside(Path(output)) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _overall(result: ComparisonResult) -> Section:
    first, second = result.first, result.second
    low, high = result.interval
    better = second.name if low > 0 else first.name if high < 0 else None
    title = "Neither is clearly better" if better is None else f"{better} is better"
    pairs = [
        (first.name, f"{first.map5:.4f}"),
        (second.name, f"{second.map5:.4f}"),
        (f"{second.name} - {first.name}", f"{result.difference:+.4f}"),
        ("95 %, paired", f"{low:+.4f} to {high:+.4f}"),
        (f"drawn catalogues in which {second.name} is better", share(result.second_better)),
        (f"in which {first.name} is better", share(result.first_better)),
    ]
    header = ["", "models", "second stage", "MAP@5", "95 % from", "to", "known", "new", "its own nested MAP@5"]
    note = "Nested figures are as each 'finblend tune' found them, in its own mix."
    table = Table("The two", header, [_scores_row(first), _scores_row(second)], note)
    body: list[Piece] = [Figures(pairs), table]
    body += [Text(f"{scores.name}: {scores.measured}.") for scores in (first, second)]
    if result.nested is not None:
        nested = result.nested
        low, high = nested.interval
        body.append(
            Text(
                f"Nested: {first.name} {nested.first:.4f}, {second.name} {nested.second:.4f}; difference "
                f"{nested.difference:+.4f} (95 % {low:+.4f} to {high:+.4f}), {second.name} better in "
                f"{share(nested.second_better)} of drawn catalogues. {nested.measured}."
            )
        )
    if result.warnings:
        body.append(Warnings(result.warnings))
    return Section("overall", title, _measured(result), body)


def _scores_row(scores: BlendScores) -> list[Cell]:
    stage, models = "yes" if scores.second_stage else "no", ", ".join(scores.models)
    nested = scores.nested["map5"] if scores.nested else None
    return [scores.name, models, stage, scores.map5, *scores.interval, scores.known, scores.new, nested]


def _groups(result: ComparisonResult) -> Section:
    first, second = result.first.name, result.second.name
    by_share = sorted(result.species, key=lambda species: -species.share)
    groups: list[tuple[str, GroupDifference | SpeciesDifference]] = [
        ("known individuals", result.known),
        ("strangers", result.new),
    ]
    groups += [(species.species, species) for species in by_share if len(by_share) > 1][:SPECIES]
    drawn = [
        (name, group.difference, group.interval)
        for name, group in groups
        if group.difference is not None and group.interval
    ]
    differences = "; ".join(f"{name} {difference:+.4f}" for name, difference, _ in drawn)
    chart = Bars(
        f"Where {second} gains over {first}, and where it loses",
        f"MAP@5 of {second} less that of {first}",
        "photos of",
        f"Differences of MAP@5, {second} less {first}: {differences}",
        [name for name, _, _ in drawn],
        [difference for _, difference, _ in drawn],
        [(low, high) for _, _, (low, high) in drawn],
    )
    header = ["photos of", "share of the mix", first, second, "difference", "95 % from", "to"]
    rows: list[list[Cell]] = [
        [name, group.share, group.first, group.second, group.difference, *(group.interval or NO_ENDS)]
        for name, group in groups
    ]
    left = len(by_share) - SPECIES
    note = f"{left} more species are left out." if left > 0 else ""
    table = Table("Scores", header, rows, note, shares=("share of the mix",))
    return Section("whom", "On whom they differ", _measured(result), [*([chart] if drawn else []), table])


def _photos(result: ComparisonResult, album: Album) -> Section:
    photos, names = result.photos, (result.first.name, result.second.name)
    body: list[Piece] = [
        Text(
            f"Of {photos.compared:,} answers {names[1]} is better on {photos.second_better:,}, {names[0]} on "
            f"{photos.first_better:,}; {photos.same:,} score the same. Shown are those that move the "
            "score most, by weight times difference."
        )
    ]
    if not album.images:
        header = ["photo", "truth", "species"]
        header += [f"{what} {name}" for name in names for what in ("place in", "answers of")]
        rows: list[list[Cell]] = []
        for photo in photos.most:
            cells = [cell for given in (photo.first, photo.second) for cell in (given.place, ", ".join(given.answers))]
            rows.append([photo.image, _truth(photo), photo.species, *cells])
        body.append(Table("Photos they differ most on", header, rows))
    else:
        shown = []
        for photo in photos.most:
            shown.append(_row(photo, photo.first, names[0], album))
            shown.append(replace(_row(photo, photo.second, names[1], album), joined=True))
        body.append(Gallery(shown))
    body += [Warnings(album.notes)] if album.notes else []
    return Section("photos", "Photos they differ most on", _measured(result), body)


def _row(photo: DifferingPhoto, given: PhotoAnswers, name: str, album: Album) -> GalleryRow:
    """A photo and what one blend answers to it."""
    place = f"right in place {given.place}" if given.place else "not right in five places"
    lines = [photo.image, _truth(photo), *([photo.species] if photo.species != NO_SPECIES else [])]
    shots = []
    for answer, picture in zip(given.answers, given.photos, strict=True):
        right = answer == photo.truth
        shots.append(album.answer(picture or "", [answer + (" (right)" if right else "")], right))
    return GalleryRow(album.shot(photo.image, lines), shots, f"{name}: {place}")


def _truth(photo: DifferingPhoto) -> str:
    if photo.plays_stranger:
        return f"{photo.truth} ({photo.individual}, hidden from the gallery)"
    return photo.truth


def _measured(result: ComparisonResult) -> str:
    ways = [
        f"{scores.name} {'cross-fitted' if scores.second_stage else 'in-sample'}"
        for scores in (result.first, result.second)
    ]
    return f"Out-of-fold, {' and '.join(ways)}. {result.measured[0].upper()}{result.measured[1:]}."
