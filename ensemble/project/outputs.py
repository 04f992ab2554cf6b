"""Files that a command may write, and those that belong to the project."""

from __future__ import annotations

from pathlib import Path

from cv.errors import FinblendError

# what a project's folder holds: no output may take their names
PROJECT_FILES = (
    "project.json",
    "catalogue.parquet",
    "blend.json",
    "study.journal",
    "commands.jsonl",
    "submissions.json",
)
PROJECT_FOLDERS = ("stores", "features", "pairs", "runs", "cache", "pseudo")


def refuse_output(output: Path) -> None:
    """Before anything is computed: a file that cannot be written, or would take the place of a project's own."""
    if output.is_dir():
        raise FinblendError(f"{output}: is a folder; -o names the file to write")
    _refuse_surroundings(output)


def refuse_new_folder(output: Path) -> None:
    """Before anything is computed: a folder that is there, cannot be made, or would lie among a project's own files."""
    if output.exists():
        raise FinblendError(f"{output}: already exists; choose another folder")
    _refuse_surroundings(output)


def _refuse_surroundings(output: Path) -> None:
    if not output.parent.is_dir():
        raise FinblendError(f"{output}: the folder {output.parent} does not exist")
    path = output.resolve()
    for folder in path.parents:
        of_project = path.relative_to(folder).parts[0] in (*PROJECT_FILES, *PROJECT_FOLDERS)
        if of_project and (folder / PROJECT_FILES[0]).is_file():
            raise FinblendError(f"{output}: belongs to the project {folder} itself; -o names a place of yours")
