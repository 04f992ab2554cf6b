"""The project's log of command lines: what made it, in order, so that it can be made again."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

# what changes a project, or writes answers from it
LOGGED = (
    "init", "register", "embed", "train", "register-pairs", "match", "tune",
    "pseudo", "merge", "decide", "submit", "export",
)  # fmt: skip
NAME = "commands.jsonl"


@dataclass(frozen=True)
class Command:
    """One command that was done.

    Attributes
    ----------
    at : str
        When it ended, in UTC.
    folder : str
        Where it was typed: relative paths start there.
    words : list of str
        After `finblend`.
    finblend : str
        The version.
    """

    at: str
    folder: str
    words: list[str]
    finblend: str


def log_command(words: Sequence[str], project: Path) -> None:
    """Append a command line that was done to the log of its project; a project that cannot be written to has none.

    The log is a note for people: nothing is ever computed from it.
    """
    if not words or words[0] not in LOGGED:
        return
    # what was done is done: a folder that has gone or cannot be written to does not make it a failure
    with contextlib.suppress(OSError, ValueError):
        if not (project / "project.json").is_file():
            return
        from ensemble.project.version import finblend_version

        now = datetime.now(UTC).isoformat(timespec="seconds")
        entry = {"at": now, "folder": str(Path.cwd()), "words": list(words), "finblend": finblend_version()}
        # one short write at the end of the file: two processes do not mix their lines
        with (project / NAME).open("a", encoding="utf-8", errors="replace") as file:
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")


def logged_commands(folder: Path) -> list[Command]:
    """The commands in a project's log, oldest first; lines that are none are passed over."""
    try:
        lines = (folder / NAME).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    commands = []
    for line in lines:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            entry = json.loads(line)
            words = [str(word) for word in entry["words"]]
            commands.append(Command(str(entry["at"]), str(entry["folder"]), words, str(entry["finblend"])))
    return commands
