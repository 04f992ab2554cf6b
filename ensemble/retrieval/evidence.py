"""Evidence of a part, cached, and extended where a model has come in."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from cv.catalogue import Catalogue
from ensemble.project.cache import cached, entries
from ensemble.project.progress import Progress, step
from ensemble.retrieval.neighbours import joint, nearest, nearest_of_species
from ensemble.retrieval.reciprocal import reranked
from ensemble.retrieval.task import Part
from postproc import Evidence, Neighbours, Space, build_evidence, vote_species
from postproc.evidence.channels import channel_table
from postproc.evidence.species import species_doubt
from postproc.ranking.prune import prune
from postproc.transforms.reciprocal_evidence import rerank_evidence


def part_evidence(part: Part, progress: Progress | None) -> tuple[Evidence, np.ndarray]:
    """Pruned evidence and species shares of one part, from the cache or computed.

    Evidence is kept whole, too, so that a further model is compared on what is new only.
    """
    part.project.cache.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        opened: list[dict[str, Space]] = []

        def spaces() -> dict[str, Space]:
            if not opened:
                for store in {store.folder: store for own in part.stores.values() for store in own}.values():
                    store.check_files()
                opened.append(stack.enter_context(part.spaces()))
            return opened[0]

        return _evidence(part, spaces, progress)


def _evidence(
    part: Part, spaces: Callable[[], dict[str, Space]], progress: Progress | None
) -> tuple[Evidence, np.ndarray]:
    project, catalogue = part.project, part.project.catalogue
    votes = cached(
        project.cache,
        f"votes-{part.name}",
        [[name, part.made_from(name)] for name in part.sources],
        lambda: {"votes": _votes(nearest(part, spaces, progress), catalogue, part.gallery.labels)},
    )["votes"]
    shares = part.settle_species(np.array(votes))
    likely = shares.argmax(axis=1).astype(np.int32)
    decided = [hashlib.sha256(likely.tobytes()).hexdigest(), hashlib.sha256(shares.tobytes()).hexdigest()]
    made_from = {name: [part.made_from(name), part.nearest_together, decided[0]] for name in part.sources}

    def whole() -> dict[str, np.ndarray]:
        return _whole_evidence(part, spaces, likely, progress)

    def pruned() -> dict[str, np.ndarray]:
        arrays = cached(project.cache, f"evidence-{part.name}", list(made_from.items()), whole, _described(part))
        evidence = Evidence(tuple(part.sources), **arrays)
        evidence = rerank_evidence(evidence, part.views, reranked(part, spaces, progress), part.rows)
        return prune(evidence, species_doubt(shares), catalogue.species_of_individual).arrays()

    mixed = {name: how.reciprocal for name, how in part.operators.items() if name in part.sources and how.reciprocal}
    key: list[Any] = [list(made_from.items()), decided[1]]
    if mixed:
        key.append({name: asdict(how) for name, how in mixed.items()})
    arrays = cached(project.cache, f"pruned-{part.name}", key, pruned)
    return Evidence(tuple(part.sources), **arrays), shares


def _votes(nearest: Mapping[str, list[Neighbours]], catalogue: Catalogue, labels: np.ndarray) -> np.ndarray:
    of_photo = catalogue.species_of_individual[labels]
    return vote_species([near for each in nearest.values() for near in each], of_photo, len(catalogue.species))


def _whole_evidence(
    part: Part, spaces: Callable[[], dict[str, Space]], likely: np.ndarray, progress: Progress | None
) -> dict[str, np.ndarray]:
    of_species = None
    if len(part.project.catalogue.species) > 1:
        of_species = nearest_of_species(part, spaces, likely, progress)
    evidence = build_evidence(
        spaces(),
        part.views,
        nearest(part, spaces, progress),
        part.gallery,
        part.rows,
        part.fold,
        of_species=of_species,
        joint=joint(part, spaces, likely, progress),
        known=_known(part),
        progress=step(progress, f"evidence {part.name}", len(channel_table(part.views)[1])),
    )
    return evidence.arrays()


def _described(part: Part) -> dict[str, Any]:
    """What an entry of evidence says about itself, so that a later one can build on it."""
    return {"sources": {name: part.made_from(name) for name in part.sources}}


def _known(part: Part) -> Evidence | None:
    """Evidence of the same queries in the cache whose sources, or most of them, are still the same."""
    best: Evidence | None = None
    for about, arrays in entries(part.project.cache, f"evidence-{part.name}"):
        sources = about.get("sources", {})
        same = all(name in part.sources and part.made_from(name) == made for name, made in sources.items())
        if same and sources and (best is None or len(sources) > len(best.sources)):
            best = Evidence(tuple(sources), **arrays)
    return best
