"""Read capture histories as the programs that they are written for do, to see that nothing is lost."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np

from ensemble.exchange.occasions import History

RECORD = re.compile(r"/\*(?P<name>.*?)\*/\s*(?P<seen>[01]+)\s+1\s*;")


def read_history(place: Path) -> History:
    """A history from MARK's, secr's or the plain form, with labels of occasions among the comments."""
    text = place.read_text(encoding="utf-8")
    if place.suffix.lower() == ".csv":
        header, *rows = csv.reader(text.splitlines())
        return History(
            [row[0] for row in rows], header[1:], np.array([row[1:] for row in rows]).astype(int).astype(bool)
        )
    labels = re.search(r"^(?:# |/\* )occasions: (.*?)(?: \*/)?$", text, re.M)
    assert labels is not None
    occasions = labels[1].split(" | ")
    if place.suffix.lower() == ".inp":
        found = list(RECORD.finditer(text, labels.end()))
        seen = np.array([[digit == "1" for digit in each["seen"]] for each in found])
        return History([each["name"].strip() for each in found], occasions, seen)
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    individuals = sorted({line[1] for line in lines})
    seen = np.zeros((len(individuals), len(occasions)), dtype=bool)
    for _, name, occasion, _ in lines:
        seen[individuals.index(name), int(occasion) - 1] = True
    return History(individuals, occasions, seen)
