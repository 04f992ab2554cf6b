"""Every registered model alone, out-of-fold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cv.mix import Mix
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.protocol.new_share import ShareLike, setup_at_share, stated_share
from ensemble.protocol.scores import summary
from ensemble.protocol.setup import mix_warnings
from ensemble.registry.models import Model, refuse_no_models, usable_models
from ensemble.tuning.baselines import HOW_ALONE, single_models

# a network that has never seen a catalogue's labels hardly names its known photos this well
SUSPICIOUS = 0.98


def models(
    folder: str | Path,
    *,
    new_share: ShareLike = None,
    gallery_exponent: float | None = Mix.gallery_exponent,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score each registered model alone.

    Parameters
    ----------
    folder : str or Path
    new_share, gallery_exponent
        The mix, as of `tune`; an estimate rests on equal weights.
    progress : callable, optional

    Returns
    -------
    dict
        `models`: one dict a model with `model, stores, views, map5, known, whitening, usable, reason`; `mix`,
        `estimate` (as of `tune`), `measured`, `warnings`. `map5` is out-of-fold with its own best threshold; `known`
        ignores strangers.

    Raises
    ------
    FinblendError
        If no model is registered.
    """
    project = Project.open(folder)
    # a wrong share is told before the stores are read
    share = stated_share(project, new_share)
    refuse_no_models(project)
    usable, refused = usable_models(project)
    rows: list[dict[str, Any]] = []
    warnings: list[str] = []
    mix, estimate = Mix(None if isinstance(share, str) else share, gallery_exponent), None
    if usable:
        setup, mix, estimate = setup_at_share(project, share, gallery_exponent, list(usable), progress)
        warnings += mix_warnings(setup, mix) + (estimate.warnings() if estimate else [])
        for name, alone in single_models(setup).items():
            found = summary(setup.evaluation_set, alone.precision)
            warnings += seems_to_know(name, usable[name], found["known"])
            row = {"model": name, "map5": alone.map5, "known": found["known"]}
            rows.append({**row, "whitening": setup.whitening[name]})
    rows += [{"model": name, "map5": None, "known": None, "whitening": None} for name in refused]
    stores = project.stores()
    for row in rows:
        own = stores[row["model"]]
        row |= {
            "stores": list(own),
            "views": next(iter(own.values())).manifest.views,
            "usable": row["model"] in usable,
            "reason": refused.get(row["model"]),
        }
    return {
        "models": rows,
        "mix": mix.as_dict(),
        "estimate": estimate and estimate.as_dict(),
        "measured": HOW_ALONE,
        "warnings": warnings,
    }


def seems_to_know(name: str, model: Model, known: float | None) -> list[str]:
    """A warning about a frozen network whose known photos score better than such networks do."""
    if model.frozen is None or (known or 0.0) <= SUSPICIOUS:
        return []
    return [
        f"{name}: known photos score {known:.4f} though it is registered as --frozen: "
        "has this network seen the catalogue's labels?"
    ]
