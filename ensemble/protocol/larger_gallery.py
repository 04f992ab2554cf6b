"""What the whole gallery changes where out-of-fold photos meet the other folds' only.

In test all train photos are in the gallery, more of them to be taken for somebody else. How much that costs is told by
a gallery that is smaller still: of each query's gallery one more fold is hidden, all but its own individual's photos,
so that the same photos are asked about the same animals with the same weights. The error of identification grows with
the logarithm of the gallery (Grother, Ngan and Hanaoka 2019, "Face Recognition Vendor Test Part 2: Identification",
NISTIR 8271: misses at rank one, nearly linear in log N), so the change is carried on along the logarithm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cv.left_out import FOLD
from cv.metrics import average_precisions
from ensemble.blend.blend import Blend
from ensemble.blend.ranking import ranking_of, weights_of
from ensemble.project.progress import Progress
from ensemble.project.result import Result
from ensemble.protocol.bootstrap import Bootstrap
from ensemble.protocol.evaluation_set import EvaluationSet
from ensemble.protocol.setup import Setup
from ensemble.retrieval.evidence import WHOLE, task_evidence
from ensemble.retrieval.one_pass import OnePass
from ensemble.retrieval.query_set import LabelledQuerySet
from ensemble.retrieval.task import RetrievalTask
from postproc import Evidence, Gallery, Ranking, decide, rank
from postproc.evidence.subset import with_photos
from postproc.ranking.rank import Species

HOW = (
    "the blend alone at its own decision, out-of-fold, against galleries of the other folds and of one fold less, the "
    "difference carried on to all photos along the logarithm of their number"
)


@dataclass(frozen=True, kw_only=True)
class LargerGallery(Result):
    """What test is expected to gain or lose by its larger gallery; the score itself leaves it out.

    Attributes
    ----------
    change : float
        Of MAP@5.
    error : float
        Its standard error, by drawing individuals.
    map5 : mapping of the share of the train photos that a photo meets, as text, to float
        MAP@5 of the blend alone against these galleries.
    measured : str
    """

    change: float
    error: float
    map5: Mapping[str, float]
    measured: str = HOW


def larger_gallery(setup: Setup, blend: Blend, progress: Progress | None = None) -> LargerGallery | None:
    """Estimate what the whole gallery changes; None where photos meet all but their encounter, or of two folds."""
    evaluation_set, folds = setup.evaluation_set, setup.project.catalogue.folds
    fold_ids = setup.project.catalogue.fold_ids
    if setup.retriever.leave_out != FOLD or len(fold_ids) < 3:
        return None
    query_set, n = evaluation_set.query_set, len(folds)
    now = _precision(evaluation_set, ranking_of(query_set, blend), blend)
    order, size = np.searchsorted(fold_ids, folds), np.bincount(np.searchsorted(fold_ids, folds))
    smaller, met = np.zeros_like(now), 0.0
    steps = len(fold_ids) - 1
    for step in range(1, steps + 1):
        # each query lacks the fold that is so many further on
        lacking = (order + step) % len(fold_ids)
        smaller += _precision(evaluation_set, _ranking_without(query_set, blend, np.array(fold_ids)[lacking]), blend)
        met += float((n - size[order] - size[lacking]).mean())
        if progress is not None:
            progress("smaller galleries", 1, steps)
    precisions = np.stack([now, smaller / steps])
    met_now, met_smaller = float((n - size[order]).mean()), met / steps
    factor = float(np.log(n / met_now) / np.log(met_now / met_smaller))
    scores, draws = precisions @ evaluation_set.weights, Bootstrap(evaluation_set).draws(precisions)
    return LargerGallery(
        change=factor * float(scores[0] - scores[1]),
        error=factor * float((draws[:, 0] - draws[:, 1]).std()),
        map5={
            f"{share:.2f}": float(score) for share, score in zip((met_now / n, met_smaller / n), scores, strict=True)
        },
    )


def _precision(evaluation_set: EvaluationSet, ranking: Ranking, blend: Blend) -> np.ndarray:
    lists = evaluation_set.lists(ranking, blend.background)
    return average_precisions(decide(lists, blend.decision), evaluation_set.truth)


def _ranking_without(query_set: LabelledQuerySet, blend: Blend, lacking: np.ndarray) -> Ranking:
    """Rank as if a fold were not in each query's gallery, but for the photos of its own individual."""
    weights, recipe = weights_of(query_set, blend)
    species, rankings = query_set.species, list[Ranking]()
    for task in query_set.tasks:
        rows = task.rows
        rankings.append(
            rank(
                _evidence_without(task, lacking),
                weights,
                top_photos=blend.top_photos,
                species_penalty=blend.species_penalty,
                species=Species(species.mismatch[rows], species.of_individual, species.likely[rows]),
                recipe=recipe[rows],
            )
        )
    back = np.argsort(np.concatenate([task.rows for task in query_set.tasks]))
    fields = ("individual", "score", "photo")
    return Ranking(*(np.concatenate([getattr(ranking, name) for ranking in rankings])[back] for name in fields))


def _evidence_without(task: RetrievalTask, lacking: np.ndarray) -> Evidence:
    evidence = task_evidence(task, OnePass([task], None), None, WHOLE).evidence
    labels, folds, rows = task.project.catalogue.labels, task.project.catalogue.folds, task.rows
    n_photos = np.diff(evidence.photo_start)
    query = np.repeat(np.arange(len(rows)), np.diff(evidence.group_start))
    is_own = evidence.individual == labels[rows][query]
    own_fold = -1 if task.fold is None else task.fold
    # photos that joined the gallery are of no fold
    fold_of_photo = np.append(folds, np.full(len(task.gallery.labels) - len(folds), -1))
    hidden = fold_of_photo[evidence.photo] == np.repeat(lacking[rows][query], n_photos)
    # who is missing is told as if the two folds of a query were one
    left = np.zeros(len(query), dtype=np.int64)
    people = np.empty(len(rows), dtype=np.int64)
    for fold in np.unique(lacking[rows]).tolist():
        inside = lacking[rows] == fold
        groups = np.where(fold_of_photo == fold, own_fold, fold_of_photo)
        smaller = Gallery(task.gallery.labels, groups, query_groups=task.gallery.query_groups)
        people[inside] = smaller.people_met(rows[inside])
        of_fold = inside[query]
        left[of_fold] = smaller.photos_met(rows[query[of_fold]], evidence.individual[of_fold])
    return with_photos(
        evidence,
        ~hidden | np.repeat(is_own, n_photos),
        np.where(is_own, evidence.gallery_photos, left),
        people,
    )
