"""A project whose blend can name its test photos."""

from __future__ import annotations

from pathlib import Path

from cv.errors import FinblendError
from ensemble.blend.blend import Blend
from ensemble.blend.load import tuned_blend
from ensemble.project.folder import Project
from ensemble.project.outputs import refuse_output
from ensemble.registry.models import USES, Model, require_models


def ready_to_name(folder: str | Path, output: Path, use: str) -> tuple[Project, Blend, dict[str, Model]]:
    """What naming test photos needs: the project, its blend and the blend's sources; what cannot be done is refused."""
    if use not in USES:
        raise FinblendError(f"--use must be one of {', '.join(USES)}, but got {use}")
    refuse_output(output)
    project = Project.open(folder)
    blend = tuned_blend(project)
    models = require_models(project, list(blend.weights))
    if use != "folds" and not any(models[name].full for name in blend.used):
        raise FinblendError(f"--use {use}: no model of the blend has a --full store")
    return project, blend, models
