"""One test, finblend and public recipes on it: what each scores on the answers and out-of-fold, and paired gains."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

import ensemble
from benchmarks.accuracy import paired, public_recipes, reliability
from cv.mix import Mix
from ensemble.protocol.bootstrap import Bootstrap
from ensemble.protocol.setup import read_setup
from ensemble.tuning.nested import nested_score
from ensemble.tuning.nested_result import NestedResult, NestedScore

# the threshold that is best on the answers; the highest of the three recipes on this test
AT_BEST, HIGHEST = "concat, best threshold", "highest recipe"


@dataclass(frozen=True)
class Case:
    """One test: a project with its models registered, and the answers of its test photos where they are known."""

    name: str
    project: ensemble.Project
    share: float
    answers: list[str] | None

    @cached_property
    def material(self) -> public_recipes.Material:
        """What the recipes get: the registered embeddings."""
        catalogue, stores = self.project.catalogue, self.project.stores()
        train, test = ([kinds["frozen"].embedding(s, "orig") for kinds in stores.values()] for s in ("train", "test"))
        return public_recipes.Material(train, test, catalogue.labels, catalogue.folds, self.share)

    def labels(self, names: list[list[str]]) -> np.ndarray:
        """Names as labels; somebody new is `public_recipes.NEW`, so is whom the catalogue lacks."""
        index = {name: n for n, name in enumerate(self.project.catalogue.individuals)}
        width = max(map(len, names))
        labels = np.full((len(names), width), public_recipes.NOBODY)
        for row, names_of_row in zip(labels, names, strict=True):
            row[: len(names_of_row)] = [index.get(name, public_recipes.NEW) for name in names_of_row]
        return labels

    @property
    def truth(self) -> np.ndarray:
        """(m,) right answers of the test photos."""
        return self.labels([[name] for name in self.answers or []])[:, 0]


def measured(case: Case, trials: int, nested_trials: int) -> tuple[dict, dict[str, reliability.Outcomes] | None]:
    """Everything about one test, of the recipes alone without nested trials; draws of gains are kept for a mean."""
    fitted = {name: public_recipes.recipe(name, case.material) for name in public_recipes.NAMES}
    row: dict = {"case": case.name, "share": case.share}
    test: dict[str, np.ndarray] = {}
    if case.answers is not None:
        for name, recipe in fitted.items():
            test[name] = public_recipes.precisions(public_recipes.answers(recipe, case.material), case.truth)
        first, even = fitted["concat"], np.ones(len(case.truth))
        best = public_recipes.grid_threshold(first.test, case.truth, even, first.rule)
        test[HIGHEST] = max(test.values(), key=np.mean)
        test[AT_BEST] = public_recipes.precisions(public_recipes.lists(first.test, first.rule, best), case.truth)
    outcomes = None
    if nested_trials:
        submission, decisions = (case.project.folder / f"{name}.csv" for name in ("submission", "decisions"))
        score, nested = blended(case, submission, trials, nested_trials)
        row |= {"nested": nested.map5, "interval": nested.interval, "prediction": nested.prediction}
        row["out_of_fold"] = out_of_fold(case, fitted, score)
        if case.answers is not None:
            ensemble.decide(case.project.folder, decisions)
            outcomes = reliability.outcomes(decisions, case.answers)
            lists = pl.read_csv(submission)["predictions"].str.split(" ").to_list()
            test["finblend"] = public_recipes.precisions(case.labels(lists), case.truth)
            row["inside"] = bool(nested.prediction[0] <= test["finblend"].mean() <= nested.prediction[1])
    if test:
        row["test"] = {name: float(precision.mean()) for name, precision in test.items()}
    if "finblend" in test:
        row["gain"], row["draws"] = {}, {}
        for name in [name for name in test if name != "finblend"]:
            gained = test["finblend"] - test[name]
            row["draws"][name] = paired.drawn_means(gained, paired.owners(case.answers or []))
            row["gain"][name] = [float(gained.mean()), *paired.middle(row["draws"][name])]
    return row, outcomes


def blended(case: Case, submission: Path, trials: int, nested_trials: int) -> tuple[NestedScore, NestedResult]:
    """finblend's own way: tune, submit, and the nested score photo by photo."""
    folder = case.project.folder
    tuned = ensemble.tune(folder, trials=trials, new_share=case.share, nested_trials=0)
    ensemble.submit(folder, submission)
    score = nested_score(read_setup(case.project, Mix(case.share)), trials=nested_trials)
    return score, NestedResult.of(score, tuned.map5)


def out_of_fold(case: Case, fitted: dict[str, public_recipes.Fitted], score: NestedScore) -> dict:
    """Each recipe on the photos of the nested score, in its mix: MAP@5, finblend's gain and its interval."""
    evaluation_set = score.evaluation_set
    photos = evaluation_set.queries, evaluation_set.simulated_new, evaluation_set.weights
    precisions = [public_recipes.nested_precisions(recipe, case.material, *photos) for recipe in fitted.values()]
    draws = Bootstrap(evaluation_set).draws(np.stack([score.blend, *precisions]))
    scores = {}
    for n, (name, precision) in enumerate(zip(fitted, precisions, strict=True), start=1):
        gain = float(evaluation_set.weights @ (score.blend - precision))
        scores[name] = {
            "map5": float(evaluation_set.weights @ precision),
            "gain": [gain, *paired.middle(draws[:, 0] - draws[:, n])],
        }
    return scores
