"""A project whose blend can name its test photos."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cv.errors import FinblendError
from ensemble.blend.blend import Blend
from ensemble.blend.load import tuned_blend
from ensemble.project.folder import Project
from ensemble.project.outputs import refuse_output
from ensemble.project.progress import Progress
from ensemble.protocol.setup import Setup, retriever_of, setup_with
from ensemble.registry.models import USES
from ensemble.retrieval.query_set import QuerySet
from ensemble.retrieval.retriever import Retriever


@dataclass(frozen=True)
class ReadyBlend:
    """A tuned blend with the retriever that asks its test photos.

    Attributes
    ----------
    project : Project
    blend : Blend
    retriever : Retriever
    use : {"folds", "full", "both"}
        Which stores name test photos.
    """

    project: Project
    blend: Blend
    retriever: Retriever
    use: str

    @property
    def test_queries(self) -> QuerySet:
        """The test photos."""
        return self.retriever.of_test(self.use)

    @cached_property
    def setup(self) -> Setup:
        """Where the blend was tuned: the out-of-fold photos in its mix."""
        return setup_with(self.retriever, self.blend.mix)


def ready_to_name(folder: str | Path, output: Path, use: str, progress: Progress | None = None) -> ReadyBlend:
    """What naming test photos needs; what cannot be done is refused."""
    if use not in USES:
        raise FinblendError(f"--use must be one of {', '.join(USES)}, but got {use}")
    refuse_output(output)
    project = Project.open(folder)
    blend = tuned_blend(project)
    retriever = retriever_of(project, blend, progress)
    if use != "folds" and not any(retriever.models[name].full for name in blend.used):
        raise FinblendError(f"--use {use}: no model of the blend has a --full store")
    return ReadyBlend(project, blend, retriever, use)
