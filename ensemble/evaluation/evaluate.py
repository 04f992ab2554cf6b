"""Out-of-fold scores: of each model alone, and of the blend overall, per known and new, per species."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cv.errors import FinblendError
from cv.mix import Mix
from ensemble.blend.load import tuned_blend
from ensemble.identification.scored_blend import score_blend
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.protocol.bootstrap import Bootstrap
from ensemble.protocol.new_share import ShareLike, setup_at_share
from ensemble.protocol.scores import over_shares, per_species, summary
from ensemble.protocol.setup import Setup, mix_warnings, read_setup
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
        `recomputed` over the whole gallery, after which nothing is open), `shares` (how `map5` moves with the assumed
        share of strangers, the
        threshold as it is: one dict of `new_share, map5, known, new` each), `nested` (None, or as
        `ensemble.tuning.nested.nested_report`), `mix`, `estimate` (as of `tune`), `measured`, `warnings`.
    """
    if nested_trials < 0:
        raise FinblendError(f"--nested-trials >= 0 must hold, but got nested_trials={nested_trials}")
    project = Project.open(folder)
    blend = tuned_blend(project)
    stated = Mix(**blend.mix)
    setup, mix, estimate = setup_at_share(
        project,
        stated.new_share if new_share is None else new_share,
        stated.gallery_exponent if isinstance(gallery_exponent, str) else gallery_exponent,
        list(blend.weights),
        progress,
        blend,
        blend.operators_tried,
    )
    scored = score_blend(setup, blend, progress)
    labels, precision = scored.labels, scored.precision
    own_species = project.catalogue.species_of_individual[project.catalogue.labels]
    plain = precision[: len(setup.evaluation_set.query_set.images)]
    return {
        **summary(setup.evaluation_set, precision),
        "interval": Bootstrap(setup.evaluation_set, project.catalogue.labels).interval(precision),
        "new_first": setup.evaluation_set.share_of_new(labels),
        "raw": {"map5": float(plain.mean()), "how": "plain mean over the out-of-fold photos, no weights"},
        "species": per_species(setup.evaluation_set, project.catalogue.species, own_species, precision, labels),
        "shares": over_shares(setup, mix, scored.answers),
        "mix": mix.as_dict(),
        "estimate": estimate and estimate.as_dict(),
        "warnings": [
            *blend.changed(str(project.blend_path)),
            *mix_warnings(setup, mix),
            *(estimate.warnings() if estimate else []),
        ],
        "photos": len(plain),
        "strangers": int(np.count_nonzero(setup.evaluation_set.truth[: len(plain)] == NEW)),
        "played_strangers": len(setup.evaluation_set.hidden),
        "certified": {
            "share": 1.0 - scored.among.open,
            "least": scored.among.least,
            "most": scored.among.most,
            "recomputed": scored.recomputed,
        },
        "nested": _nested(
            project, setup, mix, float(setup.evaluation_set.weights @ precision), nested_trials, seed, progress
        )
        if nested
        else None,
        "measured": scored.measured,
    }


def _nested(
    project: Project, setup: Setup, mix: Mix, in_sample: float, trials: int, seed: int, progress: Progress | None
) -> dict[str, Any]:
    fresh = read_setup(project, mix, list(setup.models), progress, wanted=setup.wanted)
    score = nested_score(project, fresh, mix, trials=trials, seed=seed, progress=progress)
    return nested_report(project, score, in_sample)
