"""Files that a command may write, and those that belong to the project."""

from __future__ import annotations

from pathlib import Path

from cv.errors import FinblendError

# what a project's folder holds of its own: no output may take their names
OWN = ("project.json", "catalogue.parquet", "blend.json", "study.journal", "commands.jsonl")


OWN_FOLDERS = ("stores", "cache", "pseudo")


def refuse_output(output: Path) -> None:
    """Before anything is computed: a file that cannot be written, or would take the place of a project's own."""
    if output.is_dir():
        raise FinblendError(f"{output}: is a folder; -o names the file to write")
    if not output.parent.is_dir():
        raise FinblendError(f"{output}: the folder {output.parent} does not exist")
    path = output.resolve()
    for folder in path.parents:
        inside = path.relative_to(folder).parts
        own = inside[0] in OWN_FOLDERS if len(inside) > 1 else inside[0] in OWN
        if own and (folder / OWN[0]).is_file():
            raise FinblendError(f"{output}: belongs to the project {folder} itself; -o names a file of yours")
