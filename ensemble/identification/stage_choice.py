"""Which second stage answers: none, one of the models alone, or one that weighs pair sources, too.

Each step is taken where it is clearly better than what would answer otherwise, paired, on out-of-fold photos, each by a
fit that never saw its fold. Pair sources join one by one, the one that gains most first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cv.metrics import average_precisions
from cv.paired import PairedTest, clearly_better
from ensemble.blend.blend import Blend
from ensemble.identification.prediction import predict
from ensemble.identification.second_stage import SecondStage
from ensemble.protocol.bootstrap import Bootstrap
from ensemble.protocol.evaluation_set import EvaluationSet
from ensemble.protocol.setup import Setup
from postproc import Ranking

# a step is taken where this share of the drawn catalogues shows a gain
SURE = 0.95


@dataclass(frozen=True, kw_only=True)
class StageGain:
    """What a second stage answers, cross-fitted, and its gain over what would answer otherwise.

    Attributes
    ----------
    labels : (n + m, 5) int array
    map5 : float
    test : PairedTest
    """

    labels: np.ndarray
    map5: float
    test: PairedTest

    @property
    def is_clear(self) -> bool:
        """Whether the stage is to be used."""
        return clearly_better(self.test, SURE)


@dataclass(frozen=True, kw_only=True)
class StageChoice:
    """What was chosen, and what it was chosen by.

    Attributes
    ----------
    stage : SecondStage or None
        None: rule and threshold answer.
    without_pairs : SecondStage or None
        What would answer if there were no pair source.
    labels : (n + m, 5) int array
        The answers to the evaluation set.
    gain : StageGain
        Of the models' stage over the blend alone, whose decision has seen the photos.
    pairs : tuple of str
        Pair sources that the stage weighs.
    gain_of_pairs : dict of str to StageGain
        Of each pair source where it joined, or would have joined first, over what answered without it.
    """

    stage: SecondStage | None
    without_pairs: SecondStage | None
    labels: np.ndarray
    gain: StageGain
    pairs: tuple[str, ...]
    gain_of_pairs: Mapping[str, StageGain]


def choose_stage(setup: Setup, blend: Blend, ranking: Ranking, kind: type[SecondStage] = SecondStage) -> StageChoice:
    """Choose the second stage of a blend on the evaluation set of a set-up.

    Parameters
    ----------
    setup : Setup
        Its pair sources are tried; none is in use.
    blend : Blend
    ranking : Ranking
        Of all queries by the blend.
    kind : type
        `KeptSecondStage` for a blend that is written.

    Raises
    ------
    FinblendError
        If some fold's photos alone carry the mix: nothing is left to fit on without it.
    """
    labels = predict(setup.evaluation_set, blend, ranking=ranking).labels
    stage = kind.of(setup.evaluation_set, blend)
    gain = gain_of_stage(stage, labels)
    chosen, labels = (stage, gain.labels) if gain.is_clear else (None, labels)
    without_pairs, pairs, gain_of_pairs = chosen, tuple[str, ...](), dict[str, StageGain]()
    left = list(setup.retriever.pair_stores)
    while left:
        stages = {name: kind.of(setup.with_pairs((*pairs, name)).evaluation_set, blend) for name in left}
        gains = {name: gain_of_stage(each, labels) for name, each in stages.items()}
        gain_of_pairs |= gains
        clear = [name for name in left if gains[name].is_clear]
        if not clear:
            break
        best = max(clear, key=lambda name: gains[name].map5)
        chosen, labels, pairs = stages[best], gains[best].labels, (*pairs, best)
        left.remove(best)
    return StageChoice(
        stage=chosen,
        without_pairs=without_pairs,
        labels=labels,
        gain=gain,
        pairs=pairs,
        gain_of_pairs=gain_of_pairs,
    )


def gain_of_stage(stage: SecondStage, labels: np.ndarray) -> StageGain:
    """Compare a stage with other answers to its evaluation set.

    Parameters
    ----------
    stage : SecondStage
    labels : (n + m, 5) int array
    """
    evaluation_set = stage.evaluation_set
    answers = predict(evaluation_set, stage.table.blend, stage=stage).labels
    test, map5 = paired_gain(evaluation_set, answers, labels)
    return StageGain(labels=answers, map5=map5, test=test)


def paired_gain(evaluation_set: EvaluationSet, answers: np.ndarray, others: np.ndarray) -> tuple[PairedTest, float]:
    """The gain of answers over others, and what the answers reach."""
    precisions = np.stack([average_precisions(labels, evaluation_set.truth) for labels in (answers, others)])
    draws = Bootstrap(evaluation_set).draws(precisions)
    map5, map5_of_others = (float(evaluation_set.weights @ precision) for precision in precisions)
    return PairedTest.of_draws(map5 - map5_of_others, draws[:, 0] - draws[:, 1]), map5
