"""finblend against public recipes on the same embeddings, folds and stated share of strangers.

    python -m benchmarks.accuracy.recipes --whaleworld whaleworld.py [--scale 0.08] [--models 4] [--seeds 0-4]
    python -m benchmarks.accuracy.recipes --photoid FOLDER [--answers FILE] [--share 0.12]

and for both `[--trials 100] [--nested-trials 100] [--only-recipes] [--keep FOLDER] [--json FILE]`. What each recipe is
stands in `public_recipes.py`. `concat, best threshold` is the first one with the threshold that is best on the answers:
nobody can have it, and no threshold does better. Gains are paired: over the test's individuals (photos for strangers),
and out-of-fold as finblend's nested score, every recipe with each fold's threshold from the other folds.

`photoid` is a folder as `register` takes them (see `benchmarks/common/photoid.py`); its answers are a CSV
`image,answer`, where names that the catalogue lacks are strangers. Without answers everything is out-of-fold.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

import ensemble
from benchmarks.accuracy import paired, public_recipes, reliability
from benchmarks.accuracy.contest import AT_BEST, HIGHEST, Case, measured
from benchmarks.accuracy.drawn_worlds import SHARE, drawn, seeds_of
from benchmarks.common.photoid import photoid_project
from cv.catalogue import NEW_INDIVIDUAL


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--whaleworld")
    parser.add_argument("--scale", type=float, default=0.08)
    parser.add_argument("--models", type=int, default=4)
    parser.add_argument("--seeds", type=seeds_of, default="0-4")
    parser.add_argument("--photoid", type=Path)
    parser.add_argument("--answers", type=Path)
    parser.add_argument("--share", type=float, default=0.12)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--nested-trials", type=int, default=100)
    parser.add_argument("--only-recipes", action="store_true")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if (options.whaleworld is None) == (options.photoid is None):
        parser.error("give either --whaleworld or --photoid")
    rows, outcomes = [], []
    for case in cases(options):
        row, outcomes_of_case = measured(case, options.trials, 0 if options.only_recipes else options.nested_trials)
        rows.append(row)
        outcomes += [outcomes_of_case] if outcomes_of_case else []
        print(page(row), flush=True)
    mean = mean_of(rows)
    if len(rows) > 1:
        print(page(mean))
    if outcomes:
        print(reliability.page(outcomes))
    if options.json:
        kept = [{key: value for key, value in row.items() if key != "draws"} for row in rows]
        options.json.write_text(json.dumps({"cases": kept, "mean": mean}, indent=1) + "\n")


def cases(options: argparse.Namespace) -> Iterator[Case]:
    """What the command line asks for, one after the other."""
    if options.photoid:
        with tempfile.TemporaryDirectory() as temporary:
            folder = photoid_project(options.photoid, (options.keep or Path(temporary)) / "photoid")
            answers = options.answers and _answers(folder, options.answers)
            yield Case("photoid", ensemble.Project.open(folder), options.share, answers)
        return
    for seed in options.seeds:
        with drawn(options.whaleworld, options.scale, options.models, seed, keep=options.keep) as (world, project):
            answers = _answers(project, world / "test_answers.csv")
            yield Case(f"seed {seed}", ensemble.Project.open(project), SHARE, answers)


def _answers(project: Path, path: Path) -> list[str]:
    """Answers in the order of the test photos."""
    catalogue = ensemble.Project.open(project).catalogue
    table = pl.read_csv(path, infer_schema=False)
    answer_of = dict(zip(table["image"], table["answer"], strict=True))
    known = set(catalogue.individuals)
    return [a if (a := answer_of[image]) in known else NEW_INDIVIDUAL for image in catalogue.test_images]


def mean_of(rows: list[dict]) -> dict:
    """The same figures as means over tests; gains with the interval of their mean."""
    mean: dict = {"case": f"mean of {len(rows)}"}
    for key in ("test", "out_of_fold"):
        if all(key in row for row in rows):
            mean[key] = {name: _mean([row[key][name] for row in rows]) for name in rows[0][key]}
    for key in ("nested", "inside"):
        if all(key in row for row in rows):
            mean[key] = float(np.mean([row[key] for row in rows]))
    if all("gain" in row for row in rows):
        mean["gain"] = {}
        for name in rows[0]["gain"]:
            draws = np.mean([row["draws"][name] for row in rows], axis=0)
            mean["gain"][name] = [float(np.mean([row["gain"][name][0] for row in rows])), *paired.middle(draws)]
    return mean


def _mean(values: list) -> float | dict:
    if isinstance(values[0], dict):
        return {"map5": float(np.mean([v["map5"] for v in values])), "gain": [np.mean([v["gain"][0] for v in values])]}
    return float(np.mean(values))


def page(row: dict) -> str:
    """One test as a Markdown table."""
    out = [
        f"### {row['case']}",
        "",
        "| | test | finblend's gain | out-of-fold | finblend's gain |",
        "|---|---|---|---|---|",
    ]
    out_of_fold, test = row.get("out_of_fold", {}), row.get("test", {})
    if "nested" in row:
        prediction = f" (test in {_span(row['prediction'])})" if "prediction" in row else ""
        inside = f" ({row['inside']:.0%} inside)" if "inside" in row else ""
        out.append(f"| finblend | {_four(test.get('finblend'))}{inside} | | {row['nested']:.4f}{prediction} | |")
    for name in [*public_recipes.NAMES, HIGHEST, AT_BEST]:
        scores = out_of_fold.get(name, {})
        figures = [_four(test.get(name)), _gain(row.get("gain", {}).get(name)), _four(scores.get("map5"))]
        out.append(f"| {name} | {' | '.join([*figures, _gain(scores.get('gain'))])} |")
    return "\n".join([*out, ""])


def _four(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _span(ends: list[float]) -> str:
    return f"{ends[0]:.4f} to {ends[1]:.4f}"


def _gain(values: list[float] | None) -> str:
    if values is None:
        return "-"
    return f"{values[0]:+.4f}" + (f" ({values[1]:+.4f} to {values[2]:+.4f})" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
