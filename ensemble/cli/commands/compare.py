"""compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ensemble.cli.app import app
from ensemble.cli.options import AsJson, ProjectFolder
from ensemble.cli.summaries import signed
from ensemble.cli.terminal import print_json, print_table, progress_bars, say, warn


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
        Path | None, typer.Option(metavar="DIR", help="The folder of the photos, to show some on the page.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Compare two blends photo by photo: whether P2 is better than P, on whom, and on which photos they differ.

    With --blend: whether P's own blend is better than the one in FILE.

    Example: finblend compare P P2 -o compare.html --images photos
    """
    from ensemble.comparison.compare import compare as run

    with progress_bars() as progress:
        report = run(
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
    warn(report["warnings"])
    if json:
        print_json(report)
        return
    _print_photos(report)
    _print_species(report)
    _print_overall(report)
    if output is not None:
        say(f"{output} written")


def _print_overall(report: dict[str, Any]) -> None:
    one, two = report["first"], report["second"]
    rows = [[who["name"], who["map5"], *who["interval"], who["known"], who["new"]] for who in (one, two)]
    rows.append(
        [
            f"{two['name']} - {one['name']}",
            *map(signed, (report["difference"], *report["interval"])),
            signed(report["known"]["difference"]),
            signed(report["new"]["difference"]),
        ]
    )
    print_table("MAP@5 out-of-fold", ["", "MAP@5", "95 % from", "to", "known", "new"], rows, report["measured"])
    if one["measured"] == two["measured"]:
        say(f"both: {one['measured']}")
    else:
        for who in (one, two):
            say(f"{who['name']}: {who['measured']}")
    nested = report["nested"]
    if nested:
        rows = [[one["name"], nested["first"], None, None], [two["name"], nested["second"], None, None]]
        gained = map(signed, (nested["difference"], *nested["interval"]))
        rows.append([f"{two['name']} - {one['name']}", *gained])
        print()
        print_table("Nested", ["", "MAP@5", "95 % from", "to"], rows, nested["measured"])
    print()
    say(told_verdict(report, one["name"], two["name"]))
    if nested:
        say("Nested: " + told_verdict(nested, one["name"], two["name"]))


def _print_species(report: dict[str, Any]) -> None:
    parts = [("known individuals", report["known"]), ("strangers", report["new"])]
    parts += [(row["species"], row) for row in sorted(report["species"], key=lambda row: -row["share"])]
    rows = [
        [
            who,
            part["share"],
            part["first"],
            part["second"],
            *map(signed, (part["difference"], *(part["interval"] or (None, None)))),
        ]
        for who, part in parts
    ]
    names = [report[who]["name"] for who in ("first", "second")]
    header = ["photos of", "share", *names, "gain", "95 % from", "to"]
    print_table("On whom they differ (share of the mix)", header, rows, spare=["share"])


def _print_photos(report: dict[str, Any]) -> None:
    found = report["photos"]
    names = [report[who]["name"] for who in ("first", "second")]
    rows = [
        [
            photo["image"],
            f"{photo['truth']} ({photo['individual']} hidden)" if photo["plays_stranger"] else photo["truth"],
            *(photo[who]["place"] for who in ("first", "second")),
            *(photo[who]["answers"][0] if photo[who]["answers"] else None for who in ("first", "second")),
        ]
        for photo in found["most"]
    ]
    header = ["photo", "truth", *(f"place in {name}" for name in names), *(f"{name} says" for name in names)]
    note = (
        f"of {found['compared']} answers {names[1]} is better on {found['second_better']}, {names[0]} on "
        f"{found['first_better']}; {found['same']} score the same"
    )
    print_table("Photos they differ most on", header, rows, note, spare=header[2:])


def told_verdict(report: dict[str, Any], first: str, second: str) -> str:
    """Which is better, in words: only where the interval leaves no doubt."""
    low, high = report["interval"]
    which = f"{second} is better" if low > 0 else f"{first} is better" if high < 0 else "neither is clearly better"
    shares = f"{second} in {100 * report['second_better']:.1f} %, {first} in {100 * report['first_better']:.1f} %"
    return (
        f"{which}: {second} - {first} {report['difference']:+.4f}, 95 % {low:+.4f} to {high:+.4f}; "
        f"of drawn catalogues {shares}"
    )
