"""Votes of marks for both splits, species by species, in blocks that are kept as they are done.

Memory: the descriptors of the photos of one species (float32; beyond `EXACT` of them 8 bits each, in an index), and
those of a block of queries.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from backbones.local_features import FeatureStore
from ensemble.engine.contract import Engine
from ensemble.engine.here import HERE
from ensemble.engine.kept import read_arrays, write_arrays
from ensemble.engine.shards import SHARDS, shards
from ensemble.marks.asked import Asked
from ensemble.project.progress import Progress
from postproc.evidence.pairs import PairTable
from postproc.lnbnn.inverted_index import CELL, PROBES, InvertedIndex
from postproc.lnbnn.votes import MOST_PHOTOS, VOTERS, DescriptorIndex, ExactIndex, PhotoDescriptors, votes

# descriptors of a gallery up to which every one is compared: 1 GB of RootSIFT
EXACT = 2_000_000
BLOCK = 128
# photos whose descriptors are decoded at once for an index: 200 MB of RootSIFT
_PART = 1024


@dataclass(frozen=True, kw_only=True)
class Voting:
    """Votes by one store of features.

    Attributes
    ----------
    store : FeatureStore
    species : (n_train,) int32 array
        Of each train photo.
    groups : (n_train,) int32 array
        Of each train photo, as in `Asked.group`.
    folder : Path
        Where blocks are kept.
    views : sequence of str
        In which the queries are shown.
    exact : int
        Descriptors of a gallery up to which every one is compared.
    """

    store: FeatureStore
    species: np.ndarray
    groups: np.ndarray
    folder: Path
    views: Sequence[str]
    exact: int = EXACT

    def tables(
        self,
        asked: Mapping[str, Asked],
        progress: Progress | None = None,
        engine: Engine = HERE,
        project: Path = Path(),
    ) -> dict[str, PairTable]:
        """Votes of each split's queries for train photos; of two views the better."""
        total = sum(len(each.species) for each in asked.values())
        jobs: list[tuple[int, Sequence[tuple[str, np.ndarray]]]] = []
        for species in np.unique(np.concatenate([each.species for each in asked.values()])).tolist():
            blocks = list(self._blocks(asked, species))
            rows = sum(len(of_block) for _, of_block in blocks)
            jobs += [(species, shard) for shard in shards(blocks, max(1, SHARDS * rows // max(total, 1)))]
        parts: dict[str, list[tuple[np.ndarray, ...]]] = {split: [] for split in asked}
        # whom the models bring up is of no matter here, and much to send
        sent = {split: replace(each, shortlist=each.shortlist[:, :0]) for split, each in asked.items()}
        work = partial(_voted, self, sent, total)
        done = engine.map(work, jobs, name="votes of marks", folder=project, progress=progress)
        for (_, shard), tables in zip(jobs, done, strict=True):
            for (split, _), arrays in zip(shard, tables, strict=True):
                parts[split].append((arrays["query"], arrays["gallery"], arrays["score"]))
        _INDEX.clear()
        tables_of_split = {}
        for split, columns in parts.items():
            joined = [np.concatenate(column) for column in zip(*columns, strict=True)] if columns else [np.empty(0)] * 3
            tables_of_split[split] = PairTable.of(len(asked[split].species), *joined)
        return tables_of_split

    def block(self, asked: Asked, species: int, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The votes of a block of one species' queries, kept or made now."""
        path = self._path(asked.split, species, rows, asked)
        arrays = read_arrays(path, ("query", "gallery", "score"))
        if arrays is None:
            of = (self.folder, species)
            if of not in _INDEX:
                _INDEX.clear()
                _INDEX[of] = self._index(np.flatnonzero((self.species == species) | (species < 0)))
            arrays = self._vote(_INDEX[of], asked, rows)
            write_arrays(path, arrays)
        return arrays

    def _blocks(self, asked: Mapping[str, Asked], species: int) -> Iterator[tuple[str, np.ndarray]]:
        for split, each in asked.items():
            rows = np.flatnonzero(each.species == species)
            for start in range(0, len(rows), BLOCK):
                yield split, rows[start : start + BLOCK]

    def _path(self, split: str, species: int, rows: np.ndarray, asked: Asked) -> Path:
        made = (
            split,
            species,
            rows.tolist(),
            asked.group[rows].tolist(),
            VOTERS,
            MOST_PHOTOS,
            self.exact,
            CELL,
            PROBES,
        )
        digest = hashlib.sha256(repr(made).encode()).hexdigest()[:24]
        return self.folder / f"votes-{digest}.npz"

    def _index(self, rows: np.ndarray) -> DescriptorIndex:
        photo = np.repeat(rows, self.store.counts("train")[rows])
        group = self.groups[photo]
        if len(photo) <= self.exact:
            descriptors, _ = self.store.descriptors("train", rows)
            return ExactIndex(PhotoDescriptors(descriptors=descriptors, photo=photo, group=group))

        def parts() -> Iterator[np.ndarray]:
            for start in range(0, len(rows), _PART):
                yield self.store.descriptors("train", rows[start : start + _PART])[0]

        return InvertedIndex(photo, group, parts)

    def _vote(self, index: DescriptorIndex, asked: Asked, rows: np.ndarray) -> dict[str, np.ndarray]:
        tables = []
        for view in self.views:
            descriptors, photo = self.store.descriptors(asked.split, rows, view)
            # rows are ascending, so a photo's place among them is
            place = np.searchsorted(rows, photo)
            queries = PhotoDescriptors(descriptors=descriptors, photo=place, group=asked.group[photo])
            tables.append(votes(index, queries, len(rows), len(self.groups)))
        best = tables[0]
        for table in tables[1:]:
            best = _better(best, table)
        return {"query": rows[best.query], "gallery": best.gallery, "score": best.score}


# the index of the last species: a process votes for several shards of one
_INDEX: dict[tuple[Path, int], DescriptorIndex] = {}


def _voted(
    voting: Voting,
    asked: Mapping[str, Asked],
    total: int,
    job: tuple[int, Sequence[tuple[str, np.ndarray]]],
    progress: Progress | None,
) -> list[dict[str, np.ndarray]]:
    """The votes of some blocks of one species."""
    species, blocks = job
    tables = []
    for split, rows in blocks:
        tables.append(voting.block(asked[split], species, rows))
        if progress is not None:
            progress("votes of marks", len(rows), total)
    return tables


def _better(first: PairTable, second: PairTable) -> PairTable:
    """The higher score of pairs that stand in either table."""
    query, gallery = np.append(first.query, second.query), np.append(first.gallery, second.gallery)
    score = np.append(first.score, second.score)
    order = np.lexsort((-score, gallery, query))
    query, gallery, score = query[order], gallery[order], score[order]
    is_first = np.append(True, (np.diff(query) != 0) | (np.diff(gallery) != 0))[: len(query)]
    return PairTable.of(first.n_queries, query[is_first], gallery[is_first], score[is_first])
