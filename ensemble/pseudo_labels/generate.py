"""`finblend pseudo`: test photos whose name can be trusted, one set a fold and one for `full`.

What may train fold K's network must not have seen fold K's labels. So the set for fold K is named against galleries
without fold K, in spaces whose networks never saw it, by a recipe, probabilities and a threshold that were chosen on
the other folds' photos alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from cv.drift import drift_of
from cv.errors import FinblendError
from cv.files import sha256_of
from cv.mix import Mix
from cv.new_share import at_share
from cv.pseudo_labels import PseudoLabels, set_file, write_pseudo_labels
from ensemble.blend.blend import Blend
from ensemble.identification.posteriors import PosteriorModel, posterior_model_of, rescored_all
from ensemble.outputs.ready import ready_to_name
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.protocol.evaluation_set import build_evaluation_set
from ensemble.protocol.setup import mix_warnings, setup_of_blend
from ensemble.pseudo_labels.selection import RULES, SelectionCurve, TopAnswer, alone, alone_in_exam, judge, share_right
from ensemble.retrieval.query_set import QuerySet, queries_of_test
from ensemble.tuning.nested import TRIALS, HeldOutFold, tune_on_other_folds
from postproc import NEW
from postproc.ranking.rank import Species

PRECISION = 0.95
# what a set's file tells of the blend
RECIPE = {
    "weights",
    "whitening",
    "operators",
    "top_photos",
    "species_penalty",
    "background",
    "species_weights",
    "second_stage",
}
HOW = (
    "full: cross-fitted, each fold's photos by probabilities and threshold of the other folds, weights tuned on all; "
    "held out: each fold's photos by all that made that fold's set, none of it chosen on them but whether there is a "
    "second stage; "
    "both weighted to the stated mix"
)


@dataclass(frozen=True)
class _Wanted:
    """What a set shall hold: photos of a rule's value from a threshold on, chosen by precision or given."""

    rule: str
    precision: float
    min_prob: float | None

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise FinblendError(f"--rule must be one of {', '.join(RULES)}, but got {self.rule}")
        if not 0 < self.precision < 1:
            raise FinblendError(f"--precision: 0 < precision < 1 must hold, but got precision={self.precision}")
        if self.min_prob is not None and not 0 < self.min_prob <= 1:
            raise FinblendError(f"--min-prob: 0 < min_prob <= 1 must hold, but got min_prob={self.min_prob}")

    def threshold(self, judged: SelectionCurve, seen: str) -> float:
        if self.min_prob is not None:
            return self.min_prob
        found = judged.threshold(self.rule, self.precision)
        if not np.isfinite(found):
            raise FinblendError(
                f"--precision {self.precision}: no threshold of the rule {self.rule} shows it out-of-fold (set for "
                f"{seen}); ask for less, or give --min-prob"
            )
        return found


def pseudo(
    folder: str | Path,
    output: str | Path,
    *,
    precision: float = PRECISION,
    min_prob: float | None = None,
    rule: str = "confidence",
    use: str = "folds",
    trials: int = TRIALS,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the test photos whose first name can be trusted: a set for `full`, and one for each fold.

    Parameters
    ----------
    folder : str or Path
    output : str or Path
        CSV for `full`; the sets for the folds stand beside it, as `NAME-fold-K.csv`. Columns `image, individual_id,
        conf, why`; a `.json` beside each says what it has never seen and how it was made.
    precision : float
        Share of right names wanted out-of-fold, in (0, 1): the lowest threshold that keeps it is taken.
    min_prob : float, optional
        The threshold itself, instead.
    rule : {"confidence", "agreement", "gap"}
        What the threshold is compared with: the probability of the first name; the same, of photos where every model
        alone ranks that name first; the probability of the first name less that of the second answer.
    use : {"folds", "full", "both"}
        Which stores name photos for `full`, as of `submit`.
    trials, seed : int
        Of the recipe tuned without each fold, as of `tune --nested-trials`.
    progress : callable, optional

    Returns
    -------
    dict
        `rows, output, rule, precision, min_prob`, `sets` (one dict each: `seen, file, threshold, rows, share` of the
        test photos, `expected_share` and `right` out-of-fold), `held_out` (`share, right`), `drift` (see
        `cv.drift`), `mix, measured, warnings`.
    """
    wanted = _Wanted(rule, precision, min_prob)
    if trials < 0:
        raise FinblendError(f"--trials >= 0 must hold, but got trials={trials}")
    output = Path(output)
    if output.suffix != ".csv":
        raise FinblendError(f"{output}: must end in .csv")
    project, blend, models = ready_to_name(folder, output, use)
    catalogue = project.catalogue
    if len(catalogue.fold_ids) < 3:
        raise FinblendError("pseudo needs at least 3 folds: a fold's set is judged on two others")
    mix = Mix(**blend.mix)
    setup = setup_of_blend(project, blend, progress)
    sets = []
    held: list[tuple[np.ndarray, ...]] = []
    for one in tune_on_other_folds(project, setup, mix, trials=trials, seed=seed, progress=progress):
        own = replace(one.blend, second_stage=blend.second_stage)
        made, apart = _fold_set(project, replace(one, blend=own), mix, wanted, progress)
        sets.append(made)
        held.append(apart)
    posterior_model = posterior_model_of(setup.evaluation_set, blend, progress)
    by_itself = alone_in_exam(setup.evaluation_set, alone(setup.evaluation_set.query_set, blend))
    judged = judge(setup.evaluation_set, posterior_model, by_itself, catalogue.folds)
    query_set = queries_of_test(project, models, blend.whitening, use, progress, blend.applied)
    cut = wanted.threshold(judged, "full")
    share, right = judged.expected(rule, None if min_prob is not None else precision, min_prob)
    full = _named(project, "full", query_set, blend, posterior_model, wanted, cut, progress)
    sets.append(replace(full, expected_share=share, right=right))
    common = {"rule": rule, "precision": None if min_prob is not None else precision, "min_prob": min_prob}
    made_from = {**common, "use": use, "trials": trials, "seed": seed, "blend": sha256_of(project.blend_path)}
    made_from["gallery"] = blend.gallery
    written: dict[str, str] = {}
    for one_set in sets:
        path = set_file(output, one_set.seen)
        told: dict[str, Any] = {
            **made_from,
            "threshold": one_set.threshold,
            "models": one_set.models,
            "recipe": one_set.recipe,
        }
        if one_set.seen == "full":
            told["folds"] = dict(written)
        write_pseudo_labels(path, PseudoLabels(one_set.frame, one_set.seen, project.photos_hash, told))
        written[one_set.seen] = sha256_of(path)
    taken, correct, weights = (np.concatenate(each) for each in zip(*held, strict=True))
    outside = share_right(taken, correct, weights)
    return {
        "rows": sets[-1].frame.height,
        "output": str(output),
        **common,
        "sets": [one_set.told(output, catalogue.test.height) for one_set in (sets[-1], *sets[:-1])],
        "held_out": {"share": outside[0], "right": outside[1]},
        "drift": drift_of(catalogue, sets[-1].frame["individual_id"], mix.gallery_exponent),
        "mix": mix.as_dict(),
        "measured": HOW,
        "warnings": mix_warnings(setup, mix),
    }


@dataclass(frozen=True)
class _Set:
    """One set, to be written; what out-of-fold photos tell of it."""

    seen: str
    frame: pl.DataFrame
    threshold: float
    models: Mapping[str, list[str]]
    recipe: Mapping[str, Any]
    expected_share: float | None = None
    right: float | None = None

    def told(self, output: Path, test_photos: int) -> dict[str, Any]:
        return {
            "seen": self.seen,
            "file": str(set_file(output, self.seen)),
            "threshold": self.threshold,
            "rows": self.frame.height,
            "share": self.frame.height / test_photos,
            "expected_share": self.expected_share,
            "right": self.right,
        }


def _fold_set(
    project: Project, one: HeldOutFold, mix: Mix, wanted: _Wanted, progress: Progress | None
) -> tuple[_Set, tuple[np.ndarray, ...]]:
    """The set for one fold; and of the fold's own photos, which had no say in it: taken, right, weights."""
    seen, folds = f"fold-{one.fold}", project.catalogue.folds
    setup, blend = one.setup, one.blend
    query_set = queries_of_test(
        project, setup.models, setup.whitening, progress=progress, operators=setup.operators, without=one.fold
    )
    ranking = None if blend.second_stage else rescored_all(setup.evaluation_set.query_set, blend, progress)
    evaluation_set = setup.evaluation_set
    by_itself = alone(evaluation_set.query_set, blend)
    sat = np.append(evaluation_set.rows, evaluation_set.hidden)
    species = _species_shares(query_set.species) if mix.gallery_exponent is not None else None
    mix_there, photos = _met_without(project, one, mix, species)
    try:
        others = build_evaluation_set(
            replace(evaluation_set.query_set, catalogue_photos=photos),
            mix_there,
            species,
            np.flatnonzero(folds != one.fold),
        )
        posterior_model = posterior_model_of(others, blend, progress, ranking)
        judged = judge(others, posterior_model, alone_in_exam(others, by_itself), folds)
    except FinblendError as error:
        raise FinblendError(f"without fold {one.fold}, {error}") from None
    cut = wanted.threshold(judged, seen)
    made = _named(project, seen, query_set, blend, posterior_model, wanted, cut, progress)
    here = folds[sat] == one.fold
    first = TopAnswer.of(
        posterior_model.of_exam(evaluation_set, here), alone_in_exam(evaluation_set, by_itself)[:, here]
    )
    apart = (first.value(wanted.rule) >= cut, first.label == evaluation_set.truth[here], evaluation_set.weights[here])
    share, right = share_right(*apart) if apart[2].sum() > 0 else (None, None)
    return replace(made, expected_share=share, right=right), apart


def _met_without(project: Project, one: HeldOutFold, mix: Mix, species: np.ndarray | None) -> tuple[Mix, np.ndarray]:
    """The mix that test photos are in when a fold is not in their gallery, and each individual's photos there.

    Who has photos in the fold only becomes a stranger. How often that happens is told by the other folds: each in turn
    is hidden, too, and those who have photos there only are counted in the mix. Shares by species keep their pattern.
    """
    catalogue = project.catalogue
    folds, n = catalogue.folds, len(catalogue.individuals)
    rest = folds != one.fold
    photos = np.bincount(catalogue.labels[rest], minlength=n)
    exponent = 1.0 if mix.gallery_exponent is None else mix.gallery_exponent
    rate = np.where(photos > 0, photos.astype(np.float64) ** exponent, 0.0)
    lost = [
        rate[photos == np.bincount(catalogue.labels[rest & (folds == other)], minlength=n)].sum() / rate.sum()
        for other in catalogue.fold_ids
        if other != one.fold
    ]
    evaluation_set = one.others.evaluation_set
    before = float(evaluation_set.weights[evaluation_set.truth == NEW].sum())
    strangers = (evaluation_set.truth == NEW).any() or evaluation_set.query_set.can_hide
    share = before + (1 - before) * float(np.mean(lost)) if strangers else before
    if species is None:
        species = _species_shares(evaluation_set.query_set.species, evaluation_set.rows)
    return at_share(mix, share, catalogue.species, species), photos


def _species_shares(species: Species, rows: np.ndarray | None = None) -> np.ndarray:
    likely = species.likely if rows is None else species.likely[rows]
    return np.bincount(likely, minlength=species.mismatch.shape[1]) / len(likely)


def _named(
    project: Project,
    seen: str,
    query_set: QuerySet,
    blend: Blend,
    posterior_model: PosteriorModel,
    wanted: _Wanted,
    cut: float,
    progress: Progress | None,
) -> _Set:
    """The test photos whose first name the rule trusts."""
    by_itself = np.stack([r.individual[:, 0] for r in alone(query_set, blend)])
    first = TopAnswer.of(posterior_model.of_test(query_set, progress), by_itself)
    rows = np.flatnonzero(first.value(wanted.rule) >= cut)
    if not len(rows):
        raise FinblendError(f"no test photo reaches the threshold {cut:.4f} of the set for {seen}")
    names = project.catalogue.individuals
    frame = pl.DataFrame(
        {
            "image": [query_set.images[row] for row in rows],
            "individual_id": [names[label] for label in first.label[rows]],
            "conf": first.sure[rows].clip(0.0, 1.0),
            "why": [first.why(row) for row in rows.tolist()],
        }
    )
    recipe = {key: value for key, value in asdict(blend).items() if key in RECIPE}
    return _Set(seen, frame, cut, {name: query_set.tasks[0].contents[name] for name in blend.used}, recipe)
