"""What pair sources are worth on a project of models and pair sources, finblend's way and by WildFusion's recipe.

    python -m benchmarks.accuracy.marks PROJECT [--parts nested,noise,rehearsal] [--share 0.12] [--trials 100]
        [--nested-trials 100] [--images FOLDER] [--scratch FOLDER] [--json FILE]

Nothing is written into the project: each part works on a copy.

`nested`     finblend with its pair sources, without them, and public recipes that get the same embeddings, folds, share
             and pair scores; each fold's photos by what was fitted on the other folds; paired gains, bootstrap over
             individuals; per species.
`noise`      the same project with one pair source that says nothing: as many pairs a query, of photos drawn at random,
             their scores drawn from those of a real source.
`rehearsal`  a quarter of the train photos, drawn photo by photo, becomes a test with answers, `share` of it strangers;
             the project is made anew, its photos matched (needs --images), tuned with and without pairs, and scored.

What is measured is added to the JSON file, and docs/benchmarks-marks.md is written from it.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import ensemble
from benchmarks.accuracy import paired, public_recipes
from benchmarks.accuracy.contest import Case, out_of_fold
from benchmarks.accuracy.marks_projects import copy_of, drawn_noise, rehearsal, scores_of_pairs
from benchmarks.accuracy.wildfusion import SHORTLIST, wildfusion
from benchmarks.common.marks_page import add
from cv.mix import Mix
from ensemble.blend.load import tuned_blend
from ensemble.identification.second_stage import SecondStage
from ensemble.protocol.setup import read_setup
from ensemble.tuning.nested import nested_score
from ensemble.tuning.nested_result import NestedResult

PARTS = ("nested", "noise", "rehearsal")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path)
    parser.add_argument("--parts", default="nested,noise")
    parser.add_argument("--share", type=float, default=0.12)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--nested-trials", type=int, default=100)
    parser.add_argument("--images", type=Path, nargs="*", default=[])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--json", type=Path, default=Path("benchmarks/marks.json"))
    options = parser.parse_args()
    parts = options.parts.split(",")
    if set(parts) - set(PARTS):
        parser.error(f"--parts: must be among {', '.join(PARTS)}")
    for part in parts:
        with tempfile.TemporaryDirectory(dir=options.scratch) as place:
            measure = {"nested": nested, "noise": noise, "rehearsal": rehearsed}[part]
            print(add(options.json, "accuracy", {part: measure(options, Path(place))}), flush=True)


def nested(options: argparse.Namespace, place: Path) -> dict[str, Any]:
    """Every recipe out-of-fold."""
    case = Case("nested", ensemble.Project.open(copy_of(options.project, place / "P")), options.share, None)
    tuned = ensemble.tune(case.project.folder, trials=options.trials, new_share=case.share, nested_trials=0)
    score = nested_score(read_setup(case.project, Mix(case.share)), trials=options.nested_trials)
    result = NestedResult.of(score, tuned.map5)
    without = result.against["without_pairs"]
    scores = {
        "finblend": {"map5": result.map5},
        "finblend without pair sources": {"map5": without.map5, "gain": [without.difference, *without.interval]},
        **out_of_fold(case, recipes(case), score),
    }
    used = [", ".join(each.pairs) or "none" for each in result.folds]
    return {
        "told": f"Nested, {case.share:.0%} strangers, {options.nested_trials} trials a fold. {_recipes_told()}",
        "scores": scores,
        "species": {name: gain.as_dict() for name, gain in result.gain_of_pairs.items()},
        "notes": [
            f"pair sources that were used fold by fold: {'; '.join(used)}",
            f"predicted for a test of {result.test_photos} photos: {_span(result.prediction)}",
            *(
                f"all folds, cross-fitted: {name} {'is' if each.used else 'is not'} used, MAP@5 {each.map5:.4f}, "
                f"{each.gain:+.4f} over what answers without it (sure {each.sure:.3f})"
                for name, each in tuned.pairs.items()
            ),
            *coefficients(case, list(tuned.pairs)),
        ],
    }


def noise(options: argparse.Namespace, place: Path) -> dict[str, Any]:
    """One pair source that says nothing instead of the real ones."""
    project = ensemble.Project.open(copy_of(options.project, place / "P"))
    drawn_noise(project, "noise", options.seed)
    case = Case("noise", project, options.share, None)
    tuned = ensemble.tune(project.folder, trials=options.trials, new_share=case.share, nested_trials=0)
    score = nested_score(read_setup(project, Mix(case.share)), trials=options.nested_trials)
    result = NestedResult.of(score, tuned.map5)
    without = result.against["without_pairs"]
    used = sum(bool(each.pairs) for each in result.folds)
    judged = tuned.pairs["noise"]
    return {
        "told": "One pair source of noise, as sparse as the real one: photos and scores drawn.",
        "scores": {
            "finblend with noise": {"map5": result.map5},
            "finblend without": {"map5": without.map5, "gain": [without.difference, *without.interval]},
        },
        "notes": [
            f"noise was used in {used} of {len(result.folds)} folds",
            f"all folds: noise {'is' if judged.used else 'is not'} used; {judged.gain:+.4f} (sure {judged.sure:.3f})",
            *coefficients(case, ["noise"]),
        ],
    }


def rehearsed(options: argparse.Namespace, place: Path) -> dict[str, Any]:
    """A test with answers, drawn photo by photo from the train photos."""
    folder, answers = rehearsal(ensemble.Project.open(options.project), place / "P", options.share, options.seed)
    ensemble.match(folder, "marks", images=options.images)
    case = Case("rehearsal", ensemble.Project.open(folder), options.share, answers)
    test: dict[str, np.ndarray] = {}
    ways: list[tuple[str, list[str] | None]] = [("finblend without pair sources", []), ("finblend", None)]
    for name, pairs in ways:
        ensemble.tune(folder, trials=options.trials, new_share=case.share, nested_trials=0, pairs=pairs)
        submission = place / f"{len(test)}.csv"
        ensemble.submit(folder, submission)
        lists = pl.read_csv(submission)["predictions"].str.split(" ").to_list()
        test[name] = public_recipes.precisions(case.labels(lists), case.truth)
    for name, recipe in recipes(case).items():
        test[name] = public_recipes.precisions(public_recipes.answers(recipe, case.material), case.truth)
    scores: dict[str, Any] = {"finblend": {"map5": float(test["finblend"].mean())}}
    owner = paired.owners(answers)
    for name in [name for name in test if name != "finblend"]:
        gained = test["finblend"] - test[name]
        interval = paired.middle(paired.drawn_means(gained, owner))
        scores[name] = {"map5": float(test[name].mean()), "gain": [float(gained.mean()), *interval]}
    new, catalogue = case.truth == public_recipes.NEW, ensemble.Project.open(options.project).catalogue
    of_photo = np.array(catalogue.species)[catalogue.species_of_individual[catalogue.labels]]
    of_image = dict(zip(catalogue.train_images, of_photo.tolist(), strict=True))
    species = np.array([of_image[image] for image in case.project.catalogue.test_images])
    notes = [
        f"strangers: {new.mean():.3f} of {len(new)} test photos; MAP@5 on them {test['finblend'][new].mean():.4f} with "
        f"marks, {test['finblend without pair sources'][new].mean():.4f} without; on known ones "
        f"{test['finblend'][~new].mean():.4f} and {test['finblend without pair sources'][~new].mean():.4f}"
    ]
    for name in sorted(set(species)):
        rows = species == name
        both = [test[way][rows].mean() for way in ("finblend", "finblend without pair sources")]
        notes.append(f"{name} ({rows.sum()} photos): {both[0]:.4f} with marks, {both[1]:.4f} without")
    told = f"A quarter of the train photos as a test with answers, seed {options.seed}. {_recipes_told()}"
    return {"told": told, "scores": scores, "notes": notes}


def recipes(case: Case) -> dict[str, public_recipes.Fitted]:
    """Public recipes of the models, and WildFusion's of the models and the pair sources."""
    pairs = scores_of_pairs(case.project)
    return {
        **{name: public_recipes.recipe(name, case.material) for name in public_recipes.NAMES},
        "WildFusion": wildfusion(case.material, pairs),
        "WildFusion, no shortlist": wildfusion(case.material, pairs, None),
        "WildFusion of the models alone": wildfusion(case.material, []),
    }


def coefficients(case: Case, names: list[str]) -> list[str]:
    """How large the say of pair sources is where the stage must weigh them, in standard deviations of each trait."""
    setup = read_setup(case.project, Mix(case.share))
    blend = tuned_blend(case.project)
    notes = []
    for name in names:
        fitted = SecondStage.of(setup.with_pairs((name,)).evaluation_set, blend).fitted
        own = fitted.own.shape[1]
        models = np.abs(fitted.candidate[: len(fitted.names) - own])
        largest = np.abs(fitted.candidate[-own:]).max(), np.abs(fitted.candidate[-own:] + fitted.own).max()
        notes.append(
            f"where it is weighed in any case, {name}'s largest coefficient is {largest[0]:.2f}, with a species' own "
            f"{largest[1]:.2f}; the models' largest is {models.max():.2f} (of traits of unit spread)"
        )
    return notes


def _recipes_told() -> str:
    return (
        f"Recipes get the same embeddings, folds, share and pair scores; WildFusion's shortlist is {SHORTLIST} photos "
        "of the best network."
    )


def _span(ends: list[float]) -> str:
    return f"{ends[0]:.4f} to {ends[1]:.4f}"


if __name__ == "__main__":
    main()
