"""What tuning and evaluating share: the sources, their whitening, and the evaluation set in the stated mix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from cv.errors import shown
from cv.mix import Mix
from ensemble.blend.blend import Blend
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.protocol.evaluation_set import EvaluationSet, build_evaluation_set
from ensemble.registry.models import Model, require_models
from ensemble.retrieval.operators import Operators
from ensemble.retrieval.query_set import queries_of_test, queries_out_of_fold
from ensemble.retrieval.selection import choose_operators, choose_whitening
from postproc import NEW

HOW = (
    "in-sample: tuned and scored on the same out-of-fold photos, weighted to the stated mix; "
    "no network saw the label of a photo it scored"
)


@dataclass(frozen=True)
class Setup:
    """What tuning and evaluating need: models, their whitening, the evaluation set, the species of the test photos.

    `operators` are those that sources have, `wanted` the names of those that could be chosen.
    """

    models: Mapping[str, Model]
    whitening: Mapping[str, str]
    evaluation_set: EvaluationSet
    test_species: np.ndarray
    operators: Mapping[str, Operators] = field(default_factory=dict)
    wanted: tuple[str, ...] = ()

    def in_mix(self, mix: Mix, rows: np.ndarray | None = None) -> EvaluationSet:
        """The evaluation set in a mix, of some of the questions only."""
        species = self.test_species if mix.gallery_exponent is not None else None
        return build_evaluation_set(self.evaluation_set.query_set, mix, species, rows)


def read_setup(
    project: Project,
    mix: Mix,
    names: list[str] | None = None,
    progress: Progress | None = None,
    whitening: Mapping[str, str] | None = None,
    operators: Mapping[str, Operators] | None = None,
    wanted: tuple[str, ...] = (),
) -> Setup:
    """The set-up in the stated mix, its evidence computed; operators are chosen among the wanted, if not given."""
    models = require_models(project, names)
    kinds = choose_whitening(project, models, progress) if whitening is None else whitening
    if operators is None:
        operators = choose_operators(project, models, kinds, wanted, progress)
    return build_setup(project, models, kinds, mix, progress, operators, wanted)


def setup_of_blend(project: Project, blend: Blend, progress: Progress | None = None) -> Setup:
    """The setup of a tuned blend: its models, whitening, operators and mix."""
    mix, names = Mix(**blend.mix), list(blend.weights)
    return read_setup(project, mix, names, progress, blend.whitening, blend.applied, blend.operators_tried)


def build_setup(
    project: Project,
    models: Mapping[str, Model],
    kinds: Mapping[str, str],
    mix: Mix,
    progress: Progress | None = None,
    operators: Mapping[str, Operators] | None = None,
    wanted: tuple[str, ...] = (),
) -> Setup:
    """A setup for given sources, whitening and operators."""
    operators = operators or {}
    query_set = queries_out_of_fold(project, models, kinds, progress, operators)
    test = queries_of_test(project, models, kinds, progress=progress, operators=operators)
    species = np.bincount(test.species.likely, minlength=test.species.mismatch.shape[1]) / len(test.images)
    evaluation_set = build_evaluation_set(query_set, mix, species if mix.gallery_exponent is not None else None)
    return Setup(models, kinds, evaluation_set, species, operators, wanted)


def mix_warnings(setup: Setup, mix: Mix) -> list[str]:
    """Warnings: encounters in several folds, a share nobody stated, species that photos cannot make up."""
    found: list[str] = []
    settings = setup.evaluation_set.query_set.tasks[0].project.settings
    straddling = (settings.get("report") or {}).get("straddling_encounters", 0)
    if straddling:
        found.append(
            f"{straddling} encounters have photos in several folds: out-of-fold photos meet their own sighting, "
            "and scores are too good"
        )
    evaluation_set, there = setup.evaluation_set, setup.test_species > 0
    have = evaluation_set.query_set.gallery_photos
    if mix.new_share is None and have is not None:
        found.append(
            f"no --new-share was given: the raw out-of-fold share of strangers, {float((have == 0).mean()):.3f}, "
            "is assumed for test too"
        )
    if evaluation_set.joined:
        found.append(
            f"too few out-of-fold photos (strangers, or known ones) for a share of strangers of their own: "
            f"{shown(evaluation_set.joined)}; these species meet the share that they are expected to have together"
        )
    if mix.gallery_exponent is not None:
        species = evaluation_set.query_set.species.likely[evaluation_set.rows[evaluation_set.trials.query]]
        for who, some in (("strangers", evaluation_set.truth == NEW), ("known photos", evaluation_set.truth != NEW)):
            scored = some & (evaluation_set.weights > 0)
            if scored.any() and not there[species[scored]].any():
                found.append(
                    f"all out-of-fold {who} are of species that no test photo seems to be of: "
                    "their species are not weighted to test's"
                )
    return found
