"""Fetch a competition's files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cv.errors import FinblendError
from cv.files import refuse_no_folder
from ensemble.competition.client import Connection, connected
from ensemble.competition.remote import Remote
from ensemble.competition.transfer import DownloadedFile, fetch
from ensemble.project.lock import locked
from ensemble.project.progress import Progress
from ensemble.project.result import Result


@dataclass(frozen=True)
class DownloadResult(Result):
    """What was fetched of a competition, one entry a file."""

    competition: str
    files: list[DownloadedFile]


def download(
    competition: str, folder: str | Path, *, files: Sequence[str] = (), progress: Progress | None = None
) -> DownloadResult:
    """Fetch all files of a competition as one zip, or some of them; killed at any moment, the next call goes on.

    Parameters
    ----------
    competition : str
        The last part of its page's address.
    folder : str or Path
        Made where there is none.
    files : sequence of str
        Names as Kaggle lists them, such as `train.csv`; all by default. One that Kaggle zips stays zipped.
    progress : callable, optional

    Raises
    ------
    FinblendError
        In one line, whatever is in the way: token, rules, network, disk.
    """
    folder = Path(folder)
    for name in files:
        _refuse_path(name)
    if folder.exists():
        refuse_no_folder(folder)
    with connected(competition) as connection, locked(folder / ".kaggle.lock", f"a download to {folder}"):
        found = [_one(connection, folder, name, progress) for name in files] or [_all(connection, folder, progress)]
    return DownloadResult(connection.competition, found)


def _refuse_path(name: str) -> None:
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts:
        raise FinblendError(f"--file {name}: is no file's name, such as train.csv")


def _one(connection: Connection, folder: Path, name: str, progress: Progress | None) -> DownloadedFile:
    def place(remote: Remote) -> Path:
        own = PurePosixPath(name)
        # Kaggle may send it zipped, and says so in the address only
        zipped = remote.name == f"{own.name}.zip"
        return folder / own.with_name(remote.name if zipped else own.name)

    return fetch(
        connection,
        lambda: connection.ask("download_data_file", "ApiDownloadDataFileRequest", name, file_name=name),
        place,
        progress,
    )


def _all(connection: Connection, folder: Path, progress: Progress | None) -> DownloadedFile:
    return fetch(
        connection,
        lambda: connection.ask("download_data_files", "ApiDownloadDataFilesRequest"),
        lambda remote: folder / f"{connection.competition}.zip",
        progress,
    )
