"""Tables and lines on terminals of any kind and in pipes: through the real command line, also under a pty."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import Small

from ensemble import init, register, tune
from ensemble.cli import tables
from ensemble.cli.tables import GAP, fitted, print_table, shown_value

FINBLEND = [str(Path(sys.executable).with_name("finblend"))]
# rules and corners of boxes, bars of progress
DRAWN = re.compile("[\u2500-\u257f\u2580-\u259f]")
LONG = "tf_efficientnet_lite0"

words = st.text("abc", min_size=1, max_size=12)
cells = st.lists(words, min_size=1, max_size=3).map(" ".join)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tuned project P of three models, one of them with a long name."""
    small = Small(tmp_path_factory.mktemp("tables"))
    init(small.folder / "P", train=small.train_csv, test=small.sample_csv)
    for seed, name in enumerate(["b7", LONG, "convnext"], start=1):
        path = small.write_npz(f"{name}.npz", *small.noisy(seed, 1.0 + seed))
        register(small.folder / "P", name, frozen=True, train=path, test=path)
    tune(small.folder / "P", trials=3, nested_trials=0, new_share=0.15)
    return small.folder


def surroundings(**values: str) -> dict[str, str]:
    """Those of the tests, without what tells a terminal's width and colours."""
    kept = {k: v for k, v in os.environ.items() if k not in {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TERM"}}
    return kept | values


def piped(folder: Path, line: str) -> tuple[str, str]:
    """Standard output and error of a command without a terminal."""
    found = subprocess.run(
        [*FINBLEND, *line.split()], capture_output=True, text=True, check=False, cwd=folder, env=surroundings()
    )
    assert found.returncode == 0, found.stderr
    return found.stdout, found.stderr


def on_terminal(folder: Path, line: str, **environment: str) -> str:
    """What a command shows on a pseudo-terminal, standard error included."""
    leader, follower = pty.openpty()
    try:
        running = subprocess.Popen(
            [*FINBLEND, *line.split()],
            stdin=follower,
            stdout=follower,
            stderr=follower,
            cwd=folder,
            env=surroundings(**environment),
        )
        os.close(follower)
        raw = b""
        while True:
            try:
                block = os.read(leader, 65536)
            except OSError:  # the other end is closed
                break
            if not block:
                break
            raw += block
        assert running.wait() == 0, raw
    finally:
        os.close(leader)
    return raw.decode().replace("\r\n", "\n")


def test_piped_rows_are_one_line_that_awk_parts_at_two_blanks(folder: Path) -> None:
    out, error = piped(folder, "models P --new-share 0.15")
    lines = out.splitlines()
    assert lines[0] == "Models in P"
    assert re.split("  +", lines[1]) == ["model", "MAP@5", "known only", "whitening", "views", "stores"]
    rows = [re.split("  +", line) for line in lines[2:5]]
    assert sorted(row[0] for row in rows) == sorted(["b7", LONG, "convnext"])
    assert all(re.fullmatch(r"0\.\d{4}", row[1]) for row in rows)
    # best first
    assert [row[1] for row in rows] == sorted((row[1] for row in rows), reverse=True)
    assert error == ""
    assert "\x1b" not in out
    assert not DRAWN.search(out)


@pytest.mark.parametrize(
    "line",
    [
        "models P --new-share 0.15",
        "evaluate P",
        "compare P --blend other.json",
        "tune P --trials 1 --nested-trials 0 --new-share 0.15",
    ],
)
def test_on_sixty_columns_no_line_is_longer_and_no_number_is_broken(folder: Path, line: str) -> None:
    other = (folder / "P" / "blend.json").read_text().replace('"rule": "B"', '"rule": "A"')
    (folder / "other.json").write_text(other)
    shown = on_terminal(folder, line, COLUMNS="60", TERM="dumb")
    assert "\x1b" not in shown
    assert not DRAWN.search(shown)
    told = [text for text in shown.splitlines() if not text.startswith("finblend: warning")]
    assert max(map(len, told)) <= 60
    # scores have four digits behind the point, all of them in one line
    assert re.search(r"\b[01]\.\d{4}\b", shown)
    assert not re.search(r"\b[01]\.\d{0,3}\n\s*\d", shown)
    assert not re.search(r"^\s*%", shown, re.MULTILINE)


def test_without_colour_a_terminal_gets_no_escape_codes_and_with_it_only_those_of_styles(folder: Path) -> None:
    plain = on_terminal(folder, "evaluate P", TERM="xterm-256color", NO_COLOR="1", COLUMNS="100")
    table = plain[plain.index("Species") :]
    assert "\x1b" not in table
    coloured = on_terminal(folder, "evaluate P", TERM="xterm-256color", COLUMNS="100")
    assert "\x1b[" in coloured[coloured.index("Species") - 4 :]


def test_tune_ends_with_the_score_that_counts(folder: Path) -> None:
    out, _ = piped(folder, "tune P --trials 0 --nested-trials 1 --new-share 0.15")
    # in-sample figures come before, and are called what they are
    assert out.index("In-sample, too good") < out.index("Honest score (nested)")
    *_, score, verdict = out.strip().splitlines()
    assert re.fullmatch(r"MAP@5 0\.\d{4}; a test of 12 photos: 0\.\d{4} to [01]\.\d{4} with 95 %", score)
    assert verdict.startswith("Blending is ")
    honest = next(row for row in out.splitlines() if row.startswith("the blend, as submitted"))
    assert score.split(";")[0].removeprefix("MAP@5 ") in honest
    out, _ = piped(folder, "tune P --trials 0 --nested-trials 0 --new-share 0.15")
    assert out.strip().splitlines()[-1].startswith("No honest score: ")


@given(st.lists(cells, min_size=1, max_size=5), st.data(), st.integers(1, 60))
def test_fitted_columns_fit_and_hold_every_word(header: list[str], data: st.DataObject, width: int) -> None:
    rows = data.draw(st.lists(st.tuples(*[cells] * len(header)), max_size=4))
    widths = fitted(header, rows, width)
    longest = [max(len(word) for text in column for word in text.split()) for column in zip(header, *rows, strict=True)]
    natural = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    gaps = GAP * (len(header) - 1)
    if widths is None:
        assert sum(longest) + gaps > width
    else:
        assert sum(widths) + gaps <= width
        assert all(a <= b <= c for a, b, c in zip(longest, widths, natural, strict=True))
        # nothing is wrapped where there is room
        assert widths == natural or sum(natural) + gaps > width


class Screen:
    """Standard output that says it is a terminal."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("width", [8, 24, 40, 80])
def test_every_row_is_there_at_any_width(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(tables, "terminal_width", lambda: width)
    monkeypatch.setenv("NO_COLOR", "1")
    print_table("T", ["model", "MAP@5 alone", "kind"], [["b7", 0.91234, "total"], ["a very long name", None, "none"]])
    assert "0.9123" in screen.text
    assert all(word in screen.text for word in ["a", "very", "long", "name", "total", "none"])
    assert max(map(len, screen.text.splitlines())) <= max(width, 17)


def test_a_narrow_terminal_folds_names_then_leaves_out_columns_then_makes_lists(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = "short_finned_pilot_whale"

    def at(width: int) -> list[str]:
        screen = Screen()
        monkeypatch.setattr(sys, "stdout", screen)
        monkeypatch.setattr(tables, "terminal_width", lambda: width)
        monkeypatch.setenv("NO_COLOR", "1")
        print_table("T", ["species", "share", "gain"], [[name, 0.25, "+0.1000"]], spare=["share"])
        return [line.rstrip() for line in screen.text.splitlines()]

    assert at(41) == ["T", f"{'species':24}   share     gain", f"{name}  0.2500  +0.1000", ""]
    # narrower by one: the name goes on below
    assert at(40)[2:] == [f"{name[:23]}  0.2500  +0.1000", "e", ""]
    narrow = [f"{'species':21}     gain", f"{name[:21]}  +0.1000", name[21:], "(too narrow for: share)"]
    assert at(30) == ["T", *narrow, ""]
    assert at(20) == ["T", name, "  gain: +0.1000", ""]


def test_control_characters_of_a_name_do_not_reach_the_terminal() -> None:
    assert "\x1b" not in shown_value("\x1b[31mred")
    assert shown_value("two\n lines\tand  blanks") == "two lines and blanks"
    assert shown_value("") == "-"
