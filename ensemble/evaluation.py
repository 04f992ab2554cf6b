"""Out-of-fold scores: of each model alone, and of the blend overall, per known and new, per species."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cv.errors import FinblendError
from cv.metrics import average_precisions
from cv.mix import Mix
from cv.new_share import at_share
from ensemble.blend import Blend
from ensemble.bootstrap import Bootstrap
from ensemble.desk import HOW, Desk, mix_warnings, set_exam
from ensemble.exam import Exam, decided, settle_open
from ensemble.nested import TRIALS, nested_report, nested_score
from ensemble.parts import Progress
from ensemble.prediction import ranking_of
from ensemble.project import Project
from ensemble.rounds import gallery_of
from ensemble.second_stage import HOW_STAGED, SecondStage
from ensemble.sources import usable_sources
from ensemble.strangers import ShareLike, set_exam_at, stated_share
from postproc import NEW

# assumed shares of strangers that `evaluate` tells the score at
SHARES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
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
    """
    project = Project.open(folder)
    usable, refused = usable_sources(project)
    rows: list[dict[str, Any]] = []
    warnings: list[str] = []
    share = stated_share(project, new_share)
    mix, estimate = Mix(None if isinstance(share, str) else share, gallery_exponent), None
    if usable:
        desk, mix, estimate = set_exam_at(project, share, gallery_exponent, list(usable), progress)
        warnings += mix_warnings(desk, mix) + (estimate.warnings() if estimate else [])
        for name in usable:
            blend, outcome = decided(desk.exam, Blend({name: 1.0}, dict(desk.whitening), background=1.0))
            found = _summary(desk.exam, desk.exam.precisions(ranking_of(desk.exam.questions, blend), blend))
            if usable[name].frozen is not None and (found["known"] or 0.0) > SUSPICIOUS:
                warnings.append(
                    f"{name}: known photos score {found['known']:.4f} though it is registered as --frozen: "
                    "has this network seen the catalogue's labels?"
                )
            row = {"model": name, "map5": outcome.map5, "known": found["known"]}
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
        "measured": "out-of-fold, each model alone with its own best threshold (in-sample), weighted to the stated mix",
        "warnings": warnings,
    }


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
        `map5` in the mix with `interval` (95 %, bootstrap over individuals), `known`, `new`, `new_first`, `species`
        (one dict each), `raw` (plain mean over photos), `certified` (what the candidates alone decide: share of
        photos, `least` and `most` that MAP@5 lies between, and how many photos were `recomputed` over the whole
        gallery, after which nothing is open), `shares` (how `map5` moves with the assumed share of strangers, the
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
    among = desk.exam.run(blend, blend.decision)
    ranking = ranking_of(desk.exam.questions, blend)
    still = desk.exam.trials.least < desk.exam.trials.most
    ranking = settle_open(desk.exam, blend, ranking, still, progress)
    # the stage that is submitted: fitted to the mix that the blend was tuned for, whatever mix is asked about
    stage = SecondStage(desk.resit(stated), blend) if blend.second_stage else None

    def answers(exam: Exam) -> np.ndarray:
        return exam.answers(ranking, blend) if stage is None else stage.answers(exam)

    labels = answers(desk.exam)
    precision = average_precisions(labels, desk.exam.truth)
    own_species = project.catalogue.species_of_individual[project.catalogue.labels]
    plain = precision[: len(desk.exam.questions.images)]
    return {
        **_summary(desk.exam, precision),
        "interval": Bootstrap(desk.exam, project.catalogue.labels).interval(precision),
        "new_first": desk.exam.share_of_new(labels),
        "raw": {"map5": float(plain.mean()), "how": "plain mean over the out-of-fold photos, no weights"},
        "species": _per_species(desk.exam, project.catalogue.species, own_species, precision),
        "shares": _over_shares(desk, mix, answers),
        "mix": mix.as_dict(),
        "estimate": estimate and estimate.as_dict(),
        "warnings": mix_warnings(desk, mix) + (estimate.warnings() if estimate else []),
        "photos": len(plain),
        "strangers": int(np.count_nonzero(desk.exam.truth[: len(plain)] == NEW)),
        "played_strangers": len(desk.exam.hidden),
        "certified": {
            "share": 1.0 - among.open,
            "least": among.least,
            "most": among.most,
            "recomputed": len(np.unique(desk.exam.trials.query[still])),
        },
        "nested": _nested(project, desk, mix, float(desk.exam.weights @ precision), nested_trials, seed, progress)
        if nested
        else None,
        "measured": HOW if stage is None else HOW_STAGED,
    }


def _over_shares(desk: Desk, mix: Mix, answers: Callable[[Exam], np.ndarray]) -> list[dict[str, Any]]:
    """The score at other shares of strangers; shares that no out-of-fold photo can make up are left out.

    Where species have shares of their own, these keep their pattern (`cv.new_share.at_share`). Photos that sit at other
    shares only (hidden ones, where none was stated) are scored among their candidates.
    """
    found = []
    names, own = desk.exam.questions.species_names, desk.exam.questions.species.likely
    expected = desk.test_species if mix.gallery_exponent is not None else np.bincount(own, minlength=len(names))
    for share in SHARES:
        with contextlib.suppress(FinblendError):
            exam = desk.resit(at_share(mix, share, names, expected))
            told = _summary(exam, average_precisions(answers(exam), exam.truth))
            found.append({key: told[key] for key in ("new_share", "map5", "known", "new")})
    return found


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
            raise FinblendError(
                refused.get(name, f"{path}: {name} is not registered any more; tune again")
            )
        if blend.contents and blend.contents.get(name) != usable[name].out_of_fold_contents():
            raise FinblendError(
                f"{path}: {name} was registered again after tuning; run 'finblend tune' again"
            )
    if blend.gallery != gallery_of(project).fingerprint:
        raise FinblendError(
            f"{path}: was tuned with another gallery: pseudo-labels have joined or left it since; "
            f"run 'finblend tune {project.folder}' again"
        )
    return blend


def _summary(exam: Exam, precision: np.ndarray) -> dict[str, Any]:
    new = exam.truth == NEW
    return {
        "map5": float(exam.weights @ precision),
        "known": _mean(precision, exam.weights, ~new),
        "new": _mean(precision, exam.weights, new),
        "new_share": float(exam.weights[new].sum()),
    }


def _mean(precision: np.ndarray, weights: np.ndarray, chosen: np.ndarray) -> float | None:
    total = weights[chosen].sum()
    return float(weights[chosen] @ precision[chosen] / total) if total > 0 else None


def _per_species(exam: Exam, names: list[str], own_species: np.ndarray, precision: np.ndarray) -> list[dict[str, Any]]:
    species = np.append(own_species, own_species[exam.hidden])
    new, n = exam.truth == NEW, len(exam.questions.images)
    rows = []
    for s, name in enumerate(names):
        own = species == s
        if own.any():
            rows.append(
                {
                    "species": name,
                    "photos": int(own[:n].sum()),
                    "strangers": int((own & new)[:n].sum()),
                    "map5": _mean(precision, exam.weights, own),
                    "known": _mean(precision, exam.weights, own & ~new),
                    "new": _mean(precision, exam.weights, own & new),
                    "share": float(exam.weights[own].sum()),
                }
            )
    return rows
