"""Where a Kaggle competition's tables and photos lie in what was downloaded: a folder, or the zip as it came."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cv.errors import FinblendError, shown

TRAIN, SAMPLE = "train.csv", "sample_submission.csv"
PHOTOS = ("train_images", "test_images")


@dataclass(frozen=True)
class KaggleLayout:
    """What a competition's download holds.

    Attributes
    ----------
    train, test : Path
        The tables, as `cv.tables.read_table` takes them: a path into a zip archive is read there.
    photos : list of Path
        What `--images` is to name: the folders of photos, or the archive; empty where there are none.
    """

    train: Path
    test: Path
    photos: list[Path]


def kaggle_layout(source: str | Path) -> KaggleLayout:
    """Find the tables and photos of a competition as it was downloaded.

    Parameters
    ----------
    source : str or Path
        A folder with `train.csv` and `sample_submission.csv`, or one that holds such a folder, or a single zip; or that
        zip. A table may be zipped alone, as single files come (`train.csv.zip`). Nothing is unpacked.

    Raises
    ------
    FinblendError
        If a table is missing, or lies there twice.
    """
    source = Path(source)
    if source.is_file():
        return _of_archive(source)
    if not source.is_dir():
        raise FinblendError(f"--kaggle {source}: no such folder or zip")
    homes = [folder for folder in (source, *_subfolders(source)) if _table(folder, TRAIN)]
    if not homes:
        archives = sorted(source.glob("*.zip"))
        if len(archives) == 1:
            return _of_archive(archives[0])
        raise FinblendError(f"--kaggle {source}: no {TRAIN}, there or one folder deeper; it holds {_listed(source)}")
    # what lies at the top is meant, whatever a folder of somebody's own holds
    if len(homes) > 1 and homes[0] != source:
        raise FinblendError(f"--kaggle {source}: several folders hold {TRAIN} ({shown(homes)}); name one of them")
    home = homes[0]
    test = _table(home, SAMPLE)
    if test is None:
        raise FinblendError(f"--kaggle {source}: {home} has {TRAIN} but no {SAMPLE}")
    photos = [home / name for name in PHOTOS if (home / name).is_dir()]
    return KaggleLayout(_table(home, TRAIN) or home / TRAIN, test, photos)


def _table(folder: Path, name: str) -> Path | None:
    """A table in a folder, plain or zipped alone."""
    if (folder / name).is_file():
        return folder / name
    zipped = folder / f"{name}.zip"
    return zipped / name if zipped.is_file() else None


def _subfolders(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))


def _listed(folder: Path) -> str:
    return shown(sorted(each.name for each in folder.iterdir())) or "nothing"


def _of_archive(archive: Path) -> KaggleLayout:
    try:
        with zipfile.ZipFile(archive) as opened:
            names = opened.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise FinblendError(f"--kaggle {archive}: cannot be read as zip ({error}); is it downloaded whole?") from None
    homes = sorted(
        {path.parent for path in map(PurePosixPath, names) if path.name == TRAIN and len(path.parts) <= 2},
        key=lambda home: (len(home.parts), home),
    )
    if not homes:
        raise FinblendError(f"--kaggle {archive}: no {TRAIN}, there or one folder deeper; it holds {shown(names)}")
    if len(homes) > 1 and homes[0].parts:
        raise FinblendError(f"--kaggle {archive}: several folders in it hold {TRAIN} ({shown(homes)})")
    home = homes[0]
    if str(home / SAMPLE) not in names:
        raise FinblendError(f"--kaggle {archive}: has {home / TRAIN} but no {home / SAMPLE}")
    heads = tuple(f"{home / name}/" for name in PHOTOS)
    has_photos = any(name.startswith(heads) and not name.endswith("/") for name in names)
    return KaggleLayout(archive / home / TRAIN, archive / home / SAMPLE, [archive] if has_photos else [])
