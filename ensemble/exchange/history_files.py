"""Capture histories as files: MARK's `.inp`, `secr`'s captures, and a plain matrix."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from cv.errors import FinblendError
from cv.files import written_beside
from ensemble.exchange.occasions import Captures, History

NAME = "capture-history"
SUFFIXES = {".inp": "MARK", ".txt": "secr", ".csv": "a matrix"}
_OCCASIONS = "occasions:"


def refuse_history(place: Path) -> None:
    """Refuse a file whose suffix names no program."""
    if place.suffix.lower() not in SUFFIXES:
        known = ", ".join(f"*{suffix} ({program})" for suffix, program in SUFFIXES.items())
        raise FinblendError(f"{place}: {NAME} is written to one of {known}")


def write_history(captures: Captures, place: Path) -> list[str]:
    """Write a history, in the form that the suffix names; return the files, of `secr` two where places are known."""
    refuse_history(place)
    suffix, files = place.suffix.lower(), [place]
    if suffix == ".txt":
        # refused before anything is written
        lines = _secr(captures)
        if captures.detectors is not None:
            detectors = place.with_name(f"{place.stem}-detectors{place.suffix}")
            _write_lines(detectors, ["# Detector X Y", *_table(captures.detectors.rows())])
            files.append(detectors)
        _write_lines(place, lines)
    elif suffix == ".inp":
        _write_lines(place, _mark(captures.history))
    else:
        _write_matrix(captures.history, place)
    return [str(file) for file in files]


def _mark(history: History) -> list[str]:
    """One animal a line: its name as a comment, its history, and that it is one animal."""
    _refuse_names(
        [*history.individuals, *history.occasions], r"\*/|/\*|;", "MARK ends a comment at */ and a record at ;"
    )
    digits = ("".join("01"[cell] for cell in row) for row in history.seen.tolist())
    records = [f"/* {name} */ {row} 1;" for name, row in zip(history.individuals, digits, strict=True)]
    return [f"/* {_OCCASIONS} {' | '.join(history.occasions)} */", *records]


def _secr(captures: Captures) -> list[str]:
    """Session, animal, occasion and detector of each detection."""
    history = captures.history
    _refuse_names(
        history.individuals, r"[\s,#\"']", "secr parts fields by blanks and commas, and reads no quotes and #"
    )
    rows = [
        (1, history.individuals[individual], occasion + 1, detector)
        for individual, occasion, detector in captures.detections.iter_rows()
    ]
    return [f"# {_OCCASIONS} {' | '.join(history.occasions)}", "# Session ID Occasion Detector", *_table(rows)]


def _table(rows: Sequence[Sequence[object]]) -> list[str]:
    return [" ".join(map(str, row)) for row in rows]


def _refuse_names(names: list[str], pattern: str, rule: str) -> None:
    wrong = next((name for name in names if re.search(pattern, name)), None)
    if wrong is not None:
        raise FinblendError(f"{NAME}: '{wrong}': {rule}; write *.csv, or rename it")


def _write_lines(place: Path, lines: list[str]) -> None:
    with written_beside(place) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_matrix(history: History, place: Path) -> None:
    with written_beside(place) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["individual", *history.occasions])
        for name, row in zip(history.individuals, history.seen.astype(int).tolist(), strict=True):
            writer.writerow([name, *row])
