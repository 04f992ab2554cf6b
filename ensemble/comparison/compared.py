"""Two blends that answer the same out-of-fold photos: matched by name, truth and fold, or refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from cv.errors import FinblendError
from cv.left_out import ENCOUNTER, FOLD
from cv.metrics import average_precisions
from ensemble.blend.blend import Blend
from ensemble.blend.load import tuned_blend
from ensemble.identification.posteriors import Answers
from ensemble.identification.scored_blend import how_measured, score_blend
from ensemble.identification.second_stage import KeptSecondStage
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.protocol.evaluation_set import EvaluationSet, build_evaluation_set
from ensemble.protocol.setup import Setup, setup_of_blend
from ensemble.registry.left_out import groups_of
from postproc import NOBODY


@dataclass(frozen=True)
class ComparedBlend:
    """One of the two: a project and a blend of it.

    Attributes
    ----------
    name : str
        What it is called in the comparison.
    project : Project
    blend : Blend
    """

    name: str
    project: Project
    blend: Blend

    @property
    def measured(self) -> str:
        """How its answers to out-of-fold photos came about."""
        return how_measured(self.blend)


def compared_blends(
    first: str | Path, second: str | Path | None, blend: str | Path | None
) -> tuple[ComparedBlend, ComparedBlend]:
    """The two to compare: of two projects, or of one project another blend and then its own.

    Raises
    ------
    FinblendError
        If both or neither of `second` and `blend` are given, or a blend is refused.
    """
    if (second is None) == (blend is None):
        raise FinblendError(
            f"{first}: compare it with another project ('finblend compare {first} P2') "
            f"or with another blend of it ('finblend compare {first} --blend FILE')"
        )
    project = Project.open(first)
    if second is None:
        return _with_kept_blend(project, Path(str(blend)))
    other = Project.open(second)
    if project.folder.resolve() == other.folder.resolve():
        raise FinblendError(f"{second}: is the same project; compare two blends of it with --blend FILE")
    names = [folder.resolve().name for folder in (project.folder, other.folder)]
    if names[0] == names[1]:
        names = [str(first), str(second)]
    return ComparedBlend(names[0], project, tuned_blend(project)), ComparedBlend(names[1], other, tuned_blend(other))


def _with_kept_blend(project: Project, kept: Path) -> tuple[ComparedBlend, ComparedBlend]:
    """A kept blend, then the project's own: the question is whether the project's own is better than it was before."""
    current = project.blend_path
    if kept.is_file() and current.is_file() and kept.samefile(current):
        raise FinblendError(f"{kept}: is the project's own blend; name another one")
    names = kept.name, current.name
    if names[0] == names[1]:
        names = str(kept), str(current)
    return (
        ComparedBlend(names[0], project, tuned_blend(project, kept)),
        ComparedBlend(names[1], project, tuned_blend(project)),
    )


def matched_rows(first: Project, second: Project) -> np.ndarray:
    """Find each train photo of the first project in the second.

    What is fitted is fitted on the other folds, and a photo may meet their photos only. So scores are comparable photo
    by photo only where both projects have the same photos of the same individuals in the same folds; how folds are
    numbered is of no matter.

    Returns
    -------
    (n,) int64 array
        Row of the second's train photos for each of the first's.

    Raises
    ------
    FinblendError
        With the first photo that differs.
    """
    photos = [
        project.catalogue.train.select("image", "individual_id", "fold").with_row_index("at")
        for project in (first, second)
    ]
    for larger, smaller, having, lacking in (
        (photos[0], photos[1], first, second),
        (photos[1], photos[0], second, first),
    ):
        extra = larger.join(smaller, on="image", how="anti")
        if extra.height:
            raise FinblendError(
                f"{lacking.folder}: lacks train photo {extra['image'][0]} of {having.folder} ({extra.height} in all): "
                "other photos make another gallery, so the two cannot be compared photo by photo"
            )
    both = photos[0].join(photos[1], on="image", how="left", suffix="_2", maintain_order="left")
    other = both.filter(pl.col("individual_id") != pl.col("individual_id_2"))
    if other.height:
        image, a, b = other.row(0, named=True)["image"], other["individual_id"][0], other["individual_id_2"][0]
        raise FinblendError(
            f"{second.folder}: train photo {image} is of {b}, but of {a} in {first.folder} ({other.height} photos "
            "differ): they have no common truth to be compared by"
        )
    pairs = both.group_by("fold", "fold_2").agg(pl.col("image").first()).sort("fold", "fold_2")
    for column in ("fold", "fold_2"):
        torn = pairs.filter(pl.col(column).is_duplicated())
        if torn.height:
            raise FinblendError(
                f"{second.folder}: its folds part the photos otherwise than {first.folder}'s (such as "
                f"{torn['image'][0]} and {torn['image'][1]}), so its photos meet other galleries; make it with "
                "'finblend init --folds' and the same folds"
            )
    return both["at_2"].to_numpy().astype(np.int64)


def asked_alike(pair: tuple[ComparedBlend, ComparedBlend], row: np.ndarray) -> tuple[ComparedBlend, ComparedBlend]:
    """Both blends scored against one gallery: where their rules or their encounters differ, the other folds' photos.

    Parameters
    ----------
    pair : tuple of two ComparedBlend
    row : (n,) int array
        As of `matched_rows`.
    """
    rules = [compared.blend.leave_out for compared in pair]
    if rules == [ENCOUNTER, ENCOUNTER]:
        groups, others = (groups_of(compared.project, ENCOUNTER) for compared in pair)
        parts = np.unique(np.stack([groups, others[row]]), axis=1).shape[1]
        if parts == len(np.unique(groups)) == len(np.unique(others)):
            return pair
    if rules == [FOLD, FOLD]:
        return pair
    first, second = (replace(compared, blend=replace(compared.blend, leave_out=FOLD)) for compared in pair)
    return first, second


@dataclass(frozen=True)
class BlendAnswers:
    """What a blend answers to the photos of an evaluation set.

    Attributes
    ----------
    labels : (m, 5) int array
        As `predict` gives them.
    photo : (m, 5) int array
        The gallery photo most like the query of each name; -1 for somebody new and nobody.
    precision : (m,) float64 array
    """

    labels: np.ndarray
    photo: np.ndarray
    precision: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, individual: np.ndarray, photo: np.ndarray, truth: np.ndarray) -> BlendAnswers:
        """From answers, and the photos of candidates."""
        hit = (labels[:, :, None] == individual[:, None, :]) & (labels >= 0)[:, :, None]
        nearest = np.take_along_axis(photo, hit.argmax(axis=2), axis=1)
        return cls(labels, np.where(hit.any(axis=2), nearest, NOBODY), average_precisions(labels, truth))


def common_evaluation_set(first: Setup, second: Setup) -> EvaluationSet:
    """The first's evaluation set, without simulated strangers where the second may not hide individuals."""
    query_set = first.evaluation_set.query_set
    if not query_set.can_hide or second.evaluation_set.query_set.can_hide:
        return first.evaluation_set
    species = first.test_species if first.mix.gallery_exponent is not None else None
    return build_evaluation_set(replace(query_set, can_hide=False), first.mix, species)


def matched_evaluation_set(setup: Setup, evaluation_set: EvaluationSet, row: np.ndarray) -> EvaluationSet:
    """The same photos with the same weights, as another project's queries; `row` as of `matched_rows`."""
    return EvaluationSet(
        query_set=setup.evaluation_set.query_set,
        queries=row[evaluation_set.queries],
        simulated_new=row[evaluation_set.simulated_new],
        weights=evaluation_set.weights,
    )


def blend_answers(
    compared: ComparedBlend, setup: Setup, evaluation_set: EvaluationSet, progress: Progress | None = None
) -> BlendAnswers:
    """What a blend submits on an evaluation set; its second stage is fitted to the mix it was tuned for."""
    if compared.blend.second_stage:
        posteriors = KeptSecondStage.of(setup.evaluation_set, compared.blend).posteriors(evaluation_set)
        labels = Answers.of(posteriors).labels
        return BlendAnswers.of(labels, posteriors.individual, posteriors.photo, evaluation_set.truth)
    scored = score_blend(replace(setup, evaluation_set=evaluation_set), compared.blend, progress)
    lists = evaluation_set.lists(scored.ranking, compared.blend.background)
    return BlendAnswers.of(scored.labels, lists.individual, lists.photo, evaluation_set.truth)


def setups_of(pair: Sequence[ComparedBlend], progress: Progress | None = None) -> tuple[Setup, Setup]:
    """The setup of each blend, in the mix that it was tuned for."""
    first, second = (setup_of_blend(compared.project, compared.blend, progress) for compared in pair)
    return first, second
