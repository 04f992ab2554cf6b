"""Capture histories as files: MARK's `.inp`, `secr`'s captures, and a plain matrix."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cv.errors import FinblendError
from cv.files import refuse_no_file, written_beside
from ensemble.exchange.occasions import Captures, History

NAME = "capture-history"
SUFFIXES = {".inp": "MARK", ".txt": "secr", ".csv": "a matrix"}
_RECORD = re.compile(r"(?:/\*(?P<name>.*?)\*/)?\s*(?P<seen>[01]+)\s+1\s*;")
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
        if captures.detectors is not None:
            detectors = place.with_name(f"{place.stem}-detectors{place.suffix}")
            _write_lines(detectors, ["# Detector X Y", *_table(captures.detectors.rows())])
            files.append(detectors)
        _write_lines(place, _secr(captures))
    elif suffix == ".inp":
        _write_lines(place, _mark(captures.history))
    else:
        _write_matrix(captures.history, place)
    return [str(file) for file in files]


def read_history(place: Path) -> History:
    """Read what `write_history` wrote, in any of its forms."""
    refuse_history(place)
    refuse_no_file(place)
    text = place.read_text(encoding="utf-8")
    if place.suffix.lower() == ".csv":
        header, *rows = csv.reader(text.splitlines())
        return History(
            [row[0] for row in rows], header[1:], np.array([row[1:] for row in rows]).astype(int).astype(bool)
        )
    if place.suffix.lower() == ".inp":
        labels = re.search(rf"/\* {_OCCASIONS} (.*?) \*/", text)
        found = list(_RECORD.finditer(text[labels.end() :] if labels else text))
        seen = np.array([[digit == "1" for digit in each["seen"]] for each in found])
        occasions = labels[1].split(" | ") if labels else [str(n + 1) for n in range(seen.shape[1])]
        return History([each["name"].strip() for each in found], occasions, seen)
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    labels = re.search(rf"^# {_OCCASIONS} (.*)$", text, re.M)
    individuals = sorted({line[1] for line in lines})
    occasions = labels[1].split(" | ") if labels else [str(n + 1) for n in range(max(int(line[2]) for line in lines))]
    seen = np.zeros((len(individuals), len(occasions)), dtype=bool)
    for _, name, occasion, _ in lines:
        seen[individuals.index(name), int(occasion) - 1] = True
    return History(individuals, occasions, seen)


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
