"""Excel sheets whose cells hold what they were given: text that begins with `=` is text, no formula."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from cv.errors import FinblendError
from cv.files import refuse_no_file

INSTALL = "pip install 'finblend[exchange]'"
# what Excel reads as an escaped character, and such a text escaped; openpyxl leaves both as they are
_ESCAPE, _ESCAPED = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)"), re.compile(r"_x005F_(?=x[0-9A-Fa-f]{4}_)")


def _openpyxl() -> Any:
    try:
        import openpyxl
        from openpyxl.cell import WriteOnlyCell  # noqa: F401
    except ModuleNotFoundError as error:
        raise FinblendError(f"{error.name} is needed for .xlsx files and is not installed; {INSTALL}") from None
    return openpyxl


def write_sheets(path: Path, sheets: dict[str, tuple[Sequence[str], Iterable[Sequence[object]]]]) -> None:
    """Write sheets, each from its header and its rows; None is an empty cell.

    Parameters
    ----------
    path : Path
        Written as it is, not beside.
    sheets : dict of name to (header, rows)
    """
    openpyxl = _openpyxl()
    book = openpyxl.Workbook(write_only=True)
    for name, (header, rows) in sheets.items():
        sheet = book.create_sheet(name)
        for row in (header, *rows):
            sheet.append([_cell(openpyxl, sheet, value) for value in row])
    book.save(path)


def _cell(openpyxl: Any, sheet: Any, value: object) -> object:
    if not isinstance(value, str):
        return value
    text = _ESCAPE.sub("_x005F_", value)
    if text[:1] not in {"=", "#"}:
        return text
    # these would become formulas and error values
    cell = openpyxl.cell.WriteOnlyCell(sheet, value=text)
    cell.data_type = "s"
    return cell


def read_sheets(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Rows of each sheet, by the texts of its first row; empty cells are left out, as are rows of them.

    Of formulas the value that Excel last computed is read.
    """
    openpyxl = _openpyxl()
    refuse_no_file(path, "an .xlsx file")
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        found = {sheet.title: list(_rows(sheet.iter_rows(values_only=True))) for sheet in book.worksheets}
        book.close()
    except Exception as error:
        # whatever openpyxl's parsers meet in a damaged file
        raise FinblendError(f"{path}: cannot be read as .xlsx ({error})") from None
    return found


def _rows(rows: Iterator[Sequence[Any]]) -> Iterator[dict[str, Any]]:
    header = [None if name is None else str(name).strip() for name in next(rows, ())]
    for row in rows:
        told = {name: _read(value) for name, value in zip(header, row, strict=False) if name and value is not None}
        if told:
            yield told


def _read(value: Any) -> Any:
    return _ESCAPED.sub("_", value) if isinstance(value, str) else value
