"""`finblend pseudo`: test photos whose name can be trusted, one set a fold and one for `full`.

What may train fold K's network must not have seen fold K's labels. So the set for fold K is named against galleries
without fold K, in spaces whose networks never saw it, by a recipe, probabilities and a threshold that were chosen on
the other folds' photos alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from cv.drift import drift_of
from cv.errors import FinblendError
from cv.files import sha256_of
from cv.pseudo_labels import PseudoLabels, set_file, write_pseudo_labels
from ensemble.blend.blend import Blend
from ensemble.identification.posteriors import PosteriorModel
from ensemble.identification.rank_posterior import wholly_certain_ranking
from ensemble.identification.scored_blend import posterior_model_of
from ensemble.outputs.ready import ready_to_name
from ensemble.project.progress import Progress
from ensemble.protocol.evaluation_set import build_evaluation_set
from ensemble.pseudo_labels.mix_without_fold import mix_without_fold
from ensemble.pseudo_labels.result import HeldOutShare, PseudoResult, SetResult
from ensemble.pseudo_labels.selection import (
    RULES,
    SelectionCurve,
    TopAnswer,
    assess,
    first_alone,
    rankings_alone,
    share_right,
)
from ensemble.registry.left_out import how_asked
from ensemble.retrieval.query_set import QuerySet
from ensemble.tuning.nested import TRIALS, HeldOutFold, tune_on_other_folds

PRECISION = 0.95
# what a set's file tells of the blend
RECIPE = {
    "weights",
    "whitening",
    "top_photos",
    "species_penalty",
    "background",
    "species_weights",
    "second_stage",
    "pair_sources",
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

    @property
    def stated_precision(self) -> float | None:
        return None if self.min_prob is not None else self.precision

    def threshold(self, curve: SelectionCurve, seen: str) -> float:
        if self.min_prob is not None:
            return self.min_prob
        cut = curve.threshold(self.rule, self.precision)
        if not np.isfinite(cut):
            raise FinblendError(
                f"--precision {self.precision}: no threshold of the rule {self.rule} shows it out-of-fold (set for "
                f"{seen}); ask for less, or give --min-prob"
            )
        return cut


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
) -> PseudoResult:
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
    """
    wanted = _Wanted(rule, precision, min_prob)
    if trials < 0:
        raise FinblendError(f"--trials >= 0 must hold, but got trials={trials}")
    output = Path(output)
    if output.suffix != ".csv":
        raise FinblendError(f"{output}: must end in .csv")
    ready = ready_to_name(folder, output, use, progress)
    project, blend, setup = ready.project, ready.blend, ready.setup
    catalogue = project.catalogue
    if len(catalogue.fold_ids) < 3:
        raise FinblendError("pseudo needs at least 3 folds: a fold's set is judged on two others")
    sets: list[_Set] = []
    held_out: list[tuple[np.ndarray, ...]] = []
    for tuned in tune_on_other_folds(setup, trials=trials, seed=seed, progress=progress):
        # judged as the blend judges, by the pair sources that it weighs
        pairs = setup.retriever.pairs
        staged = replace(
            tuned,
            setup=tuned.setup.with_pairs(pairs),
            others=tuned.others.with_pairs(pairs),
            blend=replace(tuned.blend, second_stage=blend.second_stage, pair_sources=blend.pair_sources),
        )
        fold_set, outside = _fold_set(staged, wanted, progress)
        sets.append(fold_set)
        held_out.append(outside)
    posterior_model = posterior_model_of(setup.evaluation_set, blend, progress)
    alone = first_alone(setup.evaluation_set, rankings_alone(setup.evaluation_set.query_set, blend))
    curve = assess(setup.evaluation_set, posterior_model, alone)
    cut = wanted.threshold(curve, "full")
    share, right = curve.expected(rule, wanted.stated_precision, min_prob)
    full = _named("full", ready.test_queries, blend, posterior_model, wanted, cut)
    full = replace(full, expected_share=share, right=right)
    made_from = {
        "rule": rule,
        "precision": wanted.stated_precision,
        "min_prob": min_prob,
        "use": use,
        "trials": trials,
        "seed": seed,
        "blend": sha256_of(project.blend_path),
        "gallery": blend.gallery,
    }
    hashes: dict[str, str] = {}
    for each in (*sets, full):
        path = set_file(output, each.seen)
        made = {**made_from, "threshold": each.threshold, "models": each.models, "recipe": each.recipe}
        if each is full:
            made["folds"] = dict(hashes)
        write_pseudo_labels(path, PseudoLabels(each.frame, each.seen, project.photos_hash, made))
        hashes[each.seen] = sha256_of(path)
    return PseudoResult(
        rows=full.frame.height,
        output=str(output),
        rule=rule,
        precision=wanted.stated_precision,
        min_prob=min_prob,
        sets=[each.result(output, catalogue.test.height) for each in (full, *sets)],
        held_out=HeldOutShare(*share_right(*(np.concatenate(each) for each in zip(*held_out, strict=True)))),
        drift=drift_of(catalogue, full.frame["individual_id"], blend.mix.gallery_exponent),
        mix=blend.mix.as_dict(),
        measured=how_asked(HOW, blend.leave_out),
        warnings=setup.warnings(),
    )


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

    def result(self, output: Path, test_photos: int) -> SetResult:
        return SetResult(
            seen=self.seen,
            file=str(set_file(output, self.seen)),
            threshold=self.threshold,
            rows=self.frame.height,
            share=self.frame.height / test_photos,
            expected_share=self.expected_share,
            right=self.right,
        )


def _fold_set(
    held_out: HeldOutFold, wanted: _Wanted, progress: Progress | None
) -> tuple[_Set, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The set for one fold; and of the fold's own photos, which had no say in it: taken, right, weights."""
    seen, setup, blend = f"fold-{held_out.fold}", held_out.setup, held_out.blend
    test_queries = setup.retriever.of_test_without(held_out.fold)
    evaluation_set, folds = setup.evaluation_set, setup.project.catalogue.folds
    query_set = evaluation_set.query_set
    ranking = None if blend.second_stage else wholly_certain_ranking(query_set, blend, progress)
    rankings = rankings_alone(query_set, blend)
    species = test_queries.species_shares if setup.mix.gallery_exponent is not None else None
    mix, photos = mix_without_fold(held_out, species)
    try:
        others = build_evaluation_set(
            replace(query_set, catalogue_photos=photos), mix, species, np.flatnonzero(folds != held_out.fold)
        )
        posterior_model = posterior_model_of(others, blend, progress, ranking)
        curve = assess(others, posterior_model, first_alone(others, rankings))
    except FinblendError as error:
        raise FinblendError(f"without fold {held_out.fold}, {error}") from None
    cut = wanted.threshold(curve, seen)
    fold_set = _named(seen, test_queries, blend, posterior_model, wanted, cut)
    inside = evaluation_set.fold == held_out.fold
    first = TopAnswer.of(
        posterior_model.held_out(evaluation_set, inside), first_alone(evaluation_set, rankings)[:, inside]
    )
    taken, weights = first.value(wanted.rule) >= cut, evaluation_set.weights[inside]
    outside = (taken, first.label == evaluation_set.truth[inside], weights)
    share, right = share_right(*outside) if weights.sum() > 0 else (None, None)
    return replace(fold_set, expected_share=share, right=right), outside


def _named(
    seen: str, query_set: QuerySet, blend: Blend, posterior_model: PosteriorModel, wanted: _Wanted, cut: float
) -> _Set:
    """The test photos whose first name the rule trusts."""
    alone = first_alone(query_set, rankings_alone(query_set, blend))
    first = TopAnswer.of(posterior_model.posteriors(query_set), alone)
    rows = np.flatnonzero(first.value(wanted.rule) >= cut)
    if not len(rows):
        raise FinblendError(f"no test photo reaches the threshold {cut:.4f} of the set for {seen}")
    names = query_set.catalogue.individuals
    frame = pl.DataFrame(
        {
            "image": [query_set.images[row] for row in rows],
            "individual_id": [names[label] for label in first.label[rows]],
            "conf": first.sure[rows].clip(0.0, 1.0),
            "why": [first.why(row) for row in rows.tolist()],
        }
    )
    recipe = {key: value for key, value in blend.as_dict().items() if key in RECIPE}
    return _Set(seen, frame, cut, {name: query_set.tasks[0].contents[name] for name in blend.used}, recipe)
