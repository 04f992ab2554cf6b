"""What several sections need, worked out once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from backbones.store import Store
from cv.errors import FinblendError
from cv.mix import Mix
from ensemble.blend.blend import Blend
from ensemble.blend.load import tuned_blend
from ensemble.identification.posteriors import PosteriorModel, Posteriors
from ensemble.identification.scored_blend import ScoredBlend, score_blend
from ensemble.outputs.bands import PRECISION, CrossFittedAnswers
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.protocol.setup import Setup, read_setup, setup_of_blend
from ensemble.registry.models import Model, usable_models
from ensemble.report.page.album import Album
from ensemble.tuning.baselines import Baseline, single_models


@dataclass(frozen=True)
class State:
    """A project at some stage.

    Attributes
    ----------
    project : Project
    images : tuple of Path
        The folders of the photos, where they are to be shown.
    progress : callable or None
        Called with (what, done, total).
    precision : float
        Wanted precision of the first answer in the bands.
    detector : Path or None
        The folder of the detector that cut the photos.
    """

    project: Project
    images: tuple[Path, ...] = ()
    progress: Progress | None = None
    precision: float = PRECISION
    detector: Path | None = None

    @cached_property
    def stores(self) -> dict[str, dict[str, Store]]:
        """Every registered store; none right after `init`."""
        return self.project.stores()

    @cached_property
    def models(self) -> tuple[dict[str, Model], dict[str, str]]:
        """Models that can be scored out-of-fold, and why others cannot."""
        return usable_models(self.project)

    @property
    def blend(self) -> Blend | None:
        """The tuned blend, where `tune` has run and its file can be read."""
        return self._loaded[0]

    @cached_property
    def _loaded(self) -> tuple[Blend | None, str | None]:
        """The blend there, and why it cannot be read, if so."""
        try:
            return (Blend.load(self.project.blend_path) if self.project.blend_path.is_file() else None), None
        except FinblendError as error:
            return None, str(error)

    @cached_property
    def album(self) -> Album:
        """The photos to show; folders that hold none of them are refused."""
        return Album(self.project, self.images)

    @cached_property
    def stale(self) -> str | None:
        """Why the blend there cannot be scored, or not any more, if so."""
        if self.blend is None:
            return self._loaded[1]
        try:
            tuned_blend(self.project)
        except FinblendError as error:
            return str(error)
        return None

    @property
    def is_tuned(self) -> bool:
        """Whether there is a blend that can be scored."""
        return self.blend is not None and self.stale is None

    @property
    def mix(self) -> Mix:
        """The mix that scores are weighted to: the blend's, or what `finblend models` takes by default."""
        return self.blend.mix if self.blend is not None and self.is_tuned else Mix()

    @cached_property
    def setup(self) -> Setup | None:
        """The blend's own setup; before tuning that of all models that can be scored, None where there is none."""
        if self.blend is not None and self.is_tuned:
            return setup_of_blend(self.project, self.blend, self.progress)
        usable, _ = self.models
        return read_setup(self.project, self.mix, list(usable), progress=self.progress) if usable else None

    @cached_property
    def baselines(self) -> dict[str, Baseline]:
        """Each model of the setup alone."""
        return single_models(self.setup) if self.setup is not None else {}

    @cached_property
    def scored(self) -> ScoredBlend | None:
        """The tuned blend's answers to out-of-fold photos."""
        if self.blend is None or not self.is_tuned or self.setup is None:
            return None
        return score_blend(self.setup, self.blend, self.progress)

    @cached_property
    def posterior_model(self) -> PosteriorModel | None:
        """What names photos with probabilities."""
        return self.scored.posterior_model(self.progress) if self.scored is not None else None

    @cached_property
    def posteriors(self) -> Posteriors | None:
        """Who may be on each photo of the tuned blend's evaluation set and how likely, cross-fitted."""
        if self.scored is None or self.posterior_model is None:
            return None
        return self.posterior_model.posteriors(self.scored.setup.evaluation_set)

    @cached_property
    def cross_fitted(self) -> CrossFittedAnswers | None:
        """First answers by probability, cross-fitted, as `decide` takes them."""
        if self.scored is None or self.posteriors is None:
            return None
        return CrossFittedAnswers.of(self.scored.setup.evaluation_set, self.posteriors)
