"""Out-of-fold scores: of each model alone, and of the blend overall, per known and new, per species."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cv.errors import FinblendError
from cv.mix import Mix
from ensemble.blend.load import tuned_blend
from ensemble.identification.scored_blend import sit_blend
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.protocol.bootstrap import Bootstrap
from ensemble.protocol.new_share import ShareLike, set_exam_at
from ensemble.protocol.scores import over_shares, per_species, summary
from ensemble.protocol.setup import Desk, mix_warnings, set_exam
from ensemble.tuning.nested import TRIALS, nested_report, nested_score
from postproc import NEW


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
        Also tune without each fold in turn and score the fold: `ensemble.tuning.nested`.
    nested_trials, seed : int
        Trials per fold, and the seed of their sampler.
    progress : callable, optional

    Returns
    -------
    dict
        `map5` in the mix with `interval` (95 %, bootstrap over individuals), `known`, `new`, `new_first`, `species` (as
        `ensemble.protocol.scores.per_species`), `raw` (plain mean over photos), `certified` (what the candidates
        alone decide: share of photos, `least` and `most` that MAP@5 lies between, and how many photos were
        `recomputed` over the whole gallery, after which nothing is open), `shares` (how `map5` moves with the assumed share of strangers, the
        threshold as it is: one dict of `new_share, map5, known, new` each), `nested` (None, or as
        `ensemble.tuning.nested.nested_report`), `mix`, `estimate` (as of `tune`), `measured`, `warnings`.
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
