"""Evidence of a task, cached, and extended where a model has come in."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cv.catalogue import Catalogue
from ensemble.engine.contract import Engine
from ensemble.project.cache import FEW, cached, entries
from ensemble.project.progress import Progress, step
from ensemble.registry.pair_sources import pair_contents
from ensemble.retrieval.neighbours import Lists, fused_search, nearest, nearest_same_species
from ensemble.retrieval.one_pass import OnePass, shared
from ensemble.retrieval.task import RetrievalTask
from postproc import Evidence, Neighbours, Space, build_evidence, join_evidence, vote_species
from postproc.evidence.channels import channel_table
from postproc.evidence.completion import complete
from postproc.evidence.evidence import FURTHER, MAX_TOP_PHOTOS
from postproc.evidence.join import further_of, with_further
from postproc.evidence.species import species_mismatch
from postproc.ranking.prune import prune

WHOLE, PRUNED, COMPLETE = "whole", "pruned", "complete"


@dataclass(frozen=True)
class TaskEvidence:
    """What a task's queries are ranked by.

    Attributes
    ----------
    evidence : Evidence
    shares : (n, n_species) float32 array
        Of each query's species.
    made_from : JSON value
        All that the evidence depends on.
    """

    evidence: Evidence
    shares: np.ndarray
    made_from: Any


def task_evidence(
    task: RetrievalTask, one_pass: OnePass, progress: Progress | None, kind: str = PRUNED
) -> TaskEvidence:
    """Evidence and species shares of one task, from the cache or computed.

    Its lists come from one pass. Evidence is kept whole, too, so that a further model is compared on what is new only.

    Parameters
    ----------
    task : RetrievalTask
    one_pass : OnePass
    progress : callable, optional
    kind : {"whole", "pruned", "complete"}
        With all its candidates; without what no blend can bring into a list; with all that means of an individual's
        best photos need, too.
    """
    task.project.cache.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        opened: list[dict[str, Space]] = []

        def spaces() -> dict[str, Space]:
            if not opened:
                for store in {store.folder: store for own in task.stores.values() for store in own}.values():
                    store.check_files()
                for pair_store in task.pair_stores.values():
                    pair_store.check_files()
                opened.append(stack.enter_context(task.spaces()))
            return opened[0]

        return _evidence(task, spaces, lambda: one_pass.of(task, spaces()), progress, kind)


def _evidence(
    task: RetrievalTask,
    spaces: Callable[[], dict[str, Space]],
    lists: Lists,
    progress: Progress | None,
    kind: str,
) -> TaskEvidence:
    project, catalogue = task.project, task.project.catalogue
    votes = cached(
        project.cache,
        f"votes-{task.name}",
        [[name, task.made_from(name)] for name in task.models],
        lambda: {"votes": _votes(nearest(task, lists), catalogue, task.gallery.labels)},
    )["votes"]
    shares = task.settle_species(np.array(votes))
    likely = shares.argmax(axis=1).astype(np.int32)
    decided = [hashlib.sha256(likely.tobytes()).hexdigest(), hashlib.sha256(shares.tobytes()).hexdigest()]
    made_from: dict[str, Any] = {name: [task.made_from(name), task.nearest_fused, decided[0]] for name in task.models}
    made_from |= {f"pairs {name}": content for name, content in pair_contents(task.pair_stores).items()}

    def computed() -> dict[str, np.ndarray]:
        return _whole_evidence(task, spaces, lists, likely, progress)

    def whole() -> dict[str, np.ndarray]:
        return cached(project.cache, f"evidence-{_entry(task)}", list(made_from.items()), computed, _described(task))

    def left() -> dict[str, np.ndarray]:
        evidence = Evidence.from_arrays(tuple(task.models), whole())
        return prune(evidence, species_mismatch(shares), catalogue.species_of_individual).arrays()

    if kind == WHOLE:
        return TaskEvidence(Evidence.from_arrays(tuple(task.models), whole()), shares, list(made_from.items()))
    pruned_from = [list(made_from.items()), decided[1], MAX_TOP_PHOTOS]
    pruned = Evidence.from_arrays(
        tuple(task.models), cached(project.cache, f"pruned-{_entry(task)}", pruned_from, left)
    )
    if kind == PRUNED:
        return TaskEvidence(pruned, shares, pruned_from)

    def further() -> dict[str, np.ndarray]:
        arrays = complete(pruned, spaces(), task.views, task.gallery, task.rows).arrays()
        return {name: array for name, array in arrays.items() if name in FURTHER}

    kept = cached(project.cache, f"further-{_entry(task)}", pruned_from, further)
    return TaskEvidence(Evidence.from_arrays(tuple(task.models), pruned.arrays() | kept), shares, pruned_from)


def joined(tasks: Sequence[RetrievalTask], parts: Sequence[TaskEvidence]) -> Evidence:
    """Evidence of several tasks in the order of their rows, memory-mapped: of a large catalogue it is gigabytes."""
    if len(tasks) == 1:
        return parts[0].evidence
    arrays = cached(
        tasks[0].project.cache,
        f"joined-{_entry(tasks[0])}",
        [part.made_from for part in parts],
        lambda: join_evidence([part.evidence for part in parts], [task.rows for task in tasks]).arrays(),
        # workers that tune without a fold may have chosen another whitening; what others have mapped stays
        keep=FEW,
    )
    return Evidence.from_arrays(parts[0].evidence.sources, arrays)


def gathered(
    tasks: Sequence[RetrievalTask], progress: Progress | None, engine: Engine, kind: str = PRUNED
) -> list[TaskEvidence]:
    """Evidence of several tasks in their order, lists of those that share their spaces from one pass."""
    parts = list[TaskEvidence]()
    for together in shared(tasks):
        one_pass = OnePass(together, progress, engine)
        parts += [task_evidence(task, one_pass, progress, kind) for task in together]
        one_pass.drop()
    return parts


def completed(
    tasks: Sequence[RetrievalTask], progress: Progress | None, engine: Engine, evidence: Evidence
) -> Evidence:
    """The tasks' evidence with further photos; these alone are put together, as `joined` does."""
    parts = gathered(tasks, progress, engine, COMPLETE)
    if len(tasks) == 1:
        return parts[0].evidence

    def further() -> dict[str, np.ndarray]:
        found = [part.evidence for part in parts]
        return further_of(found, [task.rows for task in tasks])

    made_from, name = [part.made_from for part in parts], f"joined-further-{_entry(tasks[0])}"
    return with_further(evidence, cached(tasks[0].project.cache, name, made_from, further, keep=FEW))


def _entry(task: RetrievalTask) -> str:
    """What evidence is kept as: with pair sources and without, for a blend is compared with itself without them."""
    return f"{task.name}-pairs" if task.pair_stores else task.name


def _votes(nearest: Mapping[str, list[Neighbours]], catalogue: Catalogue, labels: np.ndarray) -> np.ndarray:
    of_photo = catalogue.species_of_individual[labels]
    return vote_species([near for each in nearest.values() for near in each], of_photo, len(catalogue.species))


def _whole_evidence(
    task: RetrievalTask,
    spaces: Callable[[], dict[str, Space]],
    lists: Lists,
    likely: np.ndarray,
    progress: Progress | None,
) -> dict[str, np.ndarray]:
    same_species = None
    if len(task.project.catalogue.species) > 1:
        same_species = nearest_same_species(task, spaces, lists, likely)
    evidence = build_evidence(
        spaces(),
        task.views,
        nearest(task, lists),
        task.gallery,
        task.rows,
        same_species=same_species,
        fused=fused_search(task, spaces, lists, likely),
        known=_known(task),
        pairs=task.pair_tables,
        progress=step(progress, f"evidence {task.name}", len(channel_table(task.views)[1])),
    )
    return evidence.arrays()


def _described(task: RetrievalTask) -> dict[str, Any]:
    """What an entry of evidence says about itself, so that a later one can build on it."""
    return {"sources": {name: task.made_from(name) for name in task.models}}


def _known(task: RetrievalTask) -> Evidence | None:
    """Evidence of the same queries in the cache whose sources, or most of them, are still the same."""
    best: Evidence | None = None
    kept = [entries(task.project.cache, f"evidence-{name}") for name in dict.fromkeys((task.name, _entry(task)))]
    for about, arrays in itertools.chain(*kept):
        models = about.get("sources", {})
        same = all(name in task.models and task.made_from(name) == made for name, made in models.items())
        if same and models and (best is None or len(models) > len(best.sources)):
            best = Evidence.from_arrays(tuple(models), arrays)
    return best
