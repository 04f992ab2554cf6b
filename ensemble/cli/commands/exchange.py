"""export-to, import-from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ensemble.cli.app import app
from ensemble.cli.options import AsJson, ProjectFolder
from ensemble.cli.terminal import counted, print_json


@app.command("export-to")
def export_to(
    folder: ProjectFolder,
    form: Annotated[str, typer.Argument(metavar="wildbook|camtrap-dp|coco|capture-history", help="Who is to read it.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="PLACE",
            help="wildbook: *.xlsx, or a folder of sheets of 200 rows; camtrap-dp: a folder; coco: *.json; "
            "capture-history: *.inp (MARK), *.txt (secr) or *.csv.",
        ),
    ],
    decisions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Names of test photos, as 'finblend decide' wrote them.")
    ] = None,
    names: Annotated[
        str, typer.Option(metavar="auto|all", help="Decisions of which band are taken as names.")
    ] = "auto",
    min_probability: Annotated[
        float, typer.Option(metavar="P", help="Decisions with a lower probability are no names.")
    ] = 0.0,
    split: Annotated[
        str | None,
        typer.Option(metavar="train|test|all", help="Which photos; default: train, and with --decisions all."),
    ] = None,
    species: Annotated[str | None, typer.Option(metavar="NAME", help="Photos of this species alone.")] = None,
    details: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A table of photos with date, latitude, longitude, location, encounter, width, height or others.",
        ),
    ] = None,
    boxes: Annotated[
        str | None,
        typer.Option(
            metavar="FILE[:COLUMN]|COLUMN",
            help="As of embed, '' for none; default: the catalogue's column bbox or box.",
        ),
    ] = None,
    images: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Folder of the photos, for their sizes; may be given again."),
    ] = None,
    taxa: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Table species,genus,specificEpithet; Happywhale's species are known."),
    ] = None,
    date: Annotated[str | None, typer.Option(metavar="DATE", help="Of photos without one: 2021, 2021-05, ...")] = None,
    location: Annotated[
        str | None, typer.Option(metavar="TEXT|LAT,LON", help="Where photos without a place were taken.")
    ] = None,
    occasions: Annotated[
        str | None,
        typer.Option(metavar="year|season|month|day|encounter|COLUMN", help="Of a capture history, which needs it."),
    ] = None,
    submitter: Annotated[str | None, typer.Option(metavar="NAME", help="Your user name in the Wildbook.")] = None,
    location_id: Annotated[str | None, typer.Option(metavar="ID", help="One of the Wildbook's location IDs.")] = None,
    metadata: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON that is laid over a Camtrap DP's descriptor.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Write photos and who is on them for another platform or program.

    Example: finblend export-to P wildbook -o upload.xlsx --decisions decisions.csv
    """
    from ensemble.exchange.export_to import export_to as write

    result = write(
        folder,
        form,
        output,
        decisions=decisions,
        names=names,
        min_probability=min_probability,
        split=split,
        species=species,
        details=details,
        boxes=boxes,
        images=images or [],
        taxa=taxa,
        date=date,
        location=location,
        occasions=occasions,
        submitter=submitter,
        location_id=location_id,
        metadata=metadata,
    )
    if json:
        print_json(result)
        return
    parts = [counted(result.photos, "photo"), counted(result.individuals, "individual")]
    parts += [] if result.occasions is None else [counted(result.occasions, "occasion")]
    print(f"{', '.join(result.files)}: {', '.join(parts)}")
    print(f"named: {result.by_catalogue} by the catalogue, {result.by_decisions} by decisions")
    if result.unnamed:
        bands = ", ".join(f"{number} {'undecided' if band == '-' else band}" for band, number in result.unnamed.items())
        print(f"without a name: {bands}")
    for note in result.notes:
        print(note)


@app.command("import-from")
def import_from(
    form: Annotated[str, typer.Argument(metavar="wildbook|camtrap-dp|coco", help="Who wrote it.")],
    place: Annotated[Path, typer.Argument(metavar="PLACE", help="The file or folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The CSV to write, for init --train.")],
    test: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="CSV of photos to name, for init --test; default: in the same table."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Read another platform's photos and names into tables that init reads.

    Example: finblend import-from camtrap-dp package -o back.csv
    """
    from ensemble.exchange.import_from import import_from as read

    result = read(form, place, output, test=test)
    if json:
        print_json(result)
        return
    named = f" ({result.machine_named} named by a blend: column name)" if result.machine_named else ""
    print(
        f"{output}: {counted(result.labelled, 'photo')} of {counted(result.individuals, 'individual')}; "
        f"to name: {result.to_name}{named}{'' if test is None else f' in {test}'}"
    )
    print(f"columns: {', '.join(result.columns)}")
    for note in result.notes:
        print(note)
