"""Files of a competition: whole or not at all, and never a byte twice that is there already."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kaggle_stand_in import COMPETITION, MODIFIED, TOKEN, Kaggle

from cv.errors import FinblendError
from ensemble.cli import main
from ensemble.competition.download import download

ZIP = f"{COMPETITION}.zip"
CONTENT = np.random.default_rng(0).bytes(5_000_000)


@pytest.fixture(autouse=True)
def filled(kaggle: Kaggle) -> None:
    kaggle.files |= {ZIP: CONTENT, "train.csv": b"image,species,individual_id\n", "big.csv.zip": b"zipped"}


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def ranges(kaggle: Kaggle) -> list[str]:
    """Where each answer of storage was asked to begin; the request for the whole that comes first has no range."""
    return [headers["Range"] for headers in kaggle.headers("GET /storage/") if "Range" in headers]


def test_all_files_come_as_one_zip_and_nothing_else_is_left(kaggle: Kaggle, tmp_path: Path) -> None:
    result = download(COMPETITION, tmp_path / "deep" / "data")
    (file,) = result.files
    assert (file.bytes, file.resumed_at, file.was_there) == (len(CONTENT), 0, False)
    assert Path(file.file).read_bytes() == CONTENT
    assert left(tmp_path / "deep") == [ZIP]
    assert time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(Path(file.file).stat().st_mtime)) == MODIFIED


@pytest.mark.parametrize("tells_md5", [True, False])
def test_what_is_there_is_not_fetched_again(kaggle: Kaggle, tmp_path: Path, tells_md5: bool) -> None:
    kaggle.tells_md5 = tells_md5
    download(COMPETITION, tmp_path, files=["train.csv"])
    before = (tmp_path / "train.csv").stat().st_mtime_ns
    (file,) = download(COMPETITION, tmp_path, files=["train.csv"]).files
    assert file.was_there
    assert (tmp_path / "train.csv").stat().st_mtime_ns == before


def test_another_file_under_that_name_is_refused_and_stays(kaggle: Kaggle, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(b"IMAGE,species,individual_id\n")
    with pytest.raises(FinblendError, match=r"train\.csv: is there and is not what Kaggle has"):
        download(COMPETITION, tmp_path, files=["train.csv"])
    assert (tmp_path / "train.csv").read_bytes() == b"IMAGE,species,individual_id\n"


def test_one_file_keeps_its_folder_and_is_called_zipped_where_it_is(kaggle: Kaggle, tmp_path: Path) -> None:
    kaggle.files["train_images/a b.jpg"] = b"photo"
    result = download(COMPETITION, tmp_path, files=["train_images/a b.jpg", "big.csv"])
    assert [Path(each.file).relative_to(tmp_path).as_posix() for each in result.files] == [
        "train_images/a b.jpg",
        "big.csv.zip",
    ]
    with pytest.raises(FinblendError, match=r"--file \.\./x: is no file's name"):
        download(COMPETITION, tmp_path, files=["../x"])


def test_storage_never_sees_the_token(kaggle: Kaggle, tmp_path: Path) -> None:
    kaggle.breaks = [1_000_000]
    download(COMPETITION, tmp_path)
    assert ranges(kaggle)
    assert not any("Authorization" in headers for headers in kaggle.headers("GET /storage/"))


def test_a_connection_that_breaks_is_taken_up_where_it_broke(kaggle: Kaggle, tmp_path: Path) -> None:
    # each try begins with an answer that is put away for the rest
    kaggle.breaks = [1_000_000, 10_000, 2_000_000, 10_000]
    told: list[tuple[str, int, int]] = []
    (file,) = download(COMPETITION, tmp_path, progress=lambda *each: told.append(each)).files
    assert Path(file.file).read_bytes() == CONTENT
    starts = [int(text.removeprefix("bytes=").rstrip("-")) for text in ranges(kaggle)]
    assert starts == [786_432, 2_621_440]
    assert sum(done for _, done, _ in told) == len(CONTENT) // (1 << 20)
    assert {(what, total) for what, _, total in told} == {("MiB", len(CONTENT) // (1 << 20))}


def test_a_connection_that_never_holds_is_left_to_the_user_who_goes_on_later(kaggle: Kaggle, tmp_path: Path) -> None:
    kaggle.breaks = [2_000_000] + [0] * 20
    with pytest.raises(FinblendError, match=r"no connection to Kaggle.*; 1,\d{3},\d{3} bytes are kept, and the same"):
        download(COMPETITION, tmp_path)
    (part,) = left(tmp_path)
    assert part.startswith(f".{ZIP}.")
    kaggle.breaks = []
    (file,) = download(COMPETITION, tmp_path).files
    assert file.resumed_at >= 1_000_000
    assert Path(file.file).read_bytes() == CONTENT
    assert left(tmp_path) == [ZIP]


KILLED = """
import sys, kagglesdk.kaggle_env as environment
environment._env_to_endpoint[environment.KaggleEnv.TEST] = sys.argv[1]
from ensemble.cli import main
main(["kaggle", "download", sys.argv[2], sys.argv[3]])
"""


def test_a_download_that_is_killed_goes_on(kaggle: Kaggle, tmp_path: Path) -> None:
    kaggle.stalls_at = 3_500_000
    words = [sys.executable, "-c", KILLED, kaggle.address, COMPETITION, str(tmp_path / "data")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not any(each.stat().st_size >= 3 << 20 for each in (tmp_path / "data").glob(".*.part")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.communicate() == ("", "")
    kaggle.stalls_at = None
    (file,) = download(COMPETITION, tmp_path / "data").files
    assert file.resumed_at >= 3 << 20
    assert ranges(kaggle) == [f"bytes={file.resumed_at}-"]
    assert Path(file.file).read_bytes() == CONTENT
    assert left(tmp_path / "data") == [ZIP]


def test_what_has_come_of_another_content_is_not_mixed_in(kaggle: Kaggle, tmp_path: Path) -> None:
    kaggle.breaks = [2_000_000] + [0] * 20
    with pytest.raises(FinblendError):
        download(COMPETITION, tmp_path)
    kaggle.breaks, kaggle.files[ZIP] = [], CONTENT[::-1]
    (file,) = download(COMPETITION, tmp_path).files
    assert file.resumed_at == 0
    assert ranges(kaggle)[3:] == []
    assert Path(file.file).read_bytes() == CONTENT[::-1]
    assert left(tmp_path) == [ZIP]


def test_a_server_that_names_no_content_is_asked_for_the_whole(kaggle: Kaggle, tmp_path: Path) -> None:
    kaggle.etag, kaggle.tells_md5 = "", False
    kaggle.breaks = [2_000_000]
    (file,) = download(COMPETITION, tmp_path).files
    assert Path(file.file).read_bytes() == CONTENT


def test_content_that_is_not_what_was_told_is_damaged_and_thrown_away(kaggle: Kaggle, tmp_path: Path) -> None:
    # one mark for two contents: only the checksum can tell
    kaggle.etag, kaggle.breaks = '"same"', [2_000_000] + [0] * 20
    with pytest.raises(FinblendError):
        download(COMPETITION, tmp_path)
    (part,) = tmp_path.glob(".*.part")
    content = bytearray(part.read_bytes())
    content[0] ^= 1
    part.write_bytes(content)
    kaggle.breaks = []
    with pytest.raises(FinblendError, match=r"came damaged, its checksum is not what Kaggle says"):
        download(COMPETITION, tmp_path)
    assert left(tmp_path) == []


def test_a_disk_that_is_too_small_is_told_before_the_first_byte(
    kaggle: Kaggle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(FinblendError, match=r"5,000,000 bytes are to come, and its disk has 1,000,000 left"):
        download(COMPETITION, tmp_path)
    assert left(tmp_path) == []


def test_a_disk_that_fills_up_is_one_line_and_what_came_stays(
    kaggle: Kaggle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = Path.open

    def full(path: Path, mode: str = "r", **options: Any) -> Any:
        file = opened(path, mode, **options)
        if mode in {"wb", "ab"}:
            write = file.write

            class Full:
                def __enter__(self) -> Full:
                    return self

                def __exit__(self, *_: object) -> None:
                    held = file.tell()
                    file.close()
                    # what could not be written is tried once more
                    if held >= 2 << 20:
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

                def write(self, content: bytes) -> int:
                    if file.tell() >= 2 << 20:
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                    return int(write(content))

                def flush(self) -> None:
                    file.flush()

            return Full()
        return file

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", full)
        assert main(["kaggle", "download", COMPETITION, str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "the disk is full; make room, and the same command goes on from there" in error
    (file,) = download(COMPETITION, tmp_path).files
    assert file.resumed_at == 2 << 20
    assert hashlib.sha256(Path(file.file).read_bytes()).digest() == hashlib.sha256(CONTENT).digest()


def test_a_second_download_to_the_same_folder_waits_for_nobody(kaggle: Kaggle, tmp_path: Path) -> None:
    from ensemble.project.lock import locked

    with locked(tmp_path / ".kaggle.lock", "it"), pytest.raises(FinblendError, match="is being made by process"):
        download(COMPETITION, tmp_path)


def test_the_command_says_what_came_and_what_is_next(
    kaggle: Kaggle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["kaggle", "download", COMPETITION, str(tmp_path)]) == 0
    found = capsys.readouterr()
    assert found.out.splitlines() == [
        f"{tmp_path / ZIP}: 5,000,000 bytes, fetched",
        f"next: finblend init P --kaggle {tmp_path}",
    ]
    assert main(["kaggle", "download", COMPETITION, str(tmp_path), "--file", "train.csv", "--json"]) == 0
    assert TOKEN not in found.out + found.err + capsys.readouterr().out
