"""What tuning and evaluating share: the sources, their whitening, and the exam in the stated mix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from cv.errors import shown
from cv.mix import Mix
from ensemble.blend.blend import Blend
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.protocol.evaluation_set import Exam, sit
from ensemble.registry.models import Source, require_sources
from ensemble.retrieval.operators import Operators
from ensemble.retrieval.query_set import questions_for_test, questions_out_of_fold
from ensemble.retrieval.selection import choose_operators, choose_whitening
from postproc import NEW

HOW = (
    "in-sample: tuned and scored on the same out-of-fold photos, weighted to the stated mix; "
    "no network saw the label of a photo it scored"
)


@dataclass(frozen=True)
class Desk:
    """What tuning and evaluating need: the sources, their whitening, the exam, the species among the test photos.

    `operators` are those that sources have, `wanted` the names of those that could be chosen.
    """

    sources: Mapping[str, Source]
    whitening: Mapping[str, str]
    exam: Exam
    test_species: np.ndarray
    operators: Mapping[str, Operators] = field(default_factory=dict)
    wanted: tuple[str, ...] = ()

    def resit(self, mix: Mix, rows: np.ndarray | None = None) -> Exam:
        """The exam in a mix, of some of the questions only."""
        species = self.test_species if mix.gallery_exponent is not None else None
        return sit(self.exam.questions, mix, species, rows)


def set_exam(
    project: Project,
    mix: Mix,
    names: list[str] | None = None,
    progress: Progress | None = None,
    whitening: Mapping[str, str] | None = None,
    operators: Mapping[str, Operators] | None = None,
    wanted: tuple[str, ...] = (),
) -> Desk:
    """Compute the evidence and set the exam in the stated mix; operators are chosen among the wanted, if not given."""
    sources = require_sources(project, names)
    kinds = choose_whitening(project, sources, progress) if whitening is None else whitening
    if operators is None:
        operators = choose_operators(project, sources, kinds, wanted, progress)
    return desk_for(project, sources, kinds, mix, progress, operators, wanted)


def desk_of(project: Project, blend: Blend, progress: Progress | None = None) -> Desk:
    """The desk of a tuned blend: its models, whitening, operators and mix."""
    mix, names = Mix(**blend.mix), list(blend.weights)
    return set_exam(project, mix, names, progress, blend.whitening, blend.applied, blend.operators_tried)


def desk_for(
    project: Project,
    sources: Mapping[str, Source],
    kinds: Mapping[str, str],
    mix: Mix,
    progress: Progress | None = None,
    operators: Mapping[str, Operators] | None = None,
    wanted: tuple[str, ...] = (),
) -> Desk:
    """A desk for given sources, whitening and operators."""
    operators = operators or {}
    questions = questions_out_of_fold(project, sources, kinds, progress, operators)
    test = questions_for_test(project, sources, kinds, progress=progress, operators=operators)
    species = np.bincount(test.species.likely, minlength=test.species.doubt.shape[1]) / len(test.images)
    exam = sit(questions, mix, species if mix.gallery_exponent is not None else None)
    return Desk(sources, kinds, exam, species, operators, wanted)


def mix_warnings(desk: Desk, mix: Mix) -> list[str]:
    """What to tell of the exam: encounters in several folds, a share nobody stated, species photos cannot make up."""
    found: list[str] = []
    settings = desk.exam.questions.parts[0].project.settings
    straddling = (settings.get("report") or {}).get("straddling_encounters", 0)
    if straddling:
        found.append(
            f"{straddling} encounters have photos in several folds: out-of-fold photos meet their own sighting, "
            "and scores are too good"
        )
    exam, there = desk.exam, desk.test_species > 0
    have = exam.questions.gallery_photos
    if mix.new_share is None and have is not None:
        found.append(
            f"no --new-share was given: the raw out-of-fold share of strangers, {float((have == 0).mean()):.3f}, "
            "is assumed for test too"
        )
    if exam.joined:
        found.append(
            f"too few out-of-fold photos (strangers, or known ones) for a share of strangers of their own: "
            f"{shown(exam.joined)}; these species meet the share that they are expected to have together"
        )
    if mix.gallery_exponent is not None:
        species = exam.questions.species.likely[exam.rows[exam.trials.query]]
        for who, some in (("strangers", exam.truth == NEW), ("known photos", exam.truth != NEW)):
            sitting = some & (exam.weights > 0)
            if sitting.any() and not there[species[sitting]].any():
                found.append(
                    f"all out-of-fold {who} are of species that no test photo seems to be of: "
                    "their species are not weighted to test's"
                )
    return found
