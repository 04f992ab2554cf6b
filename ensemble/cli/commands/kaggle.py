"""kaggle download, kaggle submit, kaggle scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ensemble.cli.app import app
from ensemble.cli.options import AsJson, ProjectFolder, Use
from ensemble.cli.terminal import print_json, print_table, progress_bars, shown_value

if TYPE_CHECKING:
    from ensemble.competition.transfer import DownloadedFile
    from ensemble.project.submissions import Submission

group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Kaggle in and out: download, submit, scores.")
app.add_typer(group, name="kaggle")

Competition = Annotated[
    str,
    typer.Argument(metavar="COMPETITION", help="The last part of its page's address, such as happy-whale-and-dolphin."),
]


@group.command()
def download(
    competition: Competition,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where its files go; made if it is not there.")],
    file: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="This file alone, such as train.csv; may be given again. Default: all, in a zip."
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Fetch a competition's files; killed at any moment, the same command goes on.

    Example: finblend kaggle download happy-whale-and-dolphin data
    """
    from ensemble.competition.download import download as fetch

    with progress_bars() as progress:
        result = fetch(competition, folder, files=file or [], progress=progress)
    if json:
        print_json(result)
        return
    for each in result.files:
        print(f"{each.file}: {each.bytes:,} bytes, {_how(each)}")
    if not file:
        print(f"next: finblend init P --kaggle {folder}")


def _how(file: DownloadedFile) -> str:
    if file.was_there:
        return "there already"
    return f"fetched, the first {file.resumed_at:,} by an earlier call" if file.resumed_at else "fetched"


@group.command()
def submit(
    target: Annotated[Path, typer.Argument(metavar="P|FILE", help="A project, or a submission.")],
    competition: Competition,
    message: Annotated[str, typer.Option("--message", "-m", metavar="TEXT", help="Shown beside the submission.")],
    sample: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The sample submission that a FILE is checked against.")
    ] = None,
    use: Use = "folds",
    wait: Annotated[float, typer.Option(metavar="SECONDS", help="How long to wait for the public score.")] = 300.0,
    again: Annotated[bool, typer.Option("--again", help="Send the same answers once more; it is counted.")] = False,
    json: AsJson = False,
) -> None:
    """Check a submission, send it, and put the board's score beside the prediction.

    Of a project, its blend writes the answers anew, to submission.csv in its folder. Answers that were sent before are
    not sent again: their score is asked for.

    Example: finblend kaggle submit P happy-whale-and-dolphin -m "four networks"
    """
    from ensemble.competition.submit import submit as send

    with progress_bars() as progress:
        result = send(
            target, competition, message=message, sample=sample, use=use, wait=wait, again=again, progress=progress
        )
    if json:
        print_json(result)
        return
    entry = result.submission
    print(
        f"{entry.file}: {result.rows} photos, all rules kept; "
        f"new_individual comes first in {100 * result.new_first:.1f} %"
    )
    if result.sent:
        left = "" if result.left is None else f"; {result.left} more may be sent now"
        print(f"sent to {entry.competition} as submission {entry.ref}{left}")
    else:
        print(
            f"these answers were sent to {entry.competition} before, as submission {entry.ref}: --again sends them anew"
        )
    print(_said(entry))
    if entry.status == "pending" and target.is_dir():
        print(f"later: finblend kaggle scores {target}")


@group.command()
def scores(folder: ProjectFolder, json: AsJson = False) -> None:
    """Ask for the board's scores of everything that was sent from a project.

    Example: finblend kaggle scores P
    """
    from ensemble.competition.board import scores as ask

    result = ask(folder)
    if json:
        print_json(result)
        return
    if not result.submissions:
        print(f"nothing was sent yet: finblend kaggle submit {folder} COMPETITION -m TEXT")
        return
    rows = [
        [
            each.ref,
            each.at[:10],
            each.predicted,
            _interval(each.interval),
            each.public,
            each.private,
            each.status,
            each.message,
        ]
        for each in result.submissions
    ]
    header = ["submission", "sent", "predicted", "95 % of such tests", "public", "private", "status", "message"]
    print_table(f"Sent from {folder}", header, rows, spare=["95 % of such tests", "private", "status"])


def _said(entry: Submission) -> str:
    """What was predicted, and what the board says."""
    predicted = f"predicted {shown_value(entry.predicted)} in {_interval(entry.interval)}; "
    if entry.predicted is None:
        predicted = ""
    if entry.status == "error":
        return f"{predicted}the board could not score it{': ' if entry.problem else ''}{entry.problem}"
    if entry.public is None:
        return f"{predicted}the board has no score yet"
    private = "" if entry.private is None else f", {entry.private:.4f} in private"
    return f"{predicted}the board says {entry.public:.4f}{private}"


def _interval(interval: list[float] | None) -> str:
    return "-" if interval is None else f"[{interval[0]:.3f}, {interval[1]:.3f}]"
