"""`finblend merge`: pseudo-labels join the project as a round of their own, with a ledger of where they came from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from cv.drift import drift_of
from cv.errors import FinblendError
from cv.files import folder_written_beside, sha256_of, write_json
from cv.mix import Mix
from cv.pseudo_labels import PseudoLabels, read_pseudo_labels, set_file, write_pseudo_labels
from cv.tables import read_table
from ensemble.blend.blend import Blend
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.project.pseudo_rounds import KINDS, LEDGER, AddedPhotos, GalleryAdditions, rounds
from ensemble.project.version import finblend_version
from ensemble.pseudo_labels.gallery_effect import GalleryEffect, gallery_effect
from ensemble.pseudo_labels.result import MergeResult


def merge(
    folder: str | Path,
    file: str | Path,
    *,
    kind: str = "training",
    min_prob: float | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> MergeResult:
    """Merge pseudo-labels into the project as a round; they never score anything.

    Parameters
    ----------
    folder : str or Path
    file : str or Path
        What `pseudo` wrote for `full`: the sets for the folds that stand beside it come along. Or a table from
        elsewhere, `image, individual_id, conf[, species]`: it serves `full` only, for nobody knows what it has seen.
    kind : {"training", "gallery"}
        What the round is for: `train --pseudo round-N`, or photos that others are compared with.
    min_prob : float, optional
        Rows of a table from elsewhere below this confidence are left out.
    force : bool
        Merge into the gallery though that is not shown to help.
    progress : callable, optional
    """
    if kind not in KINDS:
        raise FinblendError(f"--as must be one of {', '.join(KINDS)}, but got {kind}")
    if min_prob is not None and not 0 < min_prob <= 1:
        raise FinblendError(f"--min-prob: 0 < min_prob <= 1 must hold, but got min_prob={min_prob}")
    project, file = Project.open(folder), Path(file)
    sets = _sets(project, file, min_prob)
    source = {"file": str(file), "sha256": sha256_of(file)}
    earlier = rounds(project)
    for merged in earlier:
        if merged.kind == kind and merged.ledger.get("source", {}).get("sha256") == source["sha256"]:
            raise FinblendError(f"{file}: was merged for {kind} before, as {merged.folder.name}")
    blend = Blend.load(project.blend_path, as_start=True) if project.blend_path.is_file() else None
    effect = _effect(project, file, sets, force, progress) if kind == "gallery" else None
    name = f"round-{1 + max((merged.number for merged in earlier), default=0)}"
    full = sets["full"]
    table = read_table(file)[0]
    ledger: dict[str, Any] = {
        "round": name,
        "kind": kind,
        "source": source,
        "from": "elsewhere" if full.never_saw is None else "finblend",
        "made": full.made,
        "min_prob": min_prob,
        "sets": {},
        "effect": effect and effect.as_dict(),
        "forced": force,
        "labels": project.photos_hash,
        "finblend": finblend_version(),
    }
    place = project.folder / "pseudo" / name
    with folder_written_beside(place) as temporary:
        for seen, labels in sets.items():
            path = temporary / f"{seen}.csv"
            origin = labels.frame.with_columns(origin=pl.lit(name))
            write_pseudo_labels(path, replace(labels, frame=origin, never_saw=seen, labels=project.photos_hash))
            ledger["sets"][seen] = {"sha256": sha256_of(path), "rows": labels.frame.height}
        write_json(temporary / LEDGER, ledger)
    mix = Mix() if blend is None else blend.mix
    return MergeResult(
        **{key: value for key, value in ledger.items() if key not in ("from", "effect")},
        origin=ledger["from"],
        effect=effect,
        folder=str(place),
        drift=drift_of(project.catalogue, full.frame["individual_id"], mix.gallery_exponent),
        left_out=table.height - full.frame.height,
        other_species=_other_species(project, table, full.frame),
    )


def _sets(project: Project, file: Path, min_prob: float | None) -> dict[str, PseudoLabels]:
    """What to merge: `full` and, of what `pseudo` wrote, a set a fold, each the very one that was written with it."""
    labels = read_pseudo_labels(file, project.catalogue, min_prob or 0.0)
    if labels.never_saw is None:
        return {"full": labels}
    if min_prob is not None:
        raise FinblendError(f"--min-prob: {file} was cut by 'finblend pseudo'; give --min-prob there")
    if labels.labels != project.photos_hash:
        raise FinblendError(f"{file}: was made with other labels or folds than this project's")
    if labels.never_saw != "full":
        raise FinblendError(f"{file}: is the set for {labels.never_saw}; merge the one for full, it comes along")
    hashes = (labels.made or {}).get("folds")
    if not isinstance(hashes, dict):
        raise FinblendError(f"{file}: does not name the sets for the folds, as 'finblend pseudo' does")
    sets = {"full": labels}
    for fold in project.catalogue.fold_ids:
        seen = f"fold-{fold}"
        path = set_file(file, seen)
        if seen not in hashes or not path.is_file():
            raise FinblendError(f"{path}: no such file; the set for {seen} must stand beside {file.name}")
        own = read_pseudo_labels(path, project.catalogue)
        own.refuse_for(seen, project.photos_hash, str(path), flag="")
        if sha256_of(path) != hashes[seen]:
            raise FinblendError(f"{path}: was not written together with {file.name}")
        sets[seen] = own
    return sets


def _effect(
    project: Project, file: Path, sets: dict[str, PseudoLabels], force: bool, progress: Progress | None
) -> GalleryEffect | None:
    """What the gallery gains, refused unless that is clear; None where it cannot be measured, and is forced."""
    if len(sets) == 1:
        if not force:
            raise FinblendError(
                f"--as gallery: {file} comes from elsewhere, so what it does to the gallery cannot be measured "
                "out-of-fold; --force merges it all the same"
            )
        return None
    gallery = GalleryAdditions({seen: AddedPhotos.of(project, labels.frame) for seen, labels in sets.items()})
    effect = gallery_effect(project, gallery, progress)
    low, high = effect.interval
    if low <= 0 and not force:
        raise FinblendError(
            f"--as gallery: {file} is not shown to help: out-of-fold MAP@5 {effect.before:.4f} without, "
            f"{effect.after:.4f} with ({effect.difference:+.4f}, paired, 95 % {low:+.4f} to {high:+.4f}); --force "
            "merges it all the same"
        )
    return effect


def _other_species(project: Project, table: pl.DataFrame, kept: pl.DataFrame) -> int | None:
    """Rows whose species is not the one of the individual they name."""
    if "species" not in table.columns:
        return None
    catalogue = project.catalogue
    catalogued = pl.DataFrame(
        {
            "individual_id": catalogue.individuals,
            "catalogued": [catalogue.species[index] for index in catalogue.species_of_individual],
        }
    )
    image = next(name for name in ("image", "image_id", "path") if name in table.columns)
    labelled = table.select(
        image=pl.col(image).cast(pl.String), species=pl.col("species").replace(project.species_repairs)
    )
    both = kept.join(labelled, "image", "left").join(catalogued, "individual_id", "left")
    return both.filter(pl.col("species") != pl.col("catalogued")).height
