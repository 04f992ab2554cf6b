"""The rules of a submission file."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cv.catalogue import IMAGE_COLUMNS, NEW_INDIVIDUAL
from cv.errors import FinblendError, shown
from cv.metrics import MAX_NAMES
from cv.tables import pick_column, read_table, text_column
from ensemble.project.result import Result

HEADER = ["image", "predictions"]


@dataclass(frozen=True)
class CheckResult(Result):
    """A submission that keeps every rule.

    Attributes
    ----------
    rows : int
    new_first : float
        Share of rows with `new_individual` in first place.
    """

    rows: int
    new_first: float


def check(submission: str | Path, *, sample: str | Path) -> CheckResult:
    """Check a submission against every rule of the format.

    Parameters
    ----------
    submission : str or Path
    sample : str or Path
        The sample submission, or any table with the test images in order.

    Raises
    ------
    FinblendError
        Names the first row (counted from 1 below the header) that breaks a rule, the value and the rule.
    """
    table, name = read_table(sample)
    images = text_column(table, pick_column(table, IMAGE_COLUMNS, name), name).to_list()
    return check_rows(Path(submission), images, str(submission))


def check_rows(path: Path, images: Sequence[str], name: str) -> CheckResult:
    """Check the file at `path`, called `name` in error lines, against the images it must name."""
    expected = set(images)
    seen: set[str] = set()
    new_first, row = 0, 0
    try:
        with path.open("rb") as file:
            # decoded line by line, so that a byte that is no UTF-8 is found in its row
            reader = csv.reader((line.decode("utf-8") for line in file), strict=True)
            if next(reader, None) != HEADER:
                raise FinblendError(f"{name}: the first line must be image,predictions")
            for fields, image in itertools.zip_longest(reader, images):
                if fields is None:
                    missing = [i for i in images if i not in seen]
                    raise FinblendError(f"{name}: ends after row {row}; {shown(missing)} are missing")
                row += 1
                _check_row(f"{name}: row {row}", fields, image, expected, seen)
                seen.add(fields[0])
                new_first += fields[1].split(" ")[0] == NEW_INDIVIDUAL
    except OSError as error:
        raise FinblendError(f"{name}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise FinblendError(f"{name}: row {row + 1}: is not CSV in UTF-8 ({error})") from None
    return CheckResult(len(images), new_first / max(len(images), 1))


def _check_row(where: str, fields: list[str], image: str | None, expected: set[str], seen: set[str]) -> None:
    if len(fields) != 2:
        raise FinblendError(f"{where}: has {len(fields)} fields; a row is image,predictions")
    if fields[0] in seen:
        raise FinblendError(f"{where}: image {fields[0]} stands twice; every test image stands once")
    if fields[0] not in expected:
        raise FinblendError(f"{where}: image '{fields[0]}' is not in the sample")
    if fields[0] != image:
        raise FinblendError(f"{where}: image {fields[0]} stands where the sample has {image}; rows keep its order")
    text = fields[1]
    names = text.split(" ")
    if not text.strip():
        raise FinblendError(f"{where}: has no predictions; there must be 1 to {MAX_NAMES} names")
    if "" in names or any(name != name.strip() or len(name.split()) > 1 for name in names):
        raise FinblendError(f"{where}: '{text}': names are separated by single spaces, with none before or after")
    if len(names) > MAX_NAMES:
        raise FinblendError(f"{where}: has {len(names)} names; at most {MAX_NAMES} are allowed")
    repeated = [name for n, name in enumerate(names) if name in names[:n]]
    if repeated:
        raise FinblendError(f"{where}: {repeated[0]} stands twice; a name stands once in a row")
