"""A space of the blend: whitened, normalised, weighted and concatenated, computed block by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from backbones.embeddings import SPLITS
from cv.catalogue import Catalogue
from cv.errors import FinblendError
from ensemble.project.progress import Progress
from ensemble.registry.models import Model
from postproc.transforms.whitening import Whitening, fit_whitening

# of a block of vectors; what a model's part of it takes in float64 comes on top
BLOCK_BYTES = 32 * 2**20
# what is told of a photo beside its vector
PAYLOAD = {
    "image": pl.String,
    "view": pl.String,
    "individual_id": pl.String,
    "species": pl.String,
    "split": pl.String,
    "fold": pl.Int32,
    "encounter": pl.String,
}
ONLY = "only"


@dataclass(frozen=True)
class Batch:
    """Some photos with their vectors.

    Attributes
    ----------
    first : int
        Place of the first of them among all rows of its split, views one after the other.
    photos : (n,) polars.DataFrame
        The columns of `PAYLOAD`.
    vectors : (n, width) float32 array
    """

    first: int
    photos: pl.DataFrame
    vectors: np.ndarray


@dataclass(frozen=True, kw_only=True)
class BlendSpace:
    """A space in which a dot product is the blended similarity; nothing is computed before it is asked for.

    Attributes
    ----------
    project : str
        Where the blend stands.
    catalogue : Catalogue
    models : mapping of str to Model
    weights : mapping of str to float
        Positive, one a model.
    whitening : mapping of str to {"none", "total", "within"}
    fold : int or None
        Whose networks embed photos, where there are trained ones.
    progress : callable, optional
        Called with (name, vectors since the last call, total).
    """

    project: str
    catalogue: Catalogue
    models: Mapping[str, Model]
    weights: Mapping[str, float]
    whitening: Mapping[str, str]
    fold: int | None
    progress: Progress | None = None

    @property
    def name(self) -> str:
        """`frozen`, or `fold-K`."""
        return "frozen" if self.fold is None else f"fold-{self.fold}"

    @cached_property
    def views(self) -> list[str]:
        """The views that vectors are of; `only` where models have one each, whatever they call it."""
        several = {tuple(model.views) for model in self.models.values() if len(model.views) > 1}
        if len(several) > 1:
            raise FinblendError(
                f"sources have different sets of views ({' and '.join(map(str, several))}); vectors need one"
            )
        return list(next(iter(several))) if several else [ONLY]

    @cached_property
    def width(self) -> int:
        """Of a vector; spaces are whitened to know it."""
        return sum(
            self._embedding(name, "train", self.views[0]).shape[1]
            if (kind := self._fitted[name]) is None
            else kind.width
            for name in self.models
        )

    def photos(self, split: str) -> pl.DataFrame:
        """The photos of a split, once a view: the columns of `PAYLOAD`."""
        frame = self.catalogue.train if split == "train" else self.catalogue.test
        known = [name for name in PAYLOAD if name in frame.columns and name != "view"]
        return pl.concat(
            frame.select(known).with_columns(view=pl.lit(view)).select(_cast(known)) for view in self.views
        )

    def rows(self, split: str) -> int:
        """How many vectors a split has."""
        return len(self.views) * (self.catalogue.train if split == "train" else self.catalogue.test).height

    def blocks(self, split: str, view: str) -> Iterator[np.ndarray]:
        """(n, width) float32 vectors of a split's photos in a view, in the catalogue's order."""
        parts = {name: self._embedding(name, split, view) for name in self.models}
        total = len(next(iter(parts.values())))
        step = max(1, BLOCK_BYTES // (4 * self.width))
        for start in range(0, total, step):
            block = np.empty((min(step, total - start), self.width), dtype=np.float32)
            at = 0
            for name, array in parts.items():
                part, fitted = array[start : start + step], self._fitted[name]
                part = (part if fitted is None else fitted.apply(part)).astype(np.float64)
                part *= self.weights[name] ** 0.5 / np.linalg.norm(part, axis=1, keepdims=True)
                block[:, at : at + part.shape[1]] = part
                at += part.shape[1]
            yield block
            if self.progress is not None:
                self.progress(self.name, len(block), sum(map(self.rows, SPLITS)))

    def batches(self, split: str) -> Iterator[Batch]:
        """All vectors of a split with what is known of their photos, views one after the other."""
        photos, first = self.photos(split), 0
        for view in self.views:
            for block in self.blocks(split, view):
                yield Batch(first, photos.slice(first, len(block)), block)
                first += len(block)

    @cached_property
    def _fitted(self) -> dict[str, Whitening | None]:
        """Fitted on all train photos, as `submit` does."""
        labels = self.catalogue.labels
        fitted: dict[str, Whitening | None] = {}
        for name, model in self.models.items():
            kind = self.whitening.get(name, "none")
            gallery = [self._embedding(name, "train", view) for view in model.views]
            fitted[name] = None if kind == "none" else fit_whitening(gallery, labels, np.arange(len(labels)), kind)
        return fitted

    def _embedding(self, name: str, split: str, view: str) -> np.ndarray:
        model = self.models[name]
        store = model.frozen or model.folds[min(model.folds) if self.fold is None else self.fold]
        return store.embedding(split, view if len(model.views) > 1 else model.views[0])


def _cast(known: list[str]) -> list[pl.Expr]:
    """The columns of `PAYLOAD` in their order and kinds; null where a catalogue has none."""
    return [
        (pl.col(name) if name in known or name == "view" else pl.lit(None)).cast(kind).alias(name)
        for name, kind in PAYLOAD.items()
    ]
