"""The tuned blend of a project, or one clear line why there is none."""

from __future__ import annotations

from pathlib import Path

from cv.errors import FinblendError
from ensemble.blend.blend import Blend
from ensemble.project.folder import Project
from ensemble.project.pseudo_rounds import GalleryAdditions, gallery_of
from ensemble.registry.models import usable_models
from ensemble.registry.pair_sources import pair_contents, require_pair_sources


def tuned_blend(project: Project, path: Path | None = None) -> Blend:
    """A blend of the project, its own by default; refused if there is none, or its models have changed since."""
    if path is None and not project.blend_path.is_file():
        raise FinblendError(f"{project.folder}: has no blend yet; use 'finblend tune {project.folder}'")
    path = project.blend_path if path is None else path
    blend = Blend.load(path)
    usable, refused = usable_models(project)
    for name in blend.weights:
        if name not in usable:
            raise FinblendError(refused.get(name, f"{path}: {name} is not registered any more; tune again"))
        if blend.contents and blend.contents.get(name) != usable[name].out_of_fold_contents():
            raise FinblendError(f"{path}: {name} was registered again after tuning; run 'finblend tune' again")
    stores = require_pair_sources(project, list(blend.pair_sources))
    for name, content in pair_contents(stores).items():
        if content != blend.pair_sources[name]:
            raise FinblendError(f"{path}: {name} was matched again after tuning; run 'finblend tune' again")
    check_gallery(project, blend, gallery_of(project), path)
    return blend


def check_gallery(project: Project, blend: Blend, gallery: GalleryAdditions, path: Path | None = None) -> None:
    """Refuse a gallery that the blend was not tuned with."""
    if blend.gallery != gallery.fingerprint:
        raise FinblendError(
            f"{path or project.blend_path}: was tuned with another gallery: pseudo-labels have joined or left it "
            f"since; run 'finblend tune {project.folder}' again"
        )
