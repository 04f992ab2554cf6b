"""`finblend match --sample N`: what matching the whole catalogue would take, measured on N photos."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np

from backbones.local_features import FeatureStore, LocalPhotos, build_local, extract_features
from backbones.matching import Matcher, Model
from cv.errors import FinblendError
from ensemble.marks.match import VERIFY, check_options, matcher_of
from ensemble.marks.plan_rates import IndexWork, exact_rate, index_rates, timed
from ensemble.marks.plan_result import MatchPlan, PlannedGallery, PlannedStep
from ensemble.marks.verified import PICTURED, POINTS, Verifier
from ensemble.marks.voting import BLOCK, EXACT
from ensemble.networks.photos import PhotoFiles, find_photo_files
from ensemble.project.folder import Project
from ensemble.registry.models import usable_models
from postproc.lnbnn.inverted_index import learnt_from
from postproc.lnbnn.votes import MOST_PHOTOS

FEWEST = 2
ALL = "all"
# pairs that are compared for the rate, and before it, until everything is compiled
_PAIRS, _FIRST = 400, 4
# query, gallery, score and second number; x and y in both photos
_PAIR_BYTES = _POINT_BYTES = 16


@dataclass(frozen=True)
class _Sample:
    """Features of the sample, and photos a second with all workers."""

    store: FeatureStore
    rate: float


def plan_match(
    folder: str | Path,
    sample: int,
    *,
    images: Sequence[str | Path],
    features: str = "sift",
    boxes: Sequence[str] = (),
    box_form: str = "auto",
    keypoints: int = 400,
    matcher: str = "ratio",
    verify: str = "affine",
    shortlist: int = 30,
    per_species: bool = True,
    max_rotation: float = 30.0,
    mirrored: bool = False,
    workers: int | None = None,
    exact: int = EXACT,
) -> MatchPlan:
    """What `match` would take with the same options; nothing is written into the project.

    Random train photos are measured in a temporary folder; test photos are taken to be like them, species by species.
    An index is measured on the sample's descriptors and jittered copies of them. Not planned: the models' own
    candidates, which `tune` keeps anyway.

    Parameters
    ----------
    folder : str or Path
        The project.
    sample : int >= 2
        Train photos to measure; all where there are fewer.
    images, features, boxes, box_form, keypoints, matcher, verify, shortlist, per_species, max_rotation, mirrored,
    workers
        As of `match`.
    exact : int
        As of `Voting`.

    Raises
    ------
    FinblendError
        If an option is refused as by `match`, or none of the sampled photos has local features.
    """
    check_options(verify, shortlist, keypoints, max_rotation, workers)
    if sample < FEWEST:
        raise FinblendError(f"--sample >= {FEWEST} must hold, but got sample={sample}")
    project = Project.open(folder)
    workers = workers or os.cpu_count() or 1
    compares = matcher_of(matcher, features)
    photos = find_photo_files(project, images, boxes, (), box_form)
    rng = np.random.default_rng(0)
    n_train, n_test = len(project.catalogue.labels), project.catalogue.test.height
    rows = np.sort(rng.permutation(n_train)[:sample])
    with tempfile.TemporaryDirectory(prefix="finblend-plan-") as place:
        measured = _extracted(photos, rows, features, keypoints, mirrored, workers, Path(place))
        store = measured.store
        counts = store.counts("train")
        if not counts.any():
            note = next(iter(store.manifest.unreadable.values()), "nothing was found on them")
            raise FinblendError(f"none of {len(rows)} sampled photos has local features: {note}")
        pair_rate = _pair_rate(store, compares, VERIFY[verify], max_rotation, workers, rng, Path(place))
        stored = sum(path.stat().st_size for path in store.folder.glob("*.arrow"))
        descriptors, _ = store.descriptors("train", rng.permutation(len(rows)))
        views = len(store.views)
    galleries = _galleries(project, float(counts.mean()), store.width, per_species, exact)
    queries_a_photo = float(counts.mean()) * views
    steps = [
        PlannedStep.of("features", (n_train + n_test) * views, measured.rate, "photos"),
        *_voting(galleries, descriptors, queries_a_photo, rng),
        PlannedStep.of("verification", _pairs(project, galleries, shortlist, verify), pair_rate, "pairs"),
    ]
    n = n_train + n_test
    kept = sum(min(MOST_PHOTOS, each.photos) * each.queries for each in galleries) * _PAIR_BYTES
    return MatchPlan(
        sample=len(rows),
        photos={"train": n_train, "test": n_test},
        keypoints=float(counts.mean()),
        steps=steps,
        galleries=galleries,
        disk={"features": round(stored / len(rows) * n), "pairs": kept + n * PICTURED * POINTS * _POINT_BYTES},
        workers=workers,
        seconds=sum(step.seconds for step in steps),
        warnings=[],
    )


def _extracted(
    photos: PhotoFiles, rows: np.ndarray, features: str, keypoints: int, mirrored: bool, workers: int, place: Path
) -> _Sample:
    """Features of some photos, extracted by this process alone."""

    def extracted(chosen: list[int], folder: Path) -> FeatureStore:
        (boxes,) = photos.boxes
        some = LocalPhotos(
            names=[photos.names[row] for row in chosen],
            files=[photos.files[row] for row in chosen],
            boxes=[boxes[row] for row in chosen],
            train=len(chosen),
            problems={name: photos.problems[name] for row in chosen if (name := photos.names[row]) in photos.problems},
        )
        return extract_features(some, features, keypoints, folder, 0, mirrored)

    # one untimed: libraries and weights are loaded
    extracted(rows[:1].tolist(), place / "first")
    before = time.process_time()
    store, seconds = timed(lambda: extracted(rows.tolist(), place / "sample"))
    shown = len(rows) * len(store.views)
    if getattr(build_local(features, keypoints), "in_workers", False):
        # workers go side by side, each on one core: what counts is the processors' time
        return _Sample(store, shown * workers / max(time.process_time() - before, 1e-9))
    return _Sample(store, shown / seconds)


def _pair_rate(
    store: FeatureStore,
    matcher: Matcher,
    model: Model,
    max_rotation: float,
    workers: int,
    rng: np.random.Generator,
    place: Path,
) -> float:
    """Pairs a second, of random photos of the sample: most of a shortlist are no more alike."""
    verifier = Verifier(
        store=store,
        matcher=matcher,
        model=model,
        max_rotation=max_rotation,
        views=store.views,
        folder=place / "pairs",
        workers=workers,
    )
    n = len(store.counts("train"))
    a_query = min(n, ceil(_PAIRS / n))
    query = np.repeat(np.arange(n), a_query)[:_PAIRS]
    gallery = np.concatenate([np.sort(rng.permutation(n)[:a_query]) for _ in range(n)])[:_PAIRS]
    verifier.pairs("train", query[:_FIRST], gallery[:_FIRST])
    seconds = timed(lambda: verifier.pairs("train", query, gallery))[1]
    return max(len(query) - _FIRST, 1) / seconds


def _galleries(project: Project, keypoints: float, width: int, per_species: bool, exact: int) -> list[PlannedGallery]:
    catalogue = project.catalogue
    species = catalogue.species_of_individual[catalogue.labels]
    names = catalogue.species if per_species else [ALL]
    counts = np.bincount(species, minlength=len(names)) if per_species else np.array([len(species)])
    galleries = []
    for name, photos in zip(names, counts.tolist(), strict=True):
        if photos:
            n = round(photos * keypoints)
            memory = n * (4 * width if n <= exact else width + 8)
            galleries.append(
                PlannedGallery(
                    species=name,
                    photos=photos,
                    queries=photos + round(catalogue.test.height * photos / len(species)),
                    descriptors=n,
                    exact=n <= exact,
                    memory=memory,
                    peak=memory if n <= exact else memory + 4 * width * learnt_from(n),
                )
            )
    return sorted(galleries, key=lambda each: -each.descriptors)


def _voting(
    galleries: Sequence[PlannedGallery], descriptors: np.ndarray, queries_a_photo: float, rng: np.random.Generator
) -> list[PlannedStep]:
    """Steps of the votes: exact galleries, and indices as they are built and asked."""
    steps = []
    compared = [each for each in galleries if each.exact]
    if compared:
        work = sum(each.queries * queries_a_photo * each.descriptors for each in compared)
        asked = ceil(min(BLOCK, compared[0].queries) * queries_a_photo)
        rate = exact_rate(descriptors, compared[0].descriptors, asked, rng)
        steps.append(PlannedStep.of("votes, exact", work, rate, "comparisons"))
    indexed = [each for each in galleries if not each.exact]
    if indexed:
        rates = index_rates(descriptors, indexed[0].descriptors, rng)
        works = [IndexWork.of(each.descriptors) for each in indexed]
        asking = sum(each.queries * queries_a_photo * work.asking for each, work in zip(indexed, works, strict=True))
        building = sum(work.building for work in works)
        steps.append(PlannedStep.of("votes, index built", building, rates.building, "comparisons"))
        steps.append(PlannedStep.of("votes, index asked", asking, rates.asking, "scanned descriptors"))
    return steps


def _pairs(project: Project, galleries: Sequence[PlannedGallery], shortlist: int, verify: str) -> int:
    """Pairs to verify, at most: what the models and what the marks bring up seldom overlap."""
    if verify == "none":
        return 0
    lists = shortlist * (2 if usable_models(project)[0] else 1)
    return sum(each.queries * min(lists, each.photos) for each in galleries)
