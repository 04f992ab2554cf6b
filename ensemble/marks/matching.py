"""One matching: a store of features asked for votes, then for verified pairs, then put together as a pair source."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from backbones.local_features import FeatureStore
from backbones.pair_store import Pairs
from ensemble.engine.contract import Engine
from ensemble.engine.here import HERE
from ensemble.marks.asked import Asked
from ensemble.marks.voting import Voting
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.registry.pair_sources import is_leak
from postproc import NOBODY
from postproc.evidence.pairs import PairTable
from postproc.lnbnn.votes import MOST_PHOTOS

if TYPE_CHECKING:
    from backbones.matching import Matcher, Model
    from ensemble.marks.verified import VerifiedPairs, Verifier

# raise when votes or verification change, so that older parts are not taken for their own
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Matching:
    """One matching of a project.

    Attributes
    ----------
    project : Project
    store : FeatureStore
    name : str
        Of the pair source; finished parts are kept under it.
    views : sequence of str
        In which queries are shown.
    engine : Engine
        Where marks vote and pairs are compared.
    """

    project: Project
    store: FeatureStore
    name: str
    views: Sequence[str]
    engine: Engine = HERE

    @property
    def folder(self) -> Path:
        """Where finished parts are kept."""
        return self.project.cache / "match" / self.name

    def votes(self, asked: Mapping[str, Asked], progress: Progress | None = None) -> dict[str, PairTable]:
        """Votes of each split's queries for train photos; none for a photo of the query's encounter."""
        catalogue = self.project.catalogue
        voting = Voting(
            store=self.store,
            species=catalogue.species_of_individual[catalogue.labels],
            groups=asked["train"].group,
            folder=self._part_folder("votes"),
            views=self.views,
        )
        tables = voting.tables(asked, progress, self.engine, self.project.folder)
        train = tables["train"]
        return {**tables, "train": train.where(~is_leak(catalogue, train.query, train.gallery))}

    def verifier(self, matcher: Matcher, model: Model, max_rotation: float, workers: int) -> Verifier:
        """What compares pairs of photos."""
        from ensemble.marks.verified import Verifier

        return Verifier(
            store=self.store,
            matcher=matcher,
            model=model,
            max_rotation=max_rotation,
            views=self.views,
            folder=self._part_folder(f"verified {matcher.fingerprint} {model} {max_rotation}"),
            workers=self.engine.cpus or workers,
        )

    def verified(
        self,
        verifier: Verifier,
        asked: Mapping[str, Asked],
        tables: Mapping[str, PairTable],
        shortlist: int,
        progress: Progress | None = None,
    ) -> dict[str, VerifiedPairs]:
        """What the models and the marks bring up, compared; nothing where nothing is to be verified."""
        wanted = {}
        for split, each in asked.items():
            photos = np.concatenate([each.shortlist, tables[split].top(shortlist)], axis=1)
            query, place = np.nonzero(photos != NOBODY)
            keys = np.unique((query.astype(np.int64) << 32) | photos[query, place])
            query, gallery = keys >> 32, keys & 0xFFFFFFFF
            # nothing is known of a photo without features: it is not compared
            seen = (self.store.counts(split)[query] > 0) & (self.store.counts("train")[gallery] > 0)
            query, gallery = query[seen], gallery[seen]
            if split == "train":
                met = ~is_leak(self.project.catalogue, query, gallery)
                query, gallery = query[met], gallery[met]
            keep = np.full(len(query), verifier.model != "none")
            wanted[split] = (query[keep], gallery[keep])
        total = sum(len(query) for query, _ in wanted.values())
        return {
            split: verifier.pairs(split, *pairs, progress, total, self.engine, self.project.folder)
            for split, pairs in wanted.items()
        }

    def pairs(self, asked: Asked, table: PairTable, verified: VerifiedPairs) -> Pairs:
        """Votes as the score, verified matches as the second number.

        A verified photo that got no vote has the score 0 where it was asked for one, and none otherwise, nor where the
        query's votes are so many that the least are left out.
        """
        catalogue = self.project.catalogue
        voted = (table.query.astype(np.int64) << 32) | table.gallery
        compared = (verified.query.astype(np.int64) << 32) | verified.gallery
        keys = np.union1d(voted, compared)
        query, gallery = (keys >> 32).astype(np.int32), (keys & 0xFFFFFFFF).astype(np.int32)
        searched = asked.species[query]
        species = catalogue.species_of_individual[catalogue.labels]
        was_asked = (searched < 0) | (species[gallery] == searched)
        has_all = np.diff(table.start)[query] < MOST_PHOTOS
        score = np.where(was_asked & has_all, 0.0, np.nan).astype(np.float32)
        score[np.searchsorted(keys, voted)] = table.score
        second: np.ndarray | None = None
        points: list[np.ndarray | None] | None = None
        if len(compared):
            second = np.full(len(keys), np.nan, dtype=np.float32)
            at = np.searchsorted(keys, compared)
            second[at] = verified.inliers
            points = [None] * len(keys)
            start = np.append(0, np.cumsum(verified.n_points))
            for n in np.flatnonzero(verified.n_points).tolist():
                points[at[n]] = verified.points[start[n] : start[n + 1]]
        return Pairs(query=query, gallery=gallery, score=score, second=second, points=points)

    def drop_older(self, verifier: Verifier) -> None:
        """Remove finished parts of other features, photos or settings."""
        current = {self._part_folder("votes"), verifier.folder}
        for folder in self.folder.iterdir():
            if folder.is_dir() and folder not in current:
                shutil.rmtree(folder, ignore_errors=True)

    def _part_folder(self, what: str) -> Path:
        """A folder for the parts of these very photos, folds and features."""
        made = (VERSION, what, self.project.photos_hash, self.store.content_sha256, list(self.views))
        return self.folder / hashlib.sha256(repr(made).encode()).hexdigest()[:24]
