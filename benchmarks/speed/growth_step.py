"""One step of the job on one project, in a process of its own: its seconds, and its highest anonymous memory.

    python -m benchmarks.speed.growth_step PROJECT STEP

prints one JSON line; run by growth.py, step after step. What an earlier step has computed is in the project's cache.

compile       nothing of the project: the search's loops, for every back end that this machine has
evidence      all that comes before the first trial: candidates of train and test photos with their similarities
trial         one trial, the quickest of five; its memory is what tuning holds
second_stage  equal weights certified, and the second stage chosen as `tune` does it once: five fits, and the bootstrap
decide        `finblend decide`
report        `finblend report`
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

import ensemble
from benchmarks.common.measuring import anonymous_memory, timed
from cv.errors import FinblendError
from cv.left_out import ENCOUNTER
from cv.mix import Mix
from ensemble.blend.blend import Blend
from ensemble.identification.second_stage import KeptSecondStage
from ensemble.identification.stage_choice import choose_stage
from ensemble.project.folder import Project
from ensemble.protocol.certify import certify
from ensemble.protocol.setup import Setup, setup_of_blend
from postproc import Space, top_k
from postproc.neighbours.lists import search_lists
from postproc.neighbours.screen_backends import BACKENDS

NEW_SHARE = 0.112


def equal_weights(project: Project) -> Blend:
    """All models alike."""
    names = sorted(project.stores())
    return Blend(dict.fromkeys(names, 1 / len(names)), mix=Mix(NEW_SHARE), background=1.0, leave_out=ENCOUNTER)


def _setup(project: Project) -> Setup:
    return setup_of_blend(project, equal_weights(project))


def compile_search(project: Project) -> float:
    """Seconds of compiling what large worlds alone use."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 400).astype(np.int32)
    spaces = []
    for _ in range(2):
        array = rng.standard_normal((400, 16)).astype(np.float32)
        spaces.append((Space(((array,),), ((array,),)), 0))
    groups = {"query_group": np.arange(400, dtype=np.int32), "gallery_group": np.arange(400, dtype=np.int32)}
    classes = {"query_class": labels, "gallery_class": labels}

    def search() -> None:
        for backend in BACKENDS:
            with contextlib.suppress(FinblendError):
                # all photos of all, all of some, and as they are searched again
                search_lists(spaces, 5, 8, backend=backend, **groups, **classes)
                search_lists(spaces, 5, 8, query_rows=np.arange(9), backend=backend, **groups, **classes)
                top_k(spaces[0][0], 5, query_rows=np.arange(9), backend=backend, **groups, **classes)

    return timed(search)[0]


def evidence(project: Project) -> float:
    """Seconds of everything before the first trial."""
    return timed(lambda: _setup(project))[0]


def trial(project: Project) -> float:
    """Seconds of a trial."""
    evaluation_set, blend = _setup(project).evaluation_set, equal_weights(project)
    evaluation_set.score(blend)
    return min(timed(lambda: evaluation_set.score(blend))[0] for _ in range(5))


def second_stage(project: Project) -> float:
    """Seconds of choosing the second stage; the blend is written with it, whether it is clearly better or not."""
    setup = _setup(project)
    seconds, certified = timed(lambda: _staged(setup, equal_weights(project)))
    contents = {name: model.out_of_fold_contents() for name, model in setup.models.items()}
    replace(certified, second_stage=True, contents=contents).save(project.blend_path)
    return seconds


def _staged(setup: Setup, blend: Blend) -> Blend:
    certified = certify(setup.evaluation_set, blend, keep=True)
    choose_stage(setup, certified.blend, certified.ranking, KeptSecondStage)
    return certified.blend


def decide(project: Project) -> float:
    """Seconds of deciding."""
    return timed(lambda: ensemble.decide(project.folder, project.folder / "decisions.csv"))[0]


def report(project: Project) -> float:
    """Seconds of the report."""
    return timed(lambda: ensemble.write_report(project.folder, project.folder / "report.html"))[0]


STEPS: dict[str, Callable[[Project], float]] = {
    "compile": compile_search,
    **{step.__name__: step for step in (evidence, trial, second_stage, decide, report)},
}


def main() -> None:
    project, step = Project.open(Path(sys.argv[1])), STEPS[sys.argv[2]]
    with anonymous_memory() as memory:
        seconds = step(project)
    print(json.dumps({"seconds": seconds, "gib": memory["gib"]}))


if __name__ == "__main__":
    main()
