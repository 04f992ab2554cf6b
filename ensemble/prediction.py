"""One `predict` for out-of-fold and test: they differ in their questions only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ensemble.blend import Blend
from ensemble.questions import Questions
from postproc import Ranking, decide, rank


@dataclass(frozen=True)
class Prediction:
    """Ranked individuals and the final lists.

    Attributes
    ----------
    ranking : Ranking
        Known individuals only.
    labels : (n, 5) int32 array
        With `NEW` in its place; -1 where a list is shorter.
    """

    ranking: Ranking
    labels: np.ndarray


def ranking_of(questions: Questions, blend: Blend) -> Ranking:
    """Rank known individuals by a blend."""
    return rank(
        questions.evidence,
        np.array([blend.weights.get(name, 0.0) for name in questions.evidence.sources]),
        top_photos=blend.top_photos,
        species_penalty=blend.species_penalty,
        doubt=questions.doubt,
        species_of_individual=questions.species_of_individual,
    )


def predict(questions: Questions, blend: Blend) -> Prediction:
    """Name every photo.

    Parameters
    ----------
    questions : Questions
        With evidence for every source that has weight.
    blend : Blend
    """
    ranking = ranking_of(questions, blend)
    return Prediction(ranking, decide(ranking.against_background(blend.background), blend.decision))
