"""`finblend match`: photos to a pair source: what marks say of a query photo and a gallery photo."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from backbones.pair_store import write_pair_store
from cv.errors import FinblendError
from ensemble.engine.contract import Engine
from ensemble.engine.engines import engine_of
from ensemble.engine.kept import wait_for
from ensemble.marks.asked import asked_of
from ensemble.marks.matching import Matching
from ensemble.marks.result import MatchResult
from ensemble.networks.photos import PhotoFiles, find_photo_files
from ensemble.project.folder import Project
from ensemble.project.lock import locked
from ensemble.project.progress import Progress
from ensemble.project.version import finblend_version
from ensemble.registry.pair_sources import check_pair_place

if TYPE_CHECKING:
    from backbones.local_features import FeatureStore, LocalPhotos
    from backbones.local_features.extract import Making
    from backbones.local_features.finish import Part
    from backbones.matching import Matcher, Model

VERIFY: dict[str, Model] = {"affine": "affine", "homography": "homography", "none": "none"}
MATCHERS = ("ratio", "lightglue")
MOST_KEYPOINTS = 10_000


def match(
    folder: str | Path,
    name: str,
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
    replace: bool = False,
    engine: str | Engine = "here",
    progress: Progress | None = None,
) -> MatchResult:
    """Compare photos by their marks, and keep what that says as a pair source.

    Marks of each query vote for gallery photos (`postproc.lnbnn`); what the models and the marks bring up is verified
    by geometry. Out-of-fold and test alike: a train photo meets no photo of its fold or encounter. Killed at any time,
    the same call goes on; with a further model it compares only the pairs that are new.

    Parameters
    ----------
    folder : str or Path
        The project.
    name : str
        Of the pair source.
    images : sequence of path
        Folders that hold the photos.
    features : str
        See `backbones.local_features.build_local`.
    boxes, box_form
        Where the animal is, see `ensemble.networks.photos.find_photo_files`: features beside it are left out.
    keypoints : int
        A photo, at most.
    matcher : {"ratio", "lightglue"}
    verify : {"affine", "homography", "none"}
        The map that matches of one animal have in common; "none" verifies nothing.
    shortlist : int >= 0
        Photos a query that the models bring up, and as many that its marks bring up.
    per_species : bool
        Look for marks among photos of the query's likely species only.
    max_rotation : float
        Degrees, in (0, 180], that an animal may be turned between two photos.
    mirrored : bool
        Match the mirrored query, too: the other flank.
    workers : int, optional
        Processes and threads; all cores by default.
    replace : bool
        Replace a pair source that is there.
    engine : str or Engine
        Where features are extracted, the models' neighbours searched, marks vote and pairs are compared, see
        `ensemble.engine.engines.engine_of`.
    progress : callable, optional
    """
    started = time.monotonic()
    engine = engine_of(engine)
    check_options(verify, shortlist, keypoints, max_rotation, workers)
    project = Project.open(folder)
    check_pair_place(project, name, replace=replace)
    pairing = matcher_of(matcher, features)
    workers = workers or os.cpu_count() or 1
    seconds: dict[str, float] = {}

    def timed(step: str, since: float) -> float:
        now = time.monotonic()
        seconds[step] = now - since
        return now

    with locked(project.cache / "match" / f"{name}.lock", f"{project.folder}: match {name}"):
        # local features of every photo, kept once a photo
        warnings = _seen_no_label(project, features, keypoints)
        photos = find_photo_files(project, images, boxes, (), box_form)
        store = _features(project, photos, features, keypoints, workers, mirrored, engine, progress)
        since = timed("features", started)

        # who is asked about whom, as the protocol asks models
        asked = asked_of(project, shortlist, per_species, progress, engine)
        since = timed("models", since)

        # retrieval by marks
        views = store.views if mirrored else ["orig"]
        matching = Matching(project=project, store=store, name=name, views=views, engine=engine)
        tables = matching.votes(asked, progress)
        since = timed("votes", since)

        # verification of what the models and the marks bring up
        verifier = matching.verifier(pairing, VERIFY[verify], max_rotation, workers)
        verified = matching.verified(verifier, asked, tables, shortlist, progress)
        since = timed("verification", since)

        made = {
            **{"how": "match", "features": features, "fingerprint": store.manifest.fingerprint},
            **{"keypoints": keypoints, "matcher": matcher, "verify": verify},
            **{"max_rotation": max_rotation, "mirrored": mirrored, "shortlist": shortlist, "per_species": per_species},
            **{"boxes": list(boxes), "box_form": box_form, "images": [str(Path(each).absolute()) for each in images]},
            "seconds": {**seconds, "all": since - started},
        }
        pairs = {split: matching.pairs(asked[split], tables[split], verified[split]) for split in asked}
        folder_of_pairs = project.pair_folder(name)
        written = write_pair_store(
            folder_of_pairs, name, pairs, photos_sha256=project.photos_hash, made=made, made_by=finblend_version()
        )
        matching.drop_older(verifier)
    timed("all", started)
    counts = np.concatenate([store.counts(split) for split in asked])
    return MatchResult(
        name=name,
        features=features,
        matcher=verifier.matcher.name,
        verify=verify,
        keypoints=float(counts.mean()),
        pairs=written.manifest.pairs,
        verified={split: len(each.query) for split, each in verified.items()},
        compared=verifier.compared,
        unreadable=store.manifest.unreadable,
        seconds=seconds,
        warnings=warnings,
    )


def _seen_no_label(project: Project, features: str, keypoints: int) -> list[str]:
    """Refuse features by a network that has seen a label of this catalogue: a pair source is frozen."""
    from backbones.local_features import build_local
    from ensemble.networks.embed import check_features_seen

    return check_features_seen(project, build_local(features, keypoints))


def _features(
    project: Project,
    photos: PhotoFiles,
    features: str,
    keypoints: int,
    workers: int,
    mirrored: bool,
    engine: Engine,
    progress: Progress | None,
) -> FeatureStore:
    from backbones.local_features import LocalPhotos, extract_features

    def elsewhere(making: Making, parts: Sequence[tuple[Part, LocalPhotos]]) -> Iterator[int]:
        yield from engine.map(partial(_made, making), parts, name="local features", folder=project.folder)
        wait_for(part.path for part, _ in parts)

    (boxes,) = photos.boxes
    local_photos = LocalPhotos(
        names=photos.names,
        files=photos.files,
        boxes=boxes,
        train=len(project.catalogue.labels),
        problems=photos.problems,
    )
    tell = None if progress is None else (lambda done, total: progress("local features", done, total))
    folder = project.feature_folder(features)
    # another pair source may be made of the same kind of features
    with locked(project.cache / "features" / f"{folder.name}.lock", f"{folder}: features"):
        store = extract_features(
            local_photos,
            features,
            keypoints,
            folder,
            workers,
            mirrored,
            tell,
            None if engine.cpus is None else elsewhere,
        )
        store.check_files()
        # mapped now, these files stay what they are even if another call replaces the store
        for view in store.views:
            for split in ("train", "test"):
                store.counts(split, view)
    if not any(store.counts(split).any() for split in ("train", "test")):
        what = next(iter(store.manifest.unreadable.items()), None)
        reason = "" if what is None else f"; {what[0]}: {what[1]}"
        raise FinblendError(f"--features {features}: finds nothing on any of the {len(photos.names)} photos{reason}")
    return store


def _made(making: Making, item: tuple[Part, LocalPhotos], _progress: Progress | None) -> int:
    from backbones.local_features.extract import make_part_elsewhere

    return make_part_elsewhere(making, *item)


def matcher_of(name: str, features: str) -> Matcher:
    """The matcher of a name, for features of a kind."""
    from backbones.matching import LightGlueMatcher, RatioMatcher

    if name not in MATCHERS:
        raise FinblendError(f"--matcher must be one of {', '.join(MATCHERS)}, but got {name}")
    return RatioMatcher() if name == "ratio" else LightGlueMatcher(features)


def check_options(verify: str, shortlist: int, keypoints: int, max_rotation: float, workers: int | None) -> None:
    """Refuse options out of range."""
    if verify not in VERIFY:
        raise FinblendError(f"--verify must be one of {', '.join(VERIFY)}, but got {verify}")
    if shortlist < 0:
        raise FinblendError(f"--shortlist >= 0 must hold, but got shortlist={shortlist}")
    if not 1 <= keypoints <= MOST_KEYPOINTS:
        raise FinblendError(f"--keypoints: 1 <= keypoints <= {MOST_KEYPOINTS} must hold, but got keypoints={keypoints}")
    if not 0 < max_rotation <= 180:
        raise FinblendError(f"--max-rotation: 0 < degrees <= 180 must hold, but got max_rotation={max_rotation}")
    if workers is not None and workers < 1:
        raise FinblendError(f"--workers >= 1 must hold, but got workers={workers}")
