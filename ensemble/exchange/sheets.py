"""Excel sheets whose cells hold what they were given: text that begins with `=` is text, no formula."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cv.errors import FinblendError
from cv.extras import load_extra
from cv.files import refuse_no_file

# what Excel reads as an escaped character, and such a text escaped; openpyxl leaves both as they are
_ESCAPE, _ESCAPED = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)"), re.compile(r"_x005F_(?=x[0-9A-Fa-f]{4}_)")


def _openpyxl() -> Any:
    load_extra("openpyxl.cell", "exchange")
    return load_extra("openpyxl", "exchange")


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


def read_sheets(path: Path, *others: str) -> list[dict[int, dict[str, Any]]]:
    """Rows of the first sheet and of others, by their numbers; each by the texts of the sheet's first row.

    Empty cells are left out, as are rows of them. Of formulas the value that Excel last computed is read.

    Raises
    ------
    FinblendError
        If cells are merged, hold the error of a formula, or two columns have one name: something would be lost.
    """
    openpyxl = _openpyxl()
    refuse_no_file(path, "an .xlsx file")
    try:
        book = openpyxl.load_workbook(path, data_only=True)
        sheets = [book.worksheets[0], *(book[name] if name in book.sheetnames else None for name in others)]
    except Exception as error:
        # whatever openpyxl's parsers meet in a damaged file
        raise FinblendError(f"{path}: cannot be read as .xlsx ({error})") from None
    return [{} if sheet is None else _rows(sheet, f"{path}: sheet {sheet.title}") for sheet in sheets]


def _rows(sheet: Any, where: str) -> dict[int, dict[str, Any]]:
    merged = min(map(str, sheet.merged_cells.ranges), default=None)
    if merged is not None:
        raise FinblendError(f"{where}: cells {merged} are merged; each row needs its own value")
    rows = sheet.iter_rows()
    header = ["" if cell.value is None else str(cell.value).strip() for cell in next(rows, ())]
    lowered = [name.lower() for name in header if name]
    for name in lowered:
        if lowered.count(name) > 1:
            raise FinblendError(f"{where}: column {name} stands twice")
    found: dict[int, dict[str, Any]] = {}
    for number, row in enumerate(rows, start=2):
        told = [(name, cell) for name, cell in zip(header, row, strict=False) if name and cell.value is not None]
        for _, cell in told:
            if cell.data_type == "e":
                raise FinblendError(f"{where}: cell {cell.coordinate} '{cell.value}': is the error of a formula")
        if told:
            found[number] = {name: _read(cell.value) for name, cell in told}
    return found


def _read(value: Any) -> Any:
    return _ESCAPED.sub("_", value) if isinstance(value, str) else value
