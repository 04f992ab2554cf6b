"""One `predict` for out-of-fold and test: they differ in their questions only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ensemble.blend import Blend
from ensemble.parts import Progress
from ensemble.questions import Questions
from postproc import Decision, Ranking, decide, rank
from postproc.decision import cut_for_share
from postproc.posterior import posterior_order, with_new_first
from postproc.ranking import DEPTH

if TYPE_CHECKING:
    from ensemble.second_stage import SecondStage


@dataclass(frozen=True)
class Prediction:
    """Ranked individuals and the final lists.

    Attributes
    ----------
    ranking : Ranking
        Known individuals only.
    labels : (n, 5) int32 array
        With `NEW` in its place; -1 where a list is shorter.
    recomputed : int
        Photos whose list the candidates left open: they were compared with the whole gallery.
    """

    ranking: Ranking
    labels: np.ndarray
    recomputed: int


def weights_of(questions: Questions, blend: Blend) -> tuple[np.ndarray, np.ndarray]:
    """(recipes, sources) weights, the global ones first, and which row is each question's."""
    sources = questions.evidence.sources
    named = [blend.weights, *blend.species_weights.values()]
    weights = np.array([[own.get(name, 0.0) for name in sources] for own in named])
    recipe_of_species = np.zeros(max(len(questions.species_names), 1), dtype=np.int32)
    for n, name in enumerate(blend.species_weights, start=1):
        if name in questions.species_names:
            recipe_of_species[questions.species_names.index(name)] = n
    return weights, recipe_of_species[questions.species.likely]


def ranking_of(questions: Questions, blend: Blend) -> Ranking:
    """Rank known individuals by a blend, among the candidates."""
    weights, recipe = weights_of(questions, blend)
    return rank(
        questions.evidence,
        weights,
        top_photos=blend.top_photos,
        species_penalty=blend.species_penalty,
        species=questions.species,
        recipe=recipe,
    )


def settled(
    questions: Questions, blend: Blend, ranking: Ranking, rows: np.ndarray, progress: Progress | None = None
) -> Ranking:
    """The ranking with some rows recomputed over the whole gallery, so that nothing about them is open."""
    if not len(rows):
        return ranking
    weights, recipe = weights_of(questions, blend)
    found = questions.over_whole_gallery(
        rows,
        weights[recipe[rows]],
        top_photos=blend.top_photos,
        species_penalty=blend.species_penalty,
        progress=progress,
    )
    whole = Ranking(*(np.array(a) for a in (ranking.individual, ranking.score, ranking.photo, ranking.bound)))
    for mine, theirs in zip(
        (whole.individual, whole.score, whole.photo, whole.bound),
        (found.individual, found.score, found.photo, found.bound),
        strict=True,
    ):
        if mine is not None:
            mine[rows] = theirs
    return whole


def predict(
    questions: Questions,
    blend: Blend,
    progress: Progress | None = None,
    stage: SecondStage | None = None,
    new_first: float | None = None,
) -> Prediction:
    """Name every photo; those whose list the candidates leave open are compared with the whole gallery.

    Parameters
    ----------
    questions : Questions
        With evidence for every source that has weight.
    blend : Blend
    progress : callable, optional
    stage : SecondStage, optional
        Judges the candidates of test photos instead of the blend's rule and threshold.
    new_first : float, optional
        Share of the photos that shall have somebody new in first place, in [0, 1]: moves the threshold, or with a
        stage the odds of somebody new by one factor. By default what was tuned decides.
    """
    if stage is not None:
        traits, probability = stage.of_test(questions)
        if new_first is not None:
            probability = with_new_first(probability, new_first)
        labels, _ = posterior_order(traits.individual, probability)
        return Prediction(ranking_of(questions, blend), labels, 0)
    ranking = ranking_of(questions, blend)
    # the background takes one place more than the answer
    rows = np.flatnonzero(ranking.is_open(DEPTH - 1 if blend.background else DEPTH - 2))
    ranking = settled(questions, blend, ranking, rows, progress)
    scored, decision = ranking.against_background(blend.background), blend.decision
    if new_first is not None:
        # compared as `decide` compares: float32 scores
        decision = Decision(decision.rule, cut_for_share(scored.score[:, 0].astype(np.float32), new_first))
    return Prediction(ranking, decide(scored, decision), len(rows))
