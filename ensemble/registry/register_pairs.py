"""Register a pair source: read foreign scores of pairs, refuse what would leak, write the pair store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backbones.formats.named_pairs import NamedPairs
from backbones.formats.pairs import read_pairs
from backbones.pair_store import Pairs, write_pair_store
from cv.catalogue import Catalogue
from cv.errors import FinblendError
from cv.files import sha256_of
from ensemble.project.folder import Project
from ensemble.project.result import Result
from ensemble.project.version import finblend_version
from ensemble.registry.pair_rules import allowed, likeness, listed_names, refuse_negative, refuse_twice, warnings_of
from ensemble.registry.pair_sources import check_pair_place


@dataclass(frozen=True, kw_only=True)
class RegisterPairsResult(Result):
    """A registered pair source.

    Attributes
    ----------
    name : str
    train_pairs, test_pairs : int
        By the split of the query.
    train_queries, test_queries : int
        Photos that were compared with at least one gallery photo.
    second : bool
        Whether pairs have a second number.
    left_out : dict of str to int
        Pairs that play no part: of one encounter (`leaking`), with a test photo in the gallery
        (`test_gallery`), of photos without a known individual (`unlabelled`). Of lists only the last.
    warnings : list of str
    """

    name: str
    train_pairs: int
    test_pairs: int
    train_queries: int
    test_queries: int
    second: bool
    left_out: dict[str, int]
    warnings: list[str]


def register_pairs(
    folder: str | Path,
    name: str,
    *,
    pairs: Any,
    test_pairs: Any = None,
    score: str | None = None,
    second: str | None = None,
    lower_is_better: bool = False,
    replace: bool = False,
) -> RegisterPairsResult:
    """Register scores of pairs of photos that another program made: a matcher of local features, for example.

    Parameters
    ----------
    folder : str or Path
        The project.
    name : str
        The pair source's name: letters, digits, `.`, `_`, `-`; no model's.
    pairs, test_pairs : path, polars or pandas frame
        What `backbones.formats.pairs.read_pairs` reads. A query says itself of which split it is, so that one file may
        hold both. Gallery photos are train photos.
    score, second : str, optional
        The columns, under other names.
    lower_is_better : bool
        Whether scores are distances, 0 or more: kept is usual / (usual + distance), which is 1 at no distance and 1/2
        at the median distance of the train pairs.
    replace : bool
        Replace a pair source that is there.

    Returns
    -------
    RegisterPairsResult

    Raises
    ------
    FinblendError
        If anything does not fit; the project stays as it was.
    """
    project = Project.open(folder)
    check_pair_place(project, name, replace=replace)
    catalogue = project.catalogue
    names = listed_names(catalogue)
    given = [pairs] if test_pairs is None or _same_file(pairs, test_pairs) else [pairs, test_pairs]
    files, left_out = [], dict[str, int]()
    for each in given:
        read = read_pairs(each, names, score=score, second=second, lower_is_better=lower_is_better)
        keep, left = allowed(read, catalogue, names)
        files.append(read if keep.all() else read.take(keep))
        left_out = {rule: left_out.get(rule, 0) + count for rule, count in left.items()}
    if lower_is_better:
        refuse_negative(files)
    usual, (train, test) = None, _sorted(files, catalogue, names)
    if lower_is_better:
        usual, train, test = likeness(train, test)
    made = {
        "files": [_facts(each, read) for each, read in zip(given, files, strict=True)],
        "usual_distance": usual,
    }
    write_pair_store(
        project.pair_folder(name),
        name,
        {"train": train, "test": test},
        photos_sha256=project.photos_hash,
        made=made,
        made_by=finblend_version(),
    )
    return RegisterPairsResult(
        name=name,
        train_pairs=len(train),
        test_pairs=len(test),
        train_queries=len(np.unique(train.query)),
        test_queries=len(np.unique(test.query)),
        second=train.second is not None,
        left_out=left_out,
        warnings=[f"{name}: {text}" for text in warnings_of(train, catalogue)],
    )


def _sorted(files: Sequence[NamedPairs], catalogue: Catalogue, names: Sequence[str]) -> list[Pairs]:
    """The train and the test pairs of all files, ascending by query, then gallery, each once."""
    query = np.concatenate([read.query for read in files])
    gallery = np.concatenate([read.gallery for read in files])
    key = query.astype(np.int64) * len(names) + gallery
    order = np.argsort(key, kind="stable")
    refuse_twice(key, order, files, names)
    score = np.concatenate([read.score for read in files])[order]
    second = np.concatenate(
        [np.full(len(read), np.nan, np.float32) if read.second is None else read.second for read in files]
    )[order]
    has_second = not np.isnan(second).all()
    # one NaN among the many that there are: equal pairs shall have equal hashes
    second[np.isnan(second)] = np.nan
    query, gallery = query[order], gallery[order]
    n_train = len(catalogue.train_images)
    end = int(np.searchsorted(query, n_train))
    splits = []
    for split, part, offset in (("train", slice(end), 0), ("test", slice(end, None), n_train)):
        if not len(query[part]):
            raise FinblendError(
                f"{' and '.join(read.source for read in files)}: has no pair whose query is a {split} photo; pairs of "
                "both splits are needed: train photos to measure by, test photos to name"
            )
        splits.append(
            Pairs(
                query=query[part] - np.int32(offset),
                gallery=gallery[part],
                score=score[part],
                second=second[part] if has_second else None,
            )
        )
    return splits


def _same_file(a: Any, b: Any) -> bool:
    return a is b or (isinstance(a, (str, Path)) and str(a) == str(b))


def _facts(given: Any, read: NamedPairs) -> dict[str, Any]:
    """What the manifest says of a file."""
    path = Path(given) if isinstance(given, (str, Path)) else None
    return {
        "file": None if path is None else str(path),
        "sha256": None if path is None else sha256_of(path),
        "kind": "matrix" if read.is_matrix else "list",
        "columns": dict(read.columns),
    }
