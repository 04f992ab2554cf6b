"""Out-of-fold scores: of each model alone, and of the blend overall, per known and new, per species."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cv.errors import FinblendError
from cv.mix import Mix
from ensemble.blend import Blend
from ensemble.bootstrap import Bootstrap
from ensemble.desk import Desk, mix_warnings, set_exam
from ensemble.figures import over_shares, per_species, summary
from ensemble.nested import TRIALS, nested_report, nested_score
from ensemble.parts import Progress
from ensemble.project import Project
from ensemble.rounds import gallery_of
from ensemble.sitting import sit_blend
from ensemble.solo import HOW_ALONE, each_alone
from ensemble.sources import Source, refuse_empty_shelf, usable_sources
from ensemble.strangers import ShareLike, set_exam_at, stated_share
from postproc import NEW

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
    refuse_empty_shelf(project)
    usable, refused = usable_sources(project)
    rows: list[dict[str, Any]] = []
    warnings: list[str] = []
    mix, estimate = Mix(None if isinstance(share, str) else share, gallery_exponent), None
    if usable:
        desk, mix, estimate = set_exam_at(project, share, gallery_exponent, list(usable), progress)
        warnings += mix_warnings(desk, mix) + (estimate.warnings() if estimate else [])
        for name, alone in each_alone(desk).items():
            found = summary(desk.exam, alone.precision)
            warnings += seems_to_know(name, usable[name], found["known"])
            row = {"model": name, "map5": alone.map5, "known": found["known"]}
            rows.append({**row, "whitening": desk.whitening[name]})
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


def seems_to_know(name: str, source: Source, known: float | None) -> list[str]:
    """A warning about a frozen network whose known photos score better than such networks do."""
    if source.frozen is None or (known or 0.0) <= SUSPICIOUS:
        return []
    return [
        f"{name}: known photos score {known:.4f} though it is registered as --frozen: "
        "has this network seen the catalogue's labels?"
    ]


def evaluate(
    folder: str | Path,
    *,
    new_share: ShareLike = None,
    gallery_exponent: float | str | None = "blend",
    nested: bool = False,
    nested_trials: int = TRIALS,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
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
        Also tune without each fold in turn and score the fold: `ensemble.nested`.
    nested_trials, seed : int
        Trials per fold, and the seed of their sampler.
    progress : callable, optional

    Returns
    -------
    dict
        `map5` in the mix with `interval` (95 %, bootstrap over individuals), `known`, `new`, `new_first`, `species` (as
        `ensemble.figures.per_species`), `raw` (plain mean over photos), `certified` (what the candidates alone decide:
        share of photos, `least` and `most` that MAP@5 lies between, and how many photos were `recomputed` over the
        whole gallery, after which nothing is open), `shares` (how `map5` moves with the assumed share of strangers, the
        threshold as it is: one dict of `new_share, map5, known, new` each), `nested` (None, or as
        `ensemble.nested.nested_report`), `mix`, `estimate` (as of `tune`), `measured`, `warnings`.
    """
    if nested_trials < 0:
        raise FinblendError(f"--nested-trials >= 0 must hold, but got nested_trials={nested_trials}")
    project = Project.open(folder)
    blend = tuned_blend(project)
    stated = Mix(**blend.mix)
    desk, mix, estimate = set_exam_at(
        project,
        stated.new_share if new_share is None else new_share,
        stated.gallery_exponent if isinstance(gallery_exponent, str) else gallery_exponent,
        list(blend.weights),
        progress,
        blend,
        blend.operators_tried,
    )
    sitting = sit_blend(desk, blend, progress)
    labels, precision = sitting.labels, sitting.precision
    own_species = project.catalogue.species_of_individual[project.catalogue.labels]
    plain = precision[: len(desk.exam.questions.images)]
    return {
        **summary(desk.exam, precision),
        "interval": Bootstrap(desk.exam, project.catalogue.labels).interval(precision),
        "new_first": desk.exam.share_of_new(labels),
        "raw": {"map5": float(plain.mean()), "how": "plain mean over the out-of-fold photos, no weights"},
        "species": per_species(desk.exam, project.catalogue.species, own_species, precision, labels),
        "shares": over_shares(desk, mix, sitting.answers),
        "mix": mix.as_dict(),
        "estimate": estimate and estimate.as_dict(),
        "warnings": [
            *blend.changed(str(project.blend_path)),
            *mix_warnings(desk, mix),
            *(estimate.warnings() if estimate else []),
        ],
        "photos": len(plain),
        "strangers": int(np.count_nonzero(desk.exam.truth[: len(plain)] == NEW)),
        "played_strangers": len(desk.exam.hidden),
        "certified": {
            "share": 1.0 - sitting.among.open,
            "least": sitting.among.least,
            "most": sitting.among.most,
            "recomputed": sitting.recomputed,
        },
        "nested": _nested(project, desk, mix, float(desk.exam.weights @ precision), nested_trials, seed, progress)
        if nested
        else None,
        "measured": sitting.measured,
    }


def _nested(
    project: Project, desk: Desk, mix: Mix, in_sample: float, trials: int, seed: int, progress: Progress | None
) -> dict[str, Any]:
    fresh = set_exam(project, mix, list(desk.sources), progress, wanted=desk.wanted)
    score = nested_score(project, fresh, mix, trials=trials, seed=seed, progress=progress)
    return nested_report(project, score, in_sample)


def tuned_blend(project: Project, path: Path | None = None) -> Blend:
    """A blend of the project, its own by default; refused if there is none, or its models have changed since."""
    if path is None and not project.blend_path.is_file():
        raise FinblendError(f"{project.folder}: has no blend yet; use 'finblend tune {project.folder}'")
    path = project.blend_path if path is None else path
    blend = Blend.load(path)
    usable, refused = usable_sources(project)
    for name in blend.weights:
        if name not in usable:
            raise FinblendError(refused.get(name, f"{path}: {name} is not registered any more; tune again"))
        if blend.contents and blend.contents.get(name) != usable[name].out_of_fold_contents():
            raise FinblendError(f"{path}: {name} was registered again after tuning; run 'finblend tune' again")
    if blend.gallery != gallery_of(project).fingerprint:
        raise FinblendError(
            f"{path}: was tuned with another gallery: pseudo-labels have joined or left it since; "
            f"run 'finblend tune {project.folder}' again"
        )
    return blend
