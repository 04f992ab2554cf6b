"""What each optional operator gains by itself: one model's MAP@5 on known photos, out-of-fold and on test.

    python -m benchmarks.accuracy.operators whaleworld.py [--scale 0.04] [--models 3] [--seeds 31,32] [--per-fold]
    python -m benchmarks.accuracy.operators --project P [--model NAME]

A line a model and operator: the best of the operator's settings by out-of-fold photos, its gain there with the standard
error of the paired difference (in-sample: it is the best of six), whether it is `clear` enough to be chosen, and, where
answers are known, the gain of that same setting on test. Nothing is chosen by test.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

import ensemble
from benchmarks.accuracy.drawn_worlds import drawn
from benchmarks.common.world import World
from cv.metrics import average_precisions
from cv.paired import PairedTest, clearly_better
from ensemble.registry.models import Model, require_models
from ensemble.retrieval.neighbours import nearest
from ensemble.retrieval.operators import FIELDS, Operators
from ensemble.retrieval.reciprocal import reranked
from ensemble.retrieval.selection import GRID, SURE_OF_OPERATOR, choose_whitening, compared
from ensemble.retrieval.task import RetrievalTask
from postproc import build_evidence, rank
from postproc.transforms.reciprocal_evidence import mix_reciprocal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("whaleworld", nargs="?")
    parser.add_argument("--scale", type=float, default=0.04)
    parser.add_argument("--models", type=int, default=3)
    parser.add_argument("--seeds", default="31,32")
    parser.add_argument("--per-fold", action="store_true")
    parser.add_argument("--project")
    parser.add_argument("--model", action="append")
    options = parser.parse_args()
    print("| world | model | operator | setting | out-of-fold | gain | clear | test | gain on test |")
    print("|---|---|---|---|---|---|---|---|---|")
    if options.project:
        _print_gains(options.project, ensemble.Project.open(options.project), options.model, None)
        return
    for seed in options.seeds.split(","):
        with drawn(options.whaleworld, options.scale, options.models, int(seed), options.per_fold) as (world, project):
            _print_gains(f"seed {seed}", ensemble.Project.open(project), options.model, World(world).answers)


def _print_gains(world: str, project: ensemble.Project, names: list[str] | None, answers: list[str] | None) -> None:
    models = require_models(project, names)
    kinds = choose_whitening(project, models)
    for name, model in models.items():
        for row in _rows(project, name, model, kinds[name], answers):
            print(f"| {world} | {name} | {' | '.join(row)} |", flush=True)


def _rows(
    project: ensemble.Project, name: str, model: Model, kind: str, answers: list[str] | None
) -> Iterator[list[str]]:
    plain = None if answers is None else _on_test(project, name, model, kind, Operators(), answers)
    for operator, grid in GRID.items():
        settings = [Operators(), *(Operators(**{FIELDS[operator]: setting}) for setting in grid)]
        table = compared(project, name, model, kind, settings, operator)
        gain = table[1:] - table[0]
        best = int(gain.mean(axis=1).argmax())
        mean, error = gain[best].mean(), gain[best].std() / np.sqrt(table.shape[1])
        is_clear = clearly_better(PairedTest.of_photos(gain[best]), SURE_OF_OPERATOR)
        chosen = ", ".join(f"{key} {value:g}" for key, value in settings[1 + best].as_dict()[operator].items())
        row = [operator, chosen, f"{table[0].mean():.4f}", f"{mean:+.4f} ± {error:.4f}"]
        row.append("yes" if is_clear else "no")
        if plain is None or answers is None:
            yield [*row, "-", "-"]
            continue
        change = _on_test(project, name, model, kind, settings[1 + best], answers) - plain
        yield [*row, f"{plain.mean():.4f}", f"{change.mean():+.4f} ± {change.std() / np.sqrt(len(change)):.4f}"]


def _on_test(
    project: ensemble.Project, name: str, model: Model, kind: str, operators: Operators, answers: list[str]
) -> np.ndarray:
    """Average precision of each test photo of a known individual."""
    catalogue = project.catalogue
    index = {individual: i for i, individual in enumerate(catalogue.individuals)}
    truth = np.array([index.get(answer, -1) for answer in answers])
    rows = np.flatnonzero(truth >= 0)
    stores = model.test_stores("folds")
    contents = {name: [store.manifest.content_sha256 for store in stores]}
    task = RetrievalTask(
        project=project,
        name="measured",
        split="test",
        models={name: model},
        whitening={name: kind},
        stores={name: stores},
        raw={name: model.test("folds")},
        contents=contents,
        rows=rows,
        fold=None,
        operators={name: operators},
    )
    with task.spaces() as spaces:
        near = nearest(task, lambda: spaces, None)
        evidence = build_evidence(spaces, task.views, near, task.gallery, rows)
        evidence = mix_reciprocal(evidence, task.views, reranked(task, lambda: spaces, None), rows)
    return average_precisions(rank(evidence, np.ones(1)).individual, truth[rows])


if __name__ == "__main__":
    main()
