"""What `tune` returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ensemble.identification.stage_choice import StageGain
from ensemble.project.result import Result
from ensemble.protocol.approximation import Approximation, widened
from ensemble.protocol.larger_gallery import LargerGallery
from ensemble.protocol.new_share import NewShareEstimate
from ensemble.tuning.convergence import Convergence
from ensemble.tuning.nested_result import NestedResult
from ensemble.tuning.shapley import Contribution
from postproc.ranking.scorer import BlendScore


@dataclass(frozen=True, kw_only=True)
class Certificate(Result):
    """What the candidates leave open of the blend's own score.

    Attributes
    ----------
    share : float
        Of the photos that the candidates decide.
    least, most : float
        What they leave MAP@5 between; with approximate neighbours with what those may have changed.
    recomputed : int
        Photos that were compared with the whole gallery, after which nothing is open.
    """

    share: float
    least: float
    most: float
    recomputed: int

    @classmethod
    def of(cls, score: BlendScore, rescored: int, approximation: Approximation | None = None) -> Certificate:
        """From the score over the candidates, and how many photos were compared with the whole gallery."""
        least, most = widened((score.lower, score.upper), approximation)
        return cls(share=1.0 - score.undecided, least=least, most=most, recomputed=rescored)


@dataclass(frozen=True, kw_only=True)
class StageTest(Result):
    """Whether a second stage, or a pair source in it, is used, and what that was judged by.

    Attributes
    ----------
    used : bool
    map5 : float
        Of the stage, cross-fitted over folds.
    gain : float
        Over what would answer otherwise: the blend alone, whose decision has seen the photos it is scored on, or for a
        pair source what answers without it.
    sure : float
        Share of drawn catalogues (bootstrap over individuals) in which there is a gain.
    """

    used: bool
    map5: float
    gain: float
    sure: float

    @classmethod
    def of(cls, gain: StageGain, *, used: bool) -> StageTest:
        """From the gain, and what came of it."""
        return cls(used=used, map5=gain.map5, gain=gain.test.gain, sure=gain.test.sure)


@dataclass(frozen=True, kw_only=True)
class TuneResult(Result):
    """What tuning found.

    Attributes
    ----------
    map5 : float
        In-sample, of the blend alone.
    map5_of_answers : float
        Of what `submit` writes, as `evaluate` tells it: the second stage's cross-fitted where there is one.
    nested : NestedResult or None
        The honest score.
    larger_gallery : LargerGallery or None
        What test is expected to gain or lose by its larger gallery; None where photos meet all but their encounter.
    threshold, rule, weights, species_weights, whitening, top_photos, species_penalty, background
        As of `Blend`.
    kappa : float or None
        How strongly weights per species are shrunk.
    trials, new_trials : int
        All that the study has, and those of this call.
    seconds : float
    equal_weights, greedy : float
        In-sample scores of these starting points.
    single_models : mapping of str to float
    contributions : mapping of str to Contribution
    certified : Certificate
    approximation : Approximation or None
        What approximate neighbours were found to miss; None where they are exact.
    enough : Convergence
        After which trial more gained less than `gain`.
    second_stage : StageTest or None
        The models' own; None where there can be none.
    pairs : mapping of str to StageTest
        Of each pair source.
    mix : mapping
    estimate : NewShareEstimate or None
        Where the share of strangers was estimated.
    new_first : float
        Share of answers with somebody new in first place.
    measured : str
    interrupted : bool
    warnings : list of str
    """

    map5: float
    map5_of_answers: float
    nested: NestedResult | None
    larger_gallery: LargerGallery | None
    threshold: float
    rule: str
    weights: Mapping[str, float]
    species_weights: Mapping[str, Mapping[str, float]]
    kappa: float | None
    whitening: Mapping[str, str]
    top_photos: int
    species_penalty: float
    background: float
    trials: int
    new_trials: int
    seconds: float
    equal_weights: float
    greedy: float
    single_models: Mapping[str, float]
    contributions: Mapping[str, Contribution]
    certified: Certificate
    approximation: Approximation | None
    enough: Convergence
    second_stage: StageTest | None
    pairs: Mapping[str, StageTest]
    mix: Mapping[str, Any]
    estimate: NewShareEstimate | None
    new_first: float
    measured: str
    interrupted: bool
    warnings: list[str]
