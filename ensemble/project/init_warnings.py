"""What `init` found in the tables that its user ought to know, for the command line and the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cv.errors import shown

_COUNTS = {
    "straddling_encounters": "encounters have photos in several folds: scores by folds alone are too good",
    "individuals_of_several_species": "individuals have photos of several species; the most common one counts",
    "renamed_individuals": "individuals had spaces in their names; they are written with '_'",
    "unlabelled_images": "train rows have no known individual; they play no part",
    "left_out": "photos are in neither part of the split; they play no part",
    "in_named_folders": "test photos lie in folders that are called as their animal is; no command reads names there",
    "photos_without_encounter": "photos have no encounter; each stands alone",
}


def init_warnings(report: Mapping[str, Any]) -> list[str]:
    """Lines without a full stop.

    Parameters
    ----------
    report : mapping
        An `InitResult`, or what `project.json` has of one; an older one lacks some.
    """
    lines = [f"{report[count]:,} {text}" for count, text in _COUNTS.items() if report.get(count)]
    if report.get("of_train_alone"):
        lines.append(
            f"of the split's test photos these columns are left out, for they may tell names: "
            f"{shown(report['of_train_alone'], 12)}"
        )
    if report.get("unused_encounters"):
        lines.append(
            "the train table has a column 'encounter' that is not used: with --encounters encounter, photos of one "
            "sighting stay in one fold"
        )
    if report.get("unused_split"):
        lines.append(
            "the train table has a column 'split' that is not used: with --split split, its test photos are test"
        )
    return lines
