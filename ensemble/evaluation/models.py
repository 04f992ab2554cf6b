"""Every registered model alone, out-of-fold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backbones.store import Store
from cv.mix import Mix
from ensemble.engine.contract import Engine
from ensemble.engine.engines import engine_of
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.project.result import Result
from ensemble.protocol.new_share import NewShareEstimate, ShareLike, setup_at_share, stated_share
from ensemble.protocol.scores import summary
from ensemble.registry.left_out import how_asked
from ensemble.registry.models import Model, refuse_no_models, usable_models
from ensemble.registry.pair_sources import PairSource, pair_sources
from ensemble.tuning.baselines import HOW_ALONE, single_models
from postproc.neighbours.approximate import EXACT, check_neighbours

# a network that has never seen a catalogue's labels hardly names its known photos this well
SUSPICIOUS = 0.98


@dataclass(frozen=True, kw_only=True)
class ModelScore(Result):
    """One registered model.

    Attributes
    ----------
    model : str
    map5 : float or None
        Out-of-fold, alone, with its own best threshold; None where it cannot be scored.
    known : float or None
        The same of known photos: strangers are ignored.
    whitening : str or None
    stores : list of str
    views : mapping of str to int
        The width of each.
    usable : bool
    reason : str or None
        Why it is not.
    """

    model: str
    map5: float | None
    known: float | None
    whitening: str | None
    stores: list[str]
    views: Mapping[str, int]
    usable: bool
    reason: str | None

    @classmethod
    def of(
        cls,
        name: str,
        stores: Mapping[str, Store],
        *,
        map5: float | None = None,
        known: float | None = None,
        whitening: str | None = None,
        reason: str | None = None,
    ) -> ModelScore:
        """From a model's stores and, where it can be scored, its scores."""
        return cls(
            model=name,
            map5=map5,
            known=known,
            whitening=whitening,
            stores=list(stores),
            views=next(iter(stores.values())).manifest.views,
            usable=reason is None,
            reason=reason,
        )


@dataclass(frozen=True, kw_only=True)
class ModelsResult(Result):
    """Every registered model alone, and what pair sources there are; the rest as of `EvaluateResult`."""

    models: list[ModelScore]
    pair_sources: list[PairSource]
    mix: Mapping[str, Any]
    estimate: NewShareEstimate | None
    measured: str
    warnings: list[str]


def models(
    folder: str | Path,
    *,
    new_share: ShareLike = None,
    gallery_exponent: float | None = Mix.gallery_exponent,
    leave_out: str | None = None,
    neighbours: str = EXACT,
    engine: str | Engine = "here",
    progress: Progress | None = None,
) -> ModelsResult:
    """Score each registered model alone.

    Parameters
    ----------
    folder : str or Path
    new_share, gallery_exponent
        The mix, as of `tune`; an estimate rests on equal weights.
    leave_out : {"encounter", "fold"}, optional
        As of `tune`.
    neighbours : {"exact", "approximate"}
        As of `tune`.
    engine : str or Engine
        Where neighbours are searched, see `ensemble.engine.engines.engine_of`.
    progress : callable, optional

    Raises
    ------
    FinblendError
        If no model is registered.
    """
    engine = engine_of(engine)
    check_neighbours(neighbours)
    project = Project.open(folder)
    # a wrong share is told before the stores are read
    share = stated_share(project, new_share)
    refuse_no_models(project)
    usable, refused = usable_models(project)
    stores, warnings = project.stores(), list[str]()
    rows: list[ModelScore] = []
    mix, estimate = Mix(None if isinstance(share, str) else share, gallery_exponent), None
    if usable:
        setup = setup_at_share(
            project,
            share,
            gallery_exponent,
            list(usable),
            leave_out=leave_out,
            neighbours=neighbours,
            progress=progress,
            engine=engine,
        )
        mix, estimate = setup.mix, setup.estimate
        warnings += setup.warnings()
        for name, alone in single_models(setup).items():
            known = summary(setup.evaluation_set, alone.precision).known
            warnings += seems_to_know(name, usable[name], known)
            whitening = setup.whitening[name]
            rows.append(ModelScore.of(name, stores[name], map5=alone.map5, known=known, whitening=whitening))
    rows += [ModelScore.of(name, stores[name], reason=reason) for name, reason in refused.items()]
    return ModelsResult(
        models=rows,
        pair_sources=pair_sources(project),
        mix=mix.as_dict(),
        estimate=estimate,
        measured=how_asked(HOW_ALONE, setup.retriever.leave_out) if usable else HOW_ALONE,
        warnings=warnings,
    )


def seems_to_know(name: str, model: Model, known: float | None) -> list[str]:
    """A warning about a frozen network whose known photos score better than such networks do."""
    if model.frozen is None or (known or 0.0) <= SUSPICIOUS:
        return []
    return [
        f"{name}: known photos score {known:.4f} though it is registered as --frozen: "
        "has this network seen the catalogue's labels?"
    ]
