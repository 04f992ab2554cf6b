"""Photos to a store of local features, in parts that are each kept as they are done: killed at any moment, it goes on.

A part's name is a hash of all that decides what is in it, so that no other run's part is ever taken for it. When all
are there, they are joined into the store, which replaces an older one at once.

Memory: a part's features in each process (128 photos x 400 keypoints: 35 MB) and one photo in full as it is decoded
(24 megapixels: 72 MB, twice while it is turned or shrunk).
"""

from __future__ import annotations

import hashlib
import multiprocessing
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import TypeAlias

from backbones.local_features.contract import LocalExtractor
from backbones.local_features.doors import build_local
from backbones.local_features.finish import Part, finish, finished
from backbones.local_features.parts import read_part, record_batch, write_part
from backbones.local_features.shown import CONTEXT, LONG_SIDE, MARGIN, features_of
from backbones.local_features.store import MIRRORED, WHOLE, FeatureStore
from backbones.photos import Box
from backbones.photos.members import stamp
from backbones.workers import end_with_run
from cv.errors import FinblendError

PART = 128
PARTS = "parts"
# where there are boxes, so many times more features are asked for: those of the context are dropped
_SPARE = 1.5
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class LocalPhotos:
    """Every train photo, then every test photo, each in the catalogue's order.

    Attributes
    ----------
    names : sequence of str
    files : sequence of str or None
        None where there is no file.
    boxes : sequence of Box or None
        Where the animal is; None for the whole photo.
    train : int
        How many of them are train photos.
    problems : dict of str to str
        Why photos have no file.

    Raises
    ------
    FinblendError
        If the lengths differ.
    """

    names: Sequence[str]
    files: Sequence[str | None]
    boxes: Sequence[Box | None]
    train: int
    problems: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lengths = len(self.names), len(self.files), len(self.boxes)
        if len(set(lengths)) > 1 or not 0 <= self.train <= len(self.names):
            raise FinblendError(
                f"photos need a name, a file and a box each, train first, but got {lengths} and {self.train} of train"
            )


@dataclass(frozen=True)
class Making:
    """What parts are made with: the extractor's name, features asked of it, features kept, and its fingerprint."""

    extractor: str
    asked: int
    keypoints: int
    fingerprint: str


Elsewhere: TypeAlias = Callable[[Making, Sequence[tuple[Part, LocalPhotos]]], Iterator[int]]


def extract_features(
    photos: LocalPhotos,
    extractor_name: str,
    keypoints: int,
    folder: Path,
    workers: int = 0,
    mirrored: bool = False,
    progress: Callable[[int, int], None] | None = None,
    elsewhere: Elsewhere | None = None,
) -> FeatureStore:
    """Extract the features of all photos into a store.

    Parameters
    ----------
    photos : LocalPhotos
    extractor_name : str
        See `build_local`.
    keypoints : int
        Features a photo, at most: the strongest, in the box where there is one.
    folder : Path
        Of the store; unfinished parts are in its folder `parts`.
    workers : int
        Processes, for extractors that go side by side; 0: this one alone. They are started anew (`spawn`, as OpenCV's
        threads do not survive a fork): a script needs `if __name__ == "__main__":` around it.
    mirrored : bool
        The mirrored photos, too, as view `hflip`.
    progress : callable, optional
        Gets the number of photos just done and of all, mirrored ones counted apart.
    elsewhere : callable, optional
        Calls `make_part_elsewhere` in processes of its own, with what to make and each of several parts, and gives the
        number of photos of each; instead of `workers`.

    Returns
    -------
    FeatureStore

    Raises
    ------
    FinblendError
        If the extractor is refused (see `build_local`), fails on a photo, or the store cannot be written.
    """
    boxed = any(box is not None for box in photos.boxes)
    asked = ceil(keypoints * _SPARE) if boxed else keypoints
    extractor = build_local(extractor_name, asked)
    views = (WHOLE, MIRRORED) if mirrored else (WHOLE,)
    parts = list(_parts(photos, extractor, keypoints, views, folder / PARTS))
    tell, total = progress or (lambda done, total: None), len(views) * len(photos.names)
    store = finished(folder, parts)
    if store is not None:
        tell(total, total)
        return store
    try:
        (folder / PARTS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FinblendError(f"{folder / PARTS}: cannot be written ({error.strerror})") from None
    todo = [part for part in parts if read_part(part.path, [photos.names[row] for row in part.rows]) is None]
    tell(total - sum(len(part.rows) for part in todo), total)
    if elsewhere is not None:
        making = Making(extractor_name, asked, keypoints, extractor.fingerprint)
        for done in elsewhere(making, [(part, _of(photos, part.rows)) for part in todo]):
            tell(done, total)
    else:
        for part in _done(todo, photos, extractor, keypoints, workers):
            tell(len(part.rows), total)
    return finish(folder, parts, photos.names, extractor, keypoints, [box is not None for box in photos.boxes])


def _parts(
    photos: LocalPhotos, extractor: LocalExtractor, keypoints: int, views: Sequence[str], folder: Path
) -> Iterator[Part]:
    every = (_FORMAT, extractor.name, extractor.fingerprint, keypoints, LONG_SIDE, MARGIN, CONTEXT)
    stamps = [_stamp(file) for file in photos.files]
    for view in views:
        for split, first, stop in (("train", 0, photos.train), ("test", photos.train, len(photos.names))):
            # a split without photos is one empty part: it has a file, too
            for start in range(first, max(stop, first + 1), PART):
                rows = range(start, min(stop, start + PART))
                each = [(photos.names[row], stamps[row], photos.boxes[row]) for row in rows]
                digest = hashlib.sha256(repr((every, split, view, each)).encode()).hexdigest()[:24]
                yield Part(split, view, rows, folder / f"{digest}.arrow")


def _stamp(file: str | None) -> tuple[int, int] | None:
    """Size and time of a file: a photo that changes between two calls is another photo."""
    with suppress(OSError):
        return None if file is None else stamp(Path(file))
    return None


def make_part(part: Part, photos: LocalPhotos, extractor: LocalExtractor, keypoints: int) -> None:
    """Extract the features of a part's photos and write it.

    Parameters
    ----------
    part : Part
    photos : LocalPhotos
        Those of the part alone.
    extractor : LocalExtractor
    keypoints : int
    """
    shown = [
        features_of(file, box, extractor, keypoints, part.view == MIRRORED, photos.problems.get(name, "missing"))
        for name, file, box in zip(photos.names, photos.files, photos.boxes, strict=True)
    ]
    batch = record_batch(
        photos.names,
        [one.features for one in shown],
        [one.size for one in shown],
        [(one.failed, one.note) for one in shown],
        extractor.width,
    )
    write_part(part.path, batch)


def _done(
    todo: Sequence[Part], photos: LocalPhotos, extractor: LocalExtractor, keypoints: int, workers: int
) -> Iterator[Part]:
    """Make parts, each yielded as it is done."""
    if workers < 1 or len(todo) < 2 or not getattr(extractor, "in_workers", False):
        for part in todo:
            make_part(part, _of(photos, part.rows), extractor, keypoints)
            yield part
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(todo)), context, _begin, (extractor, keypoints))
    try:
        under_way = {pool.submit(_make, part, _of(photos, part.rows)): part for part in todo}
        for future in as_completed(under_way):
            future.result()
            yield under_way[future]
    except BrokenProcessPool:
        raise FinblendError(
            f"--features {extractor.name}: a worker process ended before its work did (memory? a script without "
            "`if __name__ == '__main__':`?); call it again and it goes on, with fewer --workers"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _of(photos: LocalPhotos, rows: range) -> LocalPhotos:
    """Some of the photos: workers are sent no more."""
    names = photos.names[rows.start : rows.stop]
    return LocalPhotos(
        names=names,
        files=photos.files[rows.start : rows.stop],
        boxes=photos.boxes[rows.start : rows.stop],
        train=0,
        problems={name: photos.problems[name] for name in names if name in photos.problems},
    )


def make_part_elsewhere(making: Making, part: Part, photos: LocalPhotos) -> int:
    """Make a part in a process that was begun with nothing; the number of its photos.

    Raises
    ------
    FinblendError
        If the extractor is another version here, whose features would be others.
    FileNotFoundError
        If a photo cannot be seen here.
    """
    for file in photos.files:
        if file is not None:
            # one that is gone in this process alone would be kept as a photo that cannot be read
            stamp(Path(file))
    extractor = _extractor(making.extractor, making.asked)
    if extractor.fingerprint != making.fingerprint:
        raise FinblendError(
            f"--features {making.extractor}: is {extractor.fingerprint} on {socket.gethostname()}, and "
            f"{making.fingerprint} where this began; every machine needs the same libraries"
        )
    make_part(part, photos, extractor, making.keypoints)
    return len(part.rows)


@lru_cache(1)
def _extractor(name: str, asked: int) -> LocalExtractor:
    with suppress(ImportError):
        import cv2

        cv2.setNumThreads(1)
    return build_local(name, asked)


# what a worker process was begun with
_WORKER: list[tuple[LocalExtractor, int]] = []


def _begin(extractor: LocalExtractor, keypoints: int) -> None:
    end_with_run(0)
    with suppress(ImportError):
        import cv2

        cv2.setNumThreads(1)
    _WORKER.append((extractor, keypoints))


def _make(part: Part, photos: LocalPhotos) -> None:
    make_part(part, photos, *_WORKER[0])
