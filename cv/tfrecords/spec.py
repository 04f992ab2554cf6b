"""How people name records: one file or a pattern, and perhaps what its features are called."""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass
from pathlib import Path

from cv.errors import FinblendError, shown
from cv.tfrecords.shard import is_shard

# what follows the file: `:name=image_id,label=target`
_NAMED = re.compile(r"^(.+?):(\w+=[^=,]+(?:,\w+=[^=,]+)*)$")
_SUFFIX = re.compile(r"\.(tfrec|tfrecords?|records?)(\.gz|\.gzip|\.zlib)?$", re.IGNORECASE)
_TABLE = re.compile(r"\.(csv|parquet|pq|json|zip)$", re.IGNORECASE)
_PATTERN = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Spec:
    """Shards, and what their features are called; None: found by their usual names.

    Attributes
    ----------
    text : str
        As it was given, for error lines.
    paths : tuple of Path
        Sorted; each file once.
    image : str or None
        The photo's bytes.
    name : str or None
        What the catalogue calls the photo.
    label : str or None
        The individual.
    species : str or None
    """

    text: str
    paths: tuple[Path, ...]
    image: str | None = None
    name: str | None = None
    label: str | None = None
    species: str | None = None


FEATURES = ("image", "name", "label", "species")


def matching(text: str) -> list[Path]:
    """The file or folder of this very name, or else what the pattern matches, sorted, each once.

    Raises
    ------
    FinblendError
        If it is a pattern that nothing matches.
    """
    if Path(text).exists() or not _PATTERN.search(text):
        return [Path(text)]
    # one shard that two links lead to is one
    found = list({path.resolve(): path for path in map(Path, sorted(glob.glob(text, recursive=True)))}.values())
    if not found:
        raise FinblendError(f"{text}: no file matches the pattern")
    return found


def are_records(text: str | Path) -> bool:
    """Whether a text names TFRecords: by its suffix, or by how the first of its files begins; no table ever does.

    Examples
    --------
    >>> are_records("records/train*.tfrec"), are_records("train.csv"), are_records("a.tfrec:name=id")
    (True, False, True)
    """
    path = _parts(str(text))[0]
    if Path(path).is_dir() or _TABLE.search(path):
        return False
    if _SUFFIX.search(path):
        return True
    try:
        first = matching(path)[0]
    except FinblendError:
        return False
    return first.is_file() and (bool(_SUFFIX.search(first.name)) or is_shard(first))


def read_spec(text: str | Path) -> Spec:
    """Find the shards that a text names.

    Parameters
    ----------
    text : str or Path
        `FILE` or a pattern with `*`, `?`, `[...]` or `**`; behind it perhaps `:KEY=FEATURE,...` with the keys image,
        name, label, species.

    Raises
    ------
    FinblendError
        If there is no such file, the pattern matches none, or a key is unknown.
    """
    path, named = _parts(str(text))
    strange = [key for key in named if key not in FEATURES]
    if strange:
        raise FinblendError(f"{text}: '{strange[0]}=' is none of {shown(f'{key}=' for key in FEATURES)}")
    paths = [found for found in matching(path) if not found.is_dir()]
    return Spec(str(text), tuple(paths), **named)


def _parts(text: str) -> tuple[str, dict[str, str]]:
    found = None if Path(text).exists() else _NAMED.match(text)
    if found is None:
        return text, {}
    pairs = [pair.split("=", 1) for pair in found[2].split(",")]
    return found[1], {key.strip(): value.strip() for key, value in pairs}
