"""Write what a project knows in a form that others read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from cv.errors import FinblendError, shown
from cv.files import read_json
from ensemble.exchange.collect import Wanted, records_of, unnamed_by_band
from ensemble.exchange.contract import Stated
from ensemble.exchange.forms import FORMS
from ensemble.exchange.history_files import NAME as HISTORY
from ensemble.exchange.history_files import refuse_history, write_history
from ensemble.exchange.occasions import history_of, needed_column
from ensemble.project.folder import Project
from ensemble.project.outputs import refuse_new_folder, refuse_output
from ensemble.project.result import Result


@dataclass(frozen=True, kw_only=True)
class ExportToResult(Result):
    """What was written.

    Attributes
    ----------
    output, form : str
    files : list of str
    photos, individuals : int
        Rows, and different names among them.
    by_catalogue, by_decisions : int
        Photos by where their name comes from.
    unnamed : mapping of str to int
        Photos without a name by band; `-` where no decision speaks of them.
    occasions : int or None
        Of a capture history.
    notes : list of str
    """

    output: str
    form: str
    files: list[str]
    photos: int
    individuals: int
    by_catalogue: int
    by_decisions: int
    unnamed: Mapping[str, int]
    occasions: int | None
    notes: list[str]


def export_to(
    folder: str | Path,
    form: str,
    output: str | Path,
    *,
    occasions: str | None = None,
    submitter: str | None = None,
    location_id: str | None = None,
    metadata: str | Path | Mapping[str, Any] | None = None,
    **wanted: Any,
) -> ExportToResult:
    """Write photos and who is on them for another platform or program.

    Parameters
    ----------
    folder : str or Path
        The project.
    form : {"wildbook", "camtrap-dp", "coco", "capture-history"}
    output : str or Path
        The file or folder to make.
    occasions : str, optional
        Of a capture history, which needs it: see `history_of`.
    submitter, location_id : str, optional
        For Wildbook.
    metadata : path or mapping, optional
        For a Camtrap DP.
    **wanted
        Fields of `Wanted`: which photos, whose names, and where what the catalogue lacks comes from.

    Raises
    ------
    FinblendError
        If something that the form requires is not known; nothing is written then.
    """
    if form not in {*FORMS, HISTORY}:
        swapped = "; the project comes first, then the form" if str(folder) in {*FORMS, HISTORY} else ""
        raise FinblendError(f"{form}: no form of exchange; one of {', '.join([*FORMS, HISTORY])}{swapped}")
    project, output = Project.open(folder), Path(output)
    chosen = Wanted(**wanted)
    _refuse_place(form, output)
    if form == HISTORY:
        return _history(project, output, occasions, chosen)
    if occasions is not None:
        raise FinblendError(f"--occasions {occasions}: is for {HISTORY}, not for {form}")
    records = records_of(project, chosen)
    stated = Stated(submitter=submitter, location_id=location_id, metadata=_metadata(metadata))
    notes = FORMS[form].write(records, output, stated)
    return _result(records, form, output, [str(output)], notes)


def _refuse_place(form: str, output: Path) -> None:
    (refuse_history if form == HISTORY else FORMS[form].refuse_place)(output)
    (refuse_output if output.suffix else refuse_new_folder)(output)


def _history(project: Project, output: Path, occasions: str | None, wanted: Wanted) -> ExportToResult:
    if occasions is None:
        raise FinblendError(f"{HISTORY} needs --occasions year|season|month|day|encounter|COLUMN")
    records = records_of(project, wanted, boxes=False, extra=needed_column(occasions))
    captures = history_of(records, occasions)
    species = records["species"].drop_nulls().unique().sort().to_list()
    notes = [f"left out: {captures.without_name} photos without a name"] if captures.without_name else []
    if captures.without_occasion:
        notes.append(f"left out: {captures.without_occasion} named photos without an occasion")
    if output.suffix.lower() == ".txt" and captures.detectors is None:
        notes.append("photos without a place: all have detector 1, for models without space")
    if len(species) > 1:
        notes.append(f"{len(species)} species in one history ({shown(species, 3)}); --species NAME takes one")
    counted = len(captures.history.occasions)
    files = write_history(captures, output)
    return _result(records, HISTORY, output, files, notes, counted, len(captures.history.individuals))


def _metadata(metadata: str | Path | Mapping[str, Any] | None) -> dict[str, Any]:
    if metadata is None:
        return {}
    value = dict(metadata) if isinstance(metadata, Mapping) else read_json(Path(metadata))
    name = "metadata" if isinstance(metadata, Mapping) else str(metadata)
    if not isinstance(value, dict):
        raise FinblendError(f"{name}: must hold a JSON object")
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        raise FinblendError(f"{name}: holds a value that JSON has no word for, such as NaN") from None
    for key, kind, called in (("project", dict, "object"), ("contributors", list, "list")):
        if not isinstance(value.get(key, kind()), kind):
            raise FinblendError(f"{name}: {key} must be a JSON {called}")
    return value


def _result(
    records: pl.DataFrame,
    form: str,
    output: Path,
    files: list[str],
    notes: list[str],
    occasions: int | None = None,
    individuals: int | None = None,
) -> ExportToResult:
    named = records.filter(pl.col("individual_id").is_not_null())
    by_decisions = named.filter(pl.col("band").is_not_null()).height
    return ExportToResult(
        output=str(output),
        form=form,
        files=files,
        photos=records.height,
        individuals=named["individual_id"].n_unique() if individuals is None else individuals,
        by_catalogue=named.height - by_decisions,
        by_decisions=by_decisions,
        unnamed=unnamed_by_band(records),
        occasions=occasions,
        notes=notes,
    )
