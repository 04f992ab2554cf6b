"""What is measured of the best recipe: whether a second stage is clearly better, and the honest score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from cv.errors import FinblendError
from ensemble.blend.blend import Blend
from ensemble.engine.contract import Engine
from ensemble.identification.prediction import predict
from ensemble.identification.second_stage import HOW_STAGED, KeptSecondStage
from ensemble.identification.stage_choice import choose_stage
from ensemble.project.progress import Progress
from ensemble.protocol.approximation import Approximation
from ensemble.protocol.certify import Certified
from ensemble.protocol.setup import HOW, Setup
from ensemble.registry.left_out import how_asked
from ensemble.registry.pair_sources import pair_contents
from ensemble.tuning.nested import nested_score
from ensemble.tuning.nested_result import NestedResult
from ensemble.tuning.result import StageTest


@dataclass(frozen=True, kw_only=True)
class StagedBlend:
    """A blend as it will be submitted.

    Attributes
    ----------
    blend : Blend
        With its second stage where that is clearly better.
    map5 : float
        Of its answers, in-sample or cross-fitted.
    labels : (n + m, 5) int array
        Its answers.
    test : StageTest or None
        What the models' stage was judged by; None where there can be none.
    pairs : mapping of str to StageTest
        What each pair source was judged by.
    interrupted : bool
    """

    blend: Blend
    map5: float
    labels: np.ndarray
    test: StageTest | None
    pairs: Mapping[str, StageTest]
    interrupted: bool

    @property
    def measured(self) -> str:
        """How its scores came about."""
        how = f"map5: the blend alone, {HOW};\nnew_first: {HOW_STAGED}" if self.blend.second_stage else HOW
        return how_asked(how, self.blend.leave_out)


def staged_blend(setup: Setup, certified: Certified, warnings: list[str]) -> StagedBlend:
    """Give a blend its second stage if that is clearly better; why there can be none is added to the warnings."""
    blend, ranking = certified.blend, certified.ranking
    interrupted, test = False, None
    pairs: dict[str, StageTest] = {}
    try:
        choice = choose_stage(setup, blend, ranking, KeptSecondStage)
        test = StageTest.of(choice.gain, used=choice.without_pairs is not None)
        pairs = {name: StageTest.of(gain, used=name in choice.pairs) for name, gain in choice.gain_of_pairs.items()}
        if choice.stage is not None:
            contents = pair_contents({name: setup.retriever.pair_stores[name] for name in choice.pairs})
            return StagedBlend(
                blend=replace(blend, second_stage=True, pair_sources=contents),
                map5=choice.gain_of_pairs[choice.pairs[-1]].map5 if choice.pairs else choice.gain.map5,
                labels=choice.labels,
                test=test,
                pairs=pairs,
                interrupted=False,
            )
    except KeyboardInterrupt:
        # the blend itself is done
        interrupted = True
    except FinblendError as error:
        warnings.append(f"no second stage: {error}")
    labels = predict(setup.evaluation_set, blend, ranking=ranking).labels
    return StagedBlend(
        blend=blend, map5=certified.score.map5, labels=labels, test=test, pairs=pairs, interrupted=interrupted
    )


def nested_or_why_not(
    setup: Setup,
    trials: int,
    seed: int,
    in_sample: float,
    warnings: list[str],
    progress: Progress | None,
    engine: Engine,
    approximation: Approximation | None = None,
) -> tuple[NestedResult | None, bool]:
    """The honest score, None where there is none, for a reason that is added to the warnings; whether interrupted."""
    try:
        score = nested_score(setup, trials=trials, seed=seed, progress=progress, engine=engine)
        return NestedResult.of(score, in_sample, approximation), False
    except KeyboardInterrupt:
        # the blend itself is done: it is kept without its honest score
        return None, True
    except FinblendError as error:
        warnings.append(f"no nested score: {error}")
        return None, False
