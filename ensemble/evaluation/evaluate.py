"""Out-of-fold scores of the tuned blend: overall, per known and new, per species."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cv.errors import FinblendError
from ensemble.blend.blend import Blend
from ensemble.blend.load import tuned_blend
from ensemble.engine.contract import Engine
from ensemble.engine.engines import engine_of
from ensemble.identification.scored_blend import score_blend
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.project.result import Result
from ensemble.protocol.approximation import Approximation, measure_approximation, widened
from ensemble.protocol.bootstrap import Bootstrap
from ensemble.protocol.larger_gallery import LargerGallery, larger_gallery
from ensemble.protocol.new_share import NewShareEstimate, ShareLike, setup_at_share
from ensemble.protocol.scores import ScoreAtShare, SpeciesScore, over_shares, per_species, summary
from ensemble.protocol.setup import Setup, setup_with
from ensemble.retrieval.selection import choose_whitening
from ensemble.tuning.nested import TRIALS, nested_score
from ensemble.tuning.nested_result import NestedResult
from ensemble.tuning.result import Certificate


@dataclass(frozen=True)
class RawScore(Result):
    """The plain mean over the out-of-fold photos, without weights."""

    map5: float
    how: str = "plain mean over the out-of-fold photos, no weights"


@dataclass(frozen=True, kw_only=True)
class EvaluateResult(Result):
    """Out-of-fold scores of a blend.

    Attributes
    ----------
    map5, known, new, new_share
        In the mix, as of `ensemble.protocol.scores.Summary`.
    interval : list of float
        95 %, of `map5`, by bootstrap over individuals.
    new_first : float
        Share of answers with somebody new in first place.
    raw : RawScore
    species : list of SpeciesScore
    shares : list of ScoreAtShare
        How `map5` moves with the assumed share of strangers, the threshold as it is.
    mix : mapping
    estimate : NewShareEstimate or None
        Where the share of strangers was estimated.
    warnings : list of str
    photos, strangers, played_strangers : int
        Out-of-fold photos, those of them who are strangers, and known ones that are simulated as strangers beside.
    certified : Certificate
        What the candidates alone decide.
    approximation : Approximation or None
        What approximate neighbours were found to miss; None where they are exact.
    larger_gallery : LargerGallery or None
        What test is expected to gain or lose by its larger gallery; None where photos meet all but their encounter.
    nested : NestedResult or None
    measured : str
    """

    map5: float
    known: float | None
    new: float | None
    new_share: float
    interval: list[float]
    new_first: float
    raw: RawScore
    species: list[SpeciesScore]
    shares: list[ScoreAtShare]
    mix: Mapping[str, Any]
    estimate: NewShareEstimate | None
    warnings: list[str]
    photos: int
    strangers: int
    played_strangers: int
    certified: Certificate
    approximation: Approximation | None
    larger_gallery: LargerGallery | None
    nested: NestedResult | None
    measured: str


def evaluate(
    folder: str | Path,
    *,
    new_share: ShareLike = None,
    gallery_exponent: float | str | None = "blend",
    nested: bool = False,
    nested_trials: int = TRIALS,
    seed: int = 0,
    engine: str | Engine = "here",
    progress: Progress | None = None,
) -> EvaluateResult:
    """Score the tuned blend out-of-fold.

    Parameters
    ----------
    folder : str or Path
    new_share : float, mapping of str to float, path or "estimate", optional
        Another share of strangers than the blend was tuned for, as of `tune`; its threshold stays as it is. An estimate
        rests on the blend's scores.
    gallery_exponent : float, None or "blend"
        Another gallery mix, see `cv.Mix`.
    nested : bool
        Also tune without each fold in turn and score the fold: `ensemble.tuning.nested`.
    nested_trials, seed : int
        Trials per fold, and the seed of their sampler.
    engine : str or Engine
        Where neighbours are searched and the folds are tuned, see `ensemble.engine.engines.engine_of`.
    progress : callable, optional
    """
    if nested_trials < 0:
        raise FinblendError(f"--nested-trials >= 0 must hold, but got nested_trials={nested_trials}")
    engine = engine_of(engine)
    project = Project.open(folder)
    blend = tuned_blend(project)
    setup = setup_at_share(
        project,
        blend.mix.new_share if new_share is None else new_share,
        blend.mix.gallery_exponent if isinstance(gallery_exponent, str) else gallery_exponent,
        progress=progress,
        blend=blend,
        engine=engine,
    )
    scored = score_blend(setup, blend, progress)
    evaluation_set, precision = setup.evaluation_set, scored.precision
    approximation = measure_approximation(setup, blend, scored.ranking, progress)
    as_itself = ~evaluation_set.is_simulated
    score = summary(evaluation_set, precision)
    return EvaluateResult(
        map5=score.map5,
        known=score.known,
        new=score.new,
        new_share=score.new_share,
        interval=widened(Bootstrap(evaluation_set).interval(precision), approximation),
        new_first=evaluation_set.share_of_new(scored.labels),
        raw=RawScore(float(precision[as_itself].mean())),
        species=per_species(evaluation_set, precision, scored.labels),
        shares=over_shares(setup, scored.answers),
        mix=setup.mix.as_dict(),
        estimate=setup.estimate,
        warnings=[*blend.changed(str(project.blend_path)), *setup.warnings()],
        photos=int(as_itself.sum()),
        strangers=int((evaluation_set.is_new & as_itself).sum()),
        played_strangers=len(evaluation_set.simulated_new),
        certified=Certificate.of(scored.over_candidates, scored.rescored, approximation),
        approximation=approximation,
        larger_gallery=larger_gallery(setup, blend, progress),
        nested=(
            _nested(setup, blend, score.map5, nested_trials, seed, engine, approximation, progress) if nested else None
        ),
        measured=scored.measured,
    )


def _nested(
    setup: Setup,
    blend: Blend,
    in_sample: float,
    trials: int,
    seed: int,
    engine: Engine,
    approximation: Approximation | None,
    progress: Progress | None,
) -> NestedResult:
    """The nested score of the same models, pair sources and mix, whitening chosen anew."""
    tried = {*blend.pair_sources, *(blend.measured.get("pairs") or {})}
    stores = {name: store for name, store in setup.retriever.pair_stores.items() if name in tried}
    whitening = choose_whitening(setup.project, setup.models, progress)
    fresh = setup_with(replace(setup.retriever, whitening=whitening, pair_stores=stores, pairs=()), setup.mix)
    score = nested_score(fresh, trials=trials, seed=seed, progress=progress, engine=engine)
    return NestedResult.of(score, in_sample, approximation)
