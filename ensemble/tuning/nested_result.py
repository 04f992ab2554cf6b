"""What a nested score says: per row, per fold, and against what was treated the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ensemble.blend.blend import Blend
from ensemble.project.result import Result
from ensemble.protocol.approximation import Approximation, widened
from ensemble.protocol.bootstrap import Bootstrap, interval_of, prediction_interval
from ensemble.protocol.evaluation_set import EvaluationSet
from ensemble.registry.left_out import how_asked

if TYPE_CHECKING:
    from ensemble.tuning.nested import HeldOutFold

HOW = (
    "nested out-of-fold: each fold is scored by a blend tuned on the other folds alone, weighted to the stated mix; "
    "no network saw the label of a photo it scored"
)


@dataclass(frozen=True, kw_only=True)
class HeldOutResult(Result):
    """What was chosen without a fold, and how it did there.

    Attributes
    ----------
    fold : int
    map5 : float or None
        None where the mix leaves the fold without weight.
    weights : mapping of str to float
    single : str
        The best single model of the other folds.
    top_photos, species_penalty, background, rule, threshold
        As of `Blend`.
    kappa : float or None
        As of `with_species_weights`.
    second_stage : bool
    pairs : list of str
        Pair sources that it weighs.
    whitening : mapping of str to str
    """

    fold: int
    map5: float | None
    weights: Mapping[str, float]
    single: str
    top_photos: int
    species_penalty: float
    background: float
    rule: str
    threshold: float
    kappa: float | None
    second_stage: bool
    pairs: list[str]
    whitening: Mapping[str, str]

    @classmethod
    def of(
        cls, held_out: HeldOutFold, map5: float | None, single: Blend, second_stage: bool, pairs: list[str]
    ) -> HeldOutResult:
        """From what was tuned without the fold."""
        blend = held_out.blend
        return cls(
            fold=held_out.fold,
            map5=map5,
            weights=blend.weights,
            single=max(single.weights, key=lambda name: single.weights[name]),
            top_photos=blend.top_photos,
            species_penalty=blend.species_penalty,
            background=blend.background,
            rule=blend.rule,
            threshold=blend.threshold,
            kappa=held_out.kappa,
            second_stage=second_stage,
            pairs=pairs,
            whitening=dict(held_out.setup.whitening),
        )


@dataclass(frozen=True, kw_only=True)
class NestedScore:
    """Precisions of photos that no choice was made on.

    Attributes
    ----------
    evaluation_set : EvaluationSet
    blend, without_pairs, plain, single, equal : (n + m,) float64 arrays
        Average precision of each row: by the blend with its second stage and pair sources where these were chosen, by
        the blend as it would be if there were no pair sources, by the blend without second stage, by the best single
        model, by equal weights.
    folds : list of HeldOutResult
    width : float
        How much of MAP@5 the candidates leave open.
    has_pairs : bool
        Whether there were pair sources to choose.
    """

    evaluation_set: EvaluationSet
    blend: np.ndarray
    without_pairs: np.ndarray
    plain: np.ndarray
    single: np.ndarray
    equal: np.ndarray
    folds: list[HeldOutResult]
    width: float
    has_pairs: bool


@dataclass(frozen=True, kw_only=True)
class Against(Result):
    """A recipe that was treated the same: its score, the paired difference to it, and both intervals (95 %)."""

    map5: float
    difference: float
    interval: list[float]
    own_interval: list[float]


@dataclass(frozen=True, kw_only=True)
class SpeciesGain(Result):
    """What pair sources gain on the photos of a species.

    Attributes
    ----------
    share : float
        Of the evaluation set's weight.
    without, gain : float
        MAP@5 without pair sources, and what they add; nested.
    interval : list of float
        95 % of the gain, bootstrap over individuals.
    """

    share: float
    without: float
    gain: float
    interval: list[float]


def _gain_of_species(score: NestedScore, bootstrap: Bootstrap) -> dict[str, SpeciesGain]:
    evaluation_set = score.evaluation_set
    species, names = evaluation_set.species, evaluation_set.query_set.species_names
    precisions = np.stack([score.blend, score.without_pairs])
    draws = bootstrap.grouped(precisions, species, len(names))
    gains = {}
    for s, name in enumerate(names):
        weights = np.where(species == s, evaluation_set.weights, 0.0)
        if weights.any():
            with_pairs, without = precisions @ weights / weights.sum()
            gains[name] = SpeciesGain(
                share=float(weights.sum()),
                without=float(without),
                gain=float(with_pairs - without),
                interval=interval_of(draws[:, s, 0] - draws[:, s, 1]),
            )
    return gains


@dataclass(frozen=True, kw_only=True)
class NestedResult(Result):
    """What `tune` and `evaluate --nested` tell of a nested score.

    Attributes
    ----------
    map5, in_sample, optimism : float
        The nested score, what the same recipe reached on the photos it was tuned on, and the difference.
    interval : list of float
        95 %, bootstrap over individuals.
    prediction : list of float
        95 % for a test of the real one's size.
    test_photos : int
    against : mapping of str to Against
        `single`, `equal`, `plain`, the blend alone, and where there are pair sources `without_pairs`.
    gain_of_pairs : mapping of str to SpeciesGain
        What pair sources gain on the photos of each species, where there are pair sources.
    folds : list of HeldOutResult
    width : float
        How much of MAP@5 the candidates leave open.
    measured : str
    """

    map5: float
    in_sample: float
    optimism: float
    interval: list[float]
    prediction: list[float]
    test_photos: int
    against: Mapping[str, Against]
    gain_of_pairs: Mapping[str, SpeciesGain]
    folds: list[HeldOutResult]
    width: float
    measured: str

    @classmethod
    def of(cls, score: NestedScore, in_sample: float, approximation: Approximation | None = None) -> NestedResult:
        """From a nested score, beside the in-sample one, and what approximate neighbours may have changed."""
        evaluation_set = score.evaluation_set
        weights, test_photos = evaluation_set.weights, evaluation_set.catalogue.test.height
        names = ["single", "equal", "plain"]
        if score.has_pairs:
            names.append("without_pairs")
        stacked = np.stack([score.blend, *(getattr(score, name) for name in names)])
        means = stacked @ weights
        bootstrap = Bootstrap(evaluation_set)
        draws = bootstrap.draws(stacked)
        map5 = float(means[0])
        return cls(
            map5=map5,
            in_sample=in_sample,
            optimism=in_sample - map5,
            interval=widened(interval_of(draws[:, 0]), approximation),
            prediction=widened(prediction_interval(map5, draws[:, 0], weights, test_photos), approximation),
            test_photos=test_photos,
            against={
                name: Against(
                    map5=float(means[n]),
                    difference=float(means[0] - means[n]),
                    interval=interval_of(draws[:, 0] - draws[:, n]),
                    own_interval=interval_of(draws[:, n]),
                )
                for n, name in enumerate(names, start=1)
            },
            gain_of_pairs=_gain_of_species(score, bootstrap) if "without_pairs" in names else {},
            folds=score.folds,
            width=score.width,
            measured=how_asked(HOW, evaluation_set.query_set.leave_out),
        )
