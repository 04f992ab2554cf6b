"""The set-up of every score: the retriever and the evaluation set in the stated mix, read once and passed on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cv.errors import shown
from cv.left_out import FOLD
from cv.mix import Mix
from ensemble.blend.blend import Blend
from ensemble.blend.load import check_gallery
from ensemble.engine.contract import Engine
from ensemble.engine.here import HERE
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.project.pseudo_rounds import GalleryAdditions, gallery_of
from ensemble.protocol.evaluation_set import EvaluationSet, build_evaluation_set
from ensemble.registry.left_out import left_out_by, silent_within_folds
from ensemble.registry.models import Model, require_models
from ensemble.registry.pair_sources import require_pair_sources
from ensemble.retrieval.retriever import Retriever
from ensemble.retrieval.selection import choose_whitening
from postproc.neighbours.approximate import EXACT, check_neighbours

if TYPE_CHECKING:
    from ensemble.protocol.new_share import NewShareEstimate

HOW = (
    "in-sample: tuned and scored on the same out-of-fold photos, weighted to the stated mix; "
    "no network saw the label of a photo it scored"
)
# up to so many train photos nobody needs approximate neighbours
FEW_PHOTOS = 50_000


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a blend is tuned and scored with.

    Attributes
    ----------
    retriever : Retriever
        Models in their spaces, the gallery, and the queries of both splits.
    mix : Mix
    evaluation_set : EvaluationSet
        In the mix.
    estimate : NewShareEstimate or None
        Where the share of strangers was estimated.
    """

    retriever: Retriever
    mix: Mix
    evaluation_set: EvaluationSet
    estimate: NewShareEstimate | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """How it comes to a worker: what it is made of is read there, for the project's folder has it all."""
        asked = self.retriever
        return _setup_read_again, (
            asked.project.folder, tuple(asked.models), dict(asked.whitening), asked.leave_out, asked.gallery,
            tuple(asked.pair_stores), asked.pairs, asked.neighbours, self.mix,
        )  # fmt: skip

    @property
    def project(self) -> Project:
        """The project."""
        return self.retriever.project

    @property
    def models(self) -> Mapping[str, Model]:
        """Its models."""
        return self.retriever.models

    @property
    def whitening(self) -> Mapping[str, str]:
        """The whitening of each model."""
        return self.retriever.whitening

    @property
    def test_species(self) -> np.ndarray:
        """(n_species,) share of each species among the test photos, as voted for them."""
        return self.retriever.of_test().species_shares

    def evaluation_set_in(self, mix: Mix, queries: np.ndarray | None = None) -> EvaluationSet:
        """The evaluation set in another mix, of some of the queries only."""
        return evaluation_set_of(self.retriever, mix, queries)

    def in_mix(self, mix: Mix, queries: np.ndarray | None = None) -> Setup:
        """The same set-up in another mix, of some of the queries only."""
        return replace(self, mix=mix, evaluation_set=self.evaluation_set_in(mix, queries))

    def with_pairs(self, pairs: tuple[str, ...]) -> Setup:
        """The same set-up with other pair sources in use; the evaluation set has the same rows and weights."""
        if pairs == self.retriever.pairs:
            return self
        retriever = replace(self.retriever, pairs=pairs)
        return replace(self, retriever=retriever, evaluation_set=self.evaluation_set.among(retriever.out_of_fold()))

    def warnings(self) -> list[str]:
        """What to tell: torn encounters, a share nobody stated, species that photos cannot make up, an estimate."""
        return mix_warnings(self) + (self.estimate.warnings() if self.estimate else [])


def read_setup(
    project: Project,
    mix: Mix,
    names: list[str] | None = None,
    *,
    pairs: list[str] | None = None,
    leave_out: str | None = None,
    neighbours: str = EXACT,
    progress: Progress | None = None,
    engine: Engine = HERE,
) -> Setup:
    """The set-up of a project's models and pair sources (all by default); the models' whitening is chosen here.

    `leave_out` as of `ensemble.registry.left_out.left_out_by`; `neighbours` as of `Blend`; `engine`: where neighbours
    are searched.
    """
    check_neighbours(neighbours)
    models, pair_stores = require_models(project, names), require_pair_sources(project, pairs)
    whitening = choose_whitening(project, models, progress)
    leave_out = left_out_by(project, leave_out, models, pair_stores, whitening)
    retriever = Retriever(
        project=project,
        models=models,
        whitening=whitening,
        leave_out=leave_out,
        gallery=gallery_of(project),
        pair_stores=pair_stores,
        neighbours=neighbours,
        progress=progress,
        engine=engine,
    )
    return setup_with(retriever, mix)


def setup_of_blend(
    project: Project, blend: Blend, progress: Progress | None = None, *, mix: Mix | None = None, engine: Engine = HERE
) -> Setup:
    """The set-up of a tuned blend: its models and whitening, in its mix or another."""
    return setup_with(retriever_of(project, blend, progress, engine), blend.mix if mix is None else mix)


def retriever_of(project: Project, blend: Blend, progress: Progress | None = None, engine: Engine = HERE) -> Retriever:
    """The retriever of a tuned blend."""
    check_neighbours(blend.neighbours)
    gallery = gallery_of(project)
    check_gallery(project, blend, gallery)
    require_pair_sources(project, list(blend.pair_sources))
    models = require_models(project, list(blend.weights))
    return Retriever(
        project=project,
        models=models,
        whitening=blend.whitening,
        leave_out=left_out_by(project, blend.leave_out, models),
        gallery=gallery,
        pair_stores=require_pair_sources(project),
        pairs=tuple(blend.pair_sources),
        neighbours=blend.neighbours,
        progress=progress,
        engine=engine,
    )


def _setup_read_again(
    folder: Path,
    names: tuple[str, ...],
    whitening: dict[str, str],
    leave_out: str,
    gallery: GalleryAdditions,
    pair_sources: tuple[str, ...],
    pairs: tuple[str, ...],
    neighbours: str,
    mix: Mix,
) -> Setup:
    project = Project.open(folder)
    retriever = Retriever(
        project=project,
        models=require_models(project, list(names)),
        whitening=whitening,
        leave_out=leave_out,
        gallery=gallery,
        pair_stores=require_pair_sources(project, list(pair_sources)),
        pairs=pairs,
        neighbours=neighbours,
    )
    return setup_with(retriever, mix)


def setup_with(retriever: Retriever, mix: Mix) -> Setup:
    """The set-up of a retriever."""
    return Setup(retriever=retriever, mix=mix, evaluation_set=evaluation_set_of(retriever, mix))


def evaluation_set_of(retriever: Retriever, mix: Mix, queries: np.ndarray | None = None) -> EvaluationSet:
    """A retriever's out-of-fold queries in a mix; test's species count where gallery photos do."""
    query_set = retriever.out_of_fold()
    test_species = None if mix.gallery_exponent is None else retriever.of_test().species_shares
    return build_evaluation_set(query_set, mix, test_species, queries)


def neighbour_warnings(setup: Setup) -> list[str]:
    """What to tell where neighbours are approximate."""
    if setup.retriever.neighbours == EXACT:
        return []
    n = len(setup.project.catalogue.labels)
    few = f"; exact ones of {n} photos take minutes at most: leave it out" if n <= FEW_PHOTOS else ""
    return [f"neighbours are approximate: no bound holds for photos that the index passes over{few}"]


def mix_warnings(setup: Setup) -> list[str]:
    """Warnings: encounters in several folds, a share nobody stated, species that photos cannot make up."""
    warnings: list[str] = []
    evaluation_set, mix = setup.evaluation_set, setup.mix
    straddling = (setup.project.settings.get("report") or {}).get("straddling_encounters", 0)
    by_fold = setup.retriever.leave_out == FOLD
    if straddling and by_fold:
        warnings.append(
            f"{straddling} encounters have photos in several folds: out-of-fold photos meet their own sighting, "
            "and scores are too good"
        )
    frozen = not any(model.frozen is None for model in setup.models.values())
    whitened = [name for name, kind in setup.whitening.items() if kind != "none"]
    if whitened and not by_fold:
        warnings.append(
            f"{whitened[0]} is whitened by other folds' photos, and photos of a photo's own fold lie otherwise in that "
            "space: with few photos scores are too low; leave out the fold"
        )
    if by_fold and frozen and not whitened:
        silent = silent_within_folds(setup.project.catalogue, setup.retriever.pair_stores)
        if silent:
            warnings.append(
                f"{silent[0]} says nothing of two photos of one fold, so photos are asked against the other folds "
                "only; match or register it again with such pairs, and against all photos but those of their encounter"
            )
    warnings += neighbour_warnings(setup)
    if mix.new_share is None:
        raw = float((evaluation_set.query_set.gallery_photos == 0).mean())
        warnings.append(
            f"no --new-share was given: the raw out-of-fold share of strangers, {raw:.3f}, is assumed for test too"
        )
    if evaluation_set.joined:
        warnings.append(
            f"too few out-of-fold photos (strangers, or known ones) for a share of strangers of their own: "
            f"{shown(evaluation_set.joined)}; these species meet the share that they are expected to have together"
        )
    if mix.gallery_exponent is not None:
        in_test = setup.test_species > 0
        for who, kind in (("strangers", evaluation_set.is_new), ("known photos", ~evaluation_set.is_new)):
            weighted = kind & (evaluation_set.weights > 0)
            if weighted.any() and not in_test[evaluation_set.species[weighted]].any():
                warnings.append(
                    f"all out-of-fold {who} are of species that no test photo seems to be of: "
                    "their species are not weighted to test's"
                )
    return warnings
