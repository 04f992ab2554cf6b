"""decide, submit, export, check, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ensemble.cli.app import app
from ensemble.cli.options import AsJson, ProjectFolder, Use
from ensemble.cli.terminal import print_json, print_table, progress_bars, shown_value, warn


@app.command()
def decide(
    folder: ProjectFolder,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The CSV to write.")],
    precision: Annotated[
        float, typer.Option(metavar="P", help="Wanted share of right first answers where nobody looks, 0 < P < 1.")
    ] = 0.99,
    use: Use = "folds",
    json: AsJson = False,
) -> None:
    """Name every test photo with calibrated probabilities; say which can be trusted and which a person should see.

    Example: finblend decide P -o decisions.csv --precision 0.99
    """
    from ensemble.outputs.decide import decide as write

    with progress_bars() as progress:
        result = write(folder, output, precision=precision, use=use, progress=progress)
    warn(result.warnings)
    if json:
        print_json(result)
        return
    rows = [[name, band.share, band.expected_share, band.right] for name, band in result.bands.items()]
    print_table("Bands", ["band", "share of test", "share expected", "first answer right"], rows)
    calibration = result.calibration
    assumed, estimated = map(shown_value, (result.new_share.assumed, result.new_share.estimated))
    print(
        f"{output}: {result.rows} photos\n"
        f"expected calibration error: first name {calibration.same:.4f}, somebody new {calibration.new:.4f}\n"
        f"share of strangers: assumed {assumed}, the test photos' own scores suggest {estimated}\n"
        f"{result.measured}"
    )


@app.command()
def submit(
    folder: ProjectFolder,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The submission to write.")],
    use: Use = "folds",
    new_first: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Share of answers with new_individual in first place; default: what was tuned decides.",
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Name every test photo by the tuned blend and write the checked submission.

    Example: finblend submit P -o submission.csv
    """
    from ensemble.outputs.submit import submit as write

    with progress_bars() as progress:
        result = write(folder, output, use=use, new_first=new_first, progress=progress)
    warn(result.warnings)
    if new_first is not None:
        warn(["--new-first: the score that 'finblend tune' predicted does not hold for these answers"])
    if json:
        print_json(result)
    else:
        print(
            f"{output}: {result.rows} photos; new_individual comes first in {100 * result.new_first:.1f} %; "
            f"{result.recomputed} photos were compared with the whole gallery"
        )


@app.command()
def export(
    folder: ProjectFolder,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="The folder to make, for files.")
    ] = None,
    to: Annotated[
        str,
        typer.Option(metavar="npz|parquet|pgvector|qdrant", help="What vectors are written to: files, or a server."),
    ] = "npz",
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The server, without a password; default: what stands in FINBLEND_URL."),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(
            "--table", "--collection", metavar="NAME", help="Start of the names that tables or collections get."
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the tables or collections of an earlier export.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Write the blend as vectors: a dot product is the blended similarity.

    Example: finblend export P --to pgvector --url postgresql://localhost/whales --table fins
    """
    from ensemble.outputs.export import export as write
    from ensemble.outputs.export import refuse_password

    refuse_password(url)
    with progress_bars() as progress:
        result = write(folder, output, to=to, url=url, table=table, replace=replace, progress=progress)
    if json:
        print_json(result)
    else:
        print(
            f"{result.output}: {', '.join(result.files)}, {result.width} wide\n"
            f"what no dot product tells: {', '.join(result.left_out)}"
        )


@app.command()
def check(
    submission: Annotated[Path, typer.Argument(metavar="FILE", help="The submission.")],
    sample: Annotated[Path, typer.Option(metavar="FILE", help="The sample submission.")],
    json: AsJson = False,
) -> None:
    """Check a submission against every rule of the format; rows are counted from 1 below the header.

    Example: finblend check submission.csv --sample sample_submission.csv
    """
    from ensemble.outputs.check import check as look

    result = look(submission, sample=sample)
    if json:
        print_json(result)
    else:
        print(
            f"{submission}: {result.rows} rows, all rules kept; "
            f"new_individual comes first in {100 * result.new_first:.1f} %"
        )


@app.command()
def report(
    folder: ProjectFolder,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The HTML page to write.")],
    images: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR|ZIP|TFRECORDS", help="The photos, of which the page then shows some; may be given again."
        ),
    ] = None,
    precision: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of right first answers in the bands, as of decide.")
    ] = 0.99,
    detector: Annotated[
        Path | None, typer.Option(metavar="DETECTOR", help="The detector that cut the photos: what it reached.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Write one self-contained page about the project, at any stage: catalogue, models, blend, answers, provenance.

    Example: finblend report P -o report.html
    """
    from ensemble.report.write import write_report

    with progress_bars() as progress:
        written = write_report(folder, output, images=images, precision=precision, detector=detector, progress=progress)
    if json:
        print_json(written)
    else:
        print(f"{output}: {', '.join(written.sections)}; {written.bytes / 1e6:.1f} MB, opens in any browser")
