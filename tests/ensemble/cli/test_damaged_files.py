"""Files of a project that were damaged: each is named in one line before it is used."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from refusals import refusal
from small import Small


@pytest.fixture
def folder(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(template, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def changed(**values: object) -> Callable[[Path], object]:
    return lambda path: path.write_text(json.dumps(json.loads(path.read_text()) | values))


STORE = "P/stores/frozen/frozen"
DAMAGE: list[tuple[str, Callable[[Path], object], str]] = [
    ("P/project.json", text("{"), "evaluate P"),
    ("P/project.json", text("[]"), "models P"),
    ("P/project.json", changed(format=99), "tune P --trials 0"),
    ("P/catalogue.parquet", cut, "models P"),
    ("P/catalogue.parquet", Path.unlink, "evaluate P"),
    ("P/blend.json", text("{"), "evaluate P"),
    ("P/blend.json", text("[]"), "submit P -o out.csv"),
    ("P/blend.json", text("[]"), "decide P -o d.csv"),
    ("P/blend.json", text('{"weights": {"frozen": 0.4}}'), "export P -o vectors"),
    ("P/blend.json", text('{"weights": {"frozen": 1.0}, "rule": "Z"}'), "submit P -o out.csv"),
    ("P/blend.json", text('{"weights": {"frozen": 1.0}, "treshold": 1}'), "evaluate P"),
    ("P/blend.json", text('{"weights": {"frozen": 1.0}, "mix": {"share": 0.1}}'), "evaluate P"),
    ("P/blend.json", text('{"weights": {"gone": 1.0}}'), "submit P -o out.csv"),
    ("P/blend.json", Path.unlink, "submit P -o out.csv"),
    (f"{STORE}/train.arrow", cut, "models P"),
    (f"{STORE}/train.arrow", Path.unlink, "evaluate P"),
    (f"{STORE}/test.arrow", text(""), "submit P -o out.csv"),
    (f"{STORE}/test.arrow", text("garbage"), "export P -o vectors"),
    (f"{STORE}/manifest.json", text("{"), "models P"),
    (f"{STORE}/manifest.json", changed(seen="fold-x"), "models P"),
    (f"{STORE}/manifest.json", changed(views=None), "models P"),
    (f"{STORE}/manifest.json", changed(colour="blue"), "submit P -o out.csv"),
    ("P/study.journal", text("no journal\nat all\n"), "tune P --trials 0 --new-share 0.15"),
]


@pytest.mark.parametrize(("damaged", "damage", "line"), DAMAGE, ids=[f"{n}-{d[0]}" for n, d in enumerate(DAMAGE)])
def test_a_damaged_file_is_named(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    damaged: str,
    damage: Callable[[Path], object],
    line: str,
) -> None:
    shutil.rmtree(folder / "P" / "cache")
    damage(folder / damaged)
    told = refusal(folder, line, capsys)
    assert Path(damaged).name in told or str(Path(damaged).parent) in told


def test_a_flipped_bit_in_a_store_is_noticed_before_it_is_used(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The manifest keeps a hash of every file: vectors that changed on disk are not scored as if they had not."""
    shutil.rmtree(folder / "P" / "cache")
    path = folder / STORE / "test.arrow"
    raw = bytearray(path.read_bytes())
    vector = Small(folder / "again").noisy(1, 1.0)[1][5].tobytes()
    raw[bytes(raw).index(vector) + 3] ^= 0x40
    path.write_bytes(raw)
    told = refusal(folder, "submit P -o out.csv", capsys)
    assert "test.arrow" in told or STORE in told
