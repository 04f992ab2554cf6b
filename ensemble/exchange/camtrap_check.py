"""Have frictionless check a Camtrap DP's tables, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cv.errors import FinblendError
from cv.extras import load_extra
from ensemble.exchange.camtrap_schemas import TABLES, schema


def refuse_invalid(folder: Path, name: str) -> None:
    """Refuse tables that break a rule of the standard: types, required fields, ranges, enumerations, keys.

    The descriptor's URLs are not followed: tables are held against the schemas that are written here, and the
    descriptor itself not against the profile.

    Parameters
    ----------
    folder : Path
    name : str
        What to call it in the line that names the first error.
    """
    errors = problems(folder)
    if errors:
        raise FinblendError(f"{name}: is no valid Camtrap DP: {errors[0]}")


def problems(folder: Path) -> list[str]:
    """What is wrong, a line each."""
    frictionless = load_extra("frictionless", "exchange")
    resources: list[dict[str, Any]] = [
        {
            "name": table,
            "type": "table",
            "path": f"{table}.csv",
            "scheme": "file",
            "format": "csv",
            "mediatype": "text/csv",
            "encoding": "utf-8",
            "dialect": {"csv": {"skipInitialSpace": False}},
            "schema": schema(table),
        }
        for table in TABLES
    ]
    package = frictionless.Package.from_descriptor({"name": "check", "resources": resources}, basepath=str(folder))
    report = package.validate()
    return [f"{task.name}: {error.message}" for task in report.tasks for error in task.errors] + [
        error.message for error in report.errors
    ]
