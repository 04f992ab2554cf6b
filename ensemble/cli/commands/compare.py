"""compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ensemble.cli.app import app
from ensemble.cli.options import AsJson, ProjectFolder
from ensemble.cli.summaries import signed
from ensemble.cli.terminal import print_json, print_table, progress_bars, say, warn

if TYPE_CHECKING:
    from ensemble.comparison.result import ComparisonResult, GroupDifference, NestedDifference, SpeciesDifference

NO_ENDS = (None, None)


@app.command()
def compare(
    folder: ProjectFolder,
    other: Annotated[
        Path | None, typer.Argument(metavar="[P2]", help="Another project of the same photos and folds.")
    ] = None,
    blend: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Instead of P2, a blend that P had before, kept from its blend.json."),
    ] = None,
    photos: Annotated[int, typer.Option(metavar="N", help="How many photos to list on which either is better.")] = 10,
    nested: Annotated[
        bool, typer.Option("--nested", help="Also tune both without each fold in turn and compare them there.")
    ] = False,
    nested_trials: Annotated[int, typer.Option(metavar="N", help="Trials per fold, for --nested.")] = 100,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the nested trials.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="An HTML page to write.")
    ] = None,
    images: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR|ZIP|TFRECORDS", help="The photos, to show some on the page; may be given again."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Compare two blends photo by photo: whether P2 is better than P, on whom, and on which photos they differ.

    With --blend: whether P's own blend is better than the one in FILE.

    Example: finblend compare P P2 -o compare.html --images photos
    """
    from ensemble.comparison.compare import compare as run

    with progress_bars() as progress:
        result = run(
            folder,
            other,
            blend=blend,
            photos=photos,
            nested=nested,
            nested_trials=nested_trials,
            seed=seed,
            output=output,
            images=images,
            progress=progress,
        )
    warn(result.warnings)
    if json:
        print_json(result)
        return
    _print_photos(result)
    _print_groups(result)
    _print_overall(result)
    if output is not None:
        say(f"{output} written")


def _print_overall(result: ComparisonResult) -> None:
    first, second = result.first, result.second
    gain = f"{second.name} - {first.name}"
    rows = [[each.name, each.map5, *each.interval, each.known, each.new] for each in (first, second)]
    differences = (result.difference, *result.interval, result.known.difference, result.new.difference)
    rows.append([gain, *map(signed, differences)])
    print_table("MAP@5 out-of-fold", ["", "MAP@5", "95 % from", "to", "known", "new"], rows, result.measured)
    if first.measured == second.measured:
        say(f"both: {first.measured}")
    else:
        for each in (first, second):
            say(f"{each.name}: {each.measured}")
    nested = result.nested
    if nested is not None:
        rows = [[first.name, nested.first, None, None], [second.name, nested.second, None, None]]
        rows.append([gain, *map(signed, (nested.difference, *nested.interval))])
        print()
        print_table("Nested", ["", "MAP@5", "95 % from", "to"], rows, nested.measured)
    print()
    say(format_verdict(result, first.name, second.name))
    if nested is not None:
        say("Nested: " + format_verdict(nested, first.name, second.name))


def _print_groups(result: ComparisonResult) -> None:
    groups: list[tuple[str, GroupDifference | SpeciesDifference]] = [
        ("known individuals", result.known),
        ("strangers", result.new),
    ]
    groups += [(species.species, species) for species in sorted(result.species, key=lambda species: -species.share)]
    rows = [
        [name, group.share, group.first, group.second, *map(signed, (group.difference, *(group.interval or NO_ENDS)))]
        for name, group in groups
    ]
    header = ["photos of", "share", result.first.name, result.second.name, "gain", "95 % from", "to"]
    print_table("On whom they differ (share of the mix)", header, rows, spare=["share"])


def _print_photos(result: ComparisonResult) -> None:
    photos, names = result.photos, (result.first.name, result.second.name)
    rows = [
        [
            photo.image,
            f"{photo.truth} ({photo.individual} hidden)" if photo.plays_stranger else photo.truth,
            *(given.place for given in (photo.first, photo.second)),
            *(given.answers[0] if given.answers else None for given in (photo.first, photo.second)),
        ]
        for photo in photos.most
    ]
    header = ["photo", "truth", *(f"place in {name}" for name in names), *(f"{name} says" for name in names)]
    note = (
        f"of {photos.compared} answers {names[1]} is better on {photos.second_better}, {names[0]} on "
        f"{photos.first_better}; {photos.same} score the same"
    )
    print_table("Photos they differ most on", header, rows, note, spare=header[2:])


def format_verdict(result: ComparisonResult | NestedDifference, first: str, second: str) -> str:
    """Which is better, in words: only where the interval leaves no doubt."""
    low, high = result.interval
    which = f"{second} is better" if low > 0 else f"{first} is better" if high < 0 else "neither is clearly better"
    shares = f"{second} in {100 * result.second_better:.1f} %, {first} in {100 * result.first_better:.1f} %"
    return (
        f"{which}: {second} - {first} {result.difference:+.4f}, 95 % {low:+.4f} to {high:+.4f}; "
        f"of drawn catalogues {shares}"
    )
