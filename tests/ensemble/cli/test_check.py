"""`check`: every rule of the format broken in turn, and the row that breaks it named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cv import FinblendError
from ensemble import check
from ensemble.cli import main

IMAGES = [f"te{i}.jpg" for i in range(4)]
GOOD = [b"image,predictions", *(f"{image},id00 new_individual id01 id02 id03".encode() for image in IMAGES)]


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    path = tmp_path / "sample_submission.csv"
    path.write_text("image,predictions\n" + "".join(f"{image},new_individual\n" for image in IMAGES))
    return path


def written(folder: Path, lines: list[bytes], end: bytes = b"\n") -> Path:
    path = folder / "submission.csv"
    path.write_bytes(end.join(lines) + end)
    return path


def with_line(row: int, line: bytes) -> list[bytes]:
    """The good file with another line in this row, counted from 1 below the header."""
    return [*GOOD[:row], line, *GOOD[row + 1 :]]


@pytest.mark.parametrize(
    "lines",
    [
        GOOD,
        with_line(2, b"te1.jpg,new_individual"),
        with_line(4, b'"te3.jpg","id00 id01"'),
        with_line(1, "te0.jpg,wäl id01".encode()),
    ],
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_right_file_passes(tmp_path: Path, sample: Path, lines: list[bytes], end: bytes) -> None:
    report = check(written(tmp_path, lines, end), sample=sample)
    assert report["rows"] == 4
    assert report["new_first"] == sum(b",new_individual" in line for line in lines) / 4


BROKEN: dict[str, tuple[list[bytes], str, str]] = {
    "header": ([b"image,prediction", *GOOD[1:]], "first line", "image,predictions"),
    "no header": (GOOD[1:], "first line", "image,predictions"),
    "header with spaces": ([b"image, predictions", *GOOD[1:]], "first line", "image,predictions"),
    "empty file": ([], "first line", "image,predictions"),
    "missing image at the end": (GOOD[:4], "row 3", "te3.jpg"),
    "missing image": (GOOD[:2] + GOOD[3:], "row 2", "te1.jpg"),
    "extra image": ([*GOOD, b"te9.jpg,id00"], "row 5", "te9.jpg"),
    "unknown image": (with_line(2, b"te9.jpg,id00"), "row 2", "te9.jpg"),
    "repeated image": (with_line(3, GOOD[1]), "row 3", "te0.jpg"),
    "repeated image at the end": ([*GOOD, GOOD[2]], "row 5", "te1.jpg"),
    "wrong order": ([GOOD[0], GOOD[1], GOOD[3], GOOD[2], GOOD[4]], "row 2", "te2.jpg"),
    "double space": (with_line(2, b"te1.jpg,id00  id01"), "row 2", "single spaces"),
    "leading space": (with_line(2, b"te1.jpg, id00 id01"), "row 2", "single spaces"),
    "trailing space": (with_line(2, b"te1.jpg,id00 id01 "), "row 2", "single spaces"),
    "tab": (with_line(2, b"te1.jpg,id00\tid01"), "row 2", "single spaces"),
    "line break in quotes": (with_line(2, b'te1.jpg,"id00\nid01"'), "row 2", "single spaces"),
    "no-break space": (with_line(2, "te1.jpg,id00\u00a0id01".encode()), "row 2", "single spaces"),
    "six names": (with_line(4, b"te3.jpg,a b c d e f"), "row 4", "6 names"),
    "repeated name": (with_line(1, b"te0.jpg,id00 id01 id00"), "row 1", "id00"),
    "repeated stranger": (with_line(1, b"te0.jpg,new_individual id01 new_individual"), "row 1", "new_individual"),
    "empty predictions": (with_line(3, b"te2.jpg,"), "row 3", "1 to 5 names"),
    "blank predictions": (with_line(3, b"te2.jpg,   "), "row 3", "1 to 5 names"),
    "three fields": (with_line(3, b"te2.jpg,id00,id01"), "row 3", "3 fields"),
    "one field": (with_line(3, b"te2.jpg"), "row 3", "1 fields"),
    "blank line": ([*GOOD[:3], b"", *GOOD[3:]], "row 3", "0 fields"),
    "blank line at the end": ([*GOOD, b""], "row 5", "0 fields"),
    "space in the image": (with_line(1, b"te0.jpg ,id00"), "row 1", "te0.jpg "),
    "open quotes": (with_line(2, b'te1.jpg,"id00 id01'), "row 2", ""),
    "not UTF-8": (with_line(2, b"te1.jpg,w\xe4l"), "row 2", "UTF-8"),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_rule_is_named_with_its_row(tmp_path: Path, sample: Path, rule: str) -> None:
    lines, row, told = BROKEN[rule]
    path = written(tmp_path, lines, b"\n") if lines else written(tmp_path, [], b"")
    with pytest.raises(FinblendError) as caught:
        check(path, sample=sample)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert row in message
    assert told in message


Change = Callable[[Path], object]


@pytest.mark.parametrize(
    "change", [Path.unlink, lambda path: path.write_text(""), lambda path: path.write_text("a\n1\n")]
)
def test_a_wrong_sample_is_named(tmp_path: Path, sample: Path, change: Change) -> None:
    path = written(tmp_path, GOOD)
    change(sample)
    with pytest.raises(FinblendError, match=r"sample_submission\.csv"):
        check(path, sample=sample)


@pytest.mark.parametrize("name", ["gone.csv", "."])
def test_a_submission_that_cannot_be_read_is_named(tmp_path: Path, sample: Path, name: str) -> None:
    with pytest.raises(FinblendError, match="cannot be read"):
        check(tmp_path / name, sample=sample)


def test_the_command_says_the_same_in_one_line(
    tmp_path: Path, sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, with_line(2, b"te1.jpg,a b c d e f"))
    assert main(["check", str(path), "--sample", str(sample)]) == 1
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err.startswith(f"finblend: {path}: row 2: has 6 names")
    assert found.err.count("\n") == 1
