"""Files and folders appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

import cv.files
from cv import FinblendError
from cv.files import folder_written_beside, read_json, sha256_of, write_json, written_beside


def names(folder: Path) -> list[str]:
    """What lies in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


def fail_halfway(writing: AbstractContextManager[Path], error: type[BaseException]) -> None:
    """Write half of a file, or one file of a folder, and fail."""
    with writing as temporary:
        (temporary / "half" if temporary.is_dir() else temporary).write_text("half")
        raise error


def test_a_file_appears_under_its_name_with_an_ordinary_files_permissions(tmp_path: Path) -> None:
    with written_beside(tmp_path / "a.txt") as temporary:
        assert temporary.parent == tmp_path
        assert not (tmp_path / "a.txt").exists()
        temporary.write_text("new")
    (tmp_path / "ordinary").touch()
    assert names(tmp_path) == ["a.txt", "ordinary"]
    assert (tmp_path / "a.txt").read_text() == "new"
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(error):
        fail_halfway(written_beside(tmp_path / "a.txt"), error)
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_an_exception_leaves_nothing_where_there_was_no_file(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        fail_halfway(written_beside(tmp_path / "a.txt"), RuntimeError)
    assert names(tmp_path) == []


def test_a_missing_folder_and_a_folder_in_the_way_are_refused_by_name(tmp_path: Path) -> None:
    with (
        pytest.raises(FinblendError, match=r"absent/a\.txt: cannot be written"),
        written_beside(tmp_path / "absent/a.txt"),
    ):
        pass
    (tmp_path / "taken" / "inside").mkdir(parents=True)
    with pytest.raises(FinblendError, match="taken: cannot be written"), written_beside(tmp_path / "taken"):
        pass
    assert names(tmp_path) == ["taken"]


def test_a_folder_is_swapped_whole(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "store"
    with folder_written_beside(place) as temporary:
        (temporary / "one").write_text("1")
    assert names(place) == ["one"]
    with folder_written_beside(place) as temporary:
        (temporary / "two").write_text("2")
        assert names(place) == ["one"]
    assert names(place) == ["two"]
    assert names(place.parent) == ["store"]


def test_a_failure_inside_keeps_the_old_folder_and_leaves_nothing_else(tmp_path: Path) -> None:
    place = tmp_path / "store"
    place.mkdir()
    (place / "one").write_text("1")
    with pytest.raises(RuntimeError):
        fail_halfway(folder_written_beside(place), RuntimeError)
    assert names(tmp_path) == ["store"]
    assert names(place) == ["one"]


def test_a_failure_of_the_swap_itself_puts_the_old_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "store"
    place.mkdir()
    (place / "one").write_text("1")
    calls = []
    real = os.replace

    def second_fails(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == 2:
            raise OSError("disk is gone")
        real(source, target)

    monkeypatch.setattr(cv.files.os, "replace", second_fails)
    with pytest.raises(OSError, match="disk is gone"), folder_written_beside(place) as temporary:
        (temporary / "two").write_text("2")
    assert calls[1] == place
    assert names(tmp_path) == ["store"]
    assert names(place) == ["one"]


def test_json_is_written_whole_and_read_back(tmp_path: Path) -> None:
    value = {"name": "Żółw", "numbers": [1, 0.1, -1e-300], "none": None}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert "Żółw" in (tmp_path / "a.json").read_text(encoding="utf-8")
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_cannot_hold_are_refused_and_the_old_file_stays(tmp_path: Path, number: float) -> None:
    write_json(tmp_path / "a.json", {"score": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"score": number})
    assert names(tmp_path) == ["a.json"]
    assert json.loads((tmp_path / "a.json").read_text()) == {"score": 1}


def test_missing_and_broken_json_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(FinblendError, match=r"absent\.json: cannot be read"):
        read_json(tmp_path / "absent.json")
    (tmp_path / "broken.json").write_text('{"a": ')
    with pytest.raises(FinblendError, match=r"broken\.json: is not valid JSON"):
        read_json(tmp_path / "broken.json")


def test_sha256_is_that_of_the_bytes_and_a_missing_file_is_refused(tmp_path: Path) -> None:
    content = bytes(range(256)) * 300
    (tmp_path / "a.bin").write_bytes(content)
    assert sha256_of(tmp_path / "a.bin") == hashlib.sha256(content).hexdigest()
    with pytest.raises(FinblendError, match=r"absent\.bin: cannot be read"):
        sha256_of(tmp_path / "absent.bin")


def test_a_file_where_a_folder_shall_be_is_refused_or_replaced_without_leftovers(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("somebody's file")
    try:
        with folder_written_beside(tmp_path / "store"):
            pass
    except FinblendError:
        assert (tmp_path / "store").is_file()
    assert names(tmp_path) == ["store"]
