"""The likelihood of a conditional logit: its value, slope and curvature, and its one maximum by Newton's steps.

Every query touches the common coefficients and its own species' alone, so the curvature is an arrow: a dense block, and
a small one for each species that meets only itself and the dense one. Eliminating the small ones first leaves a system
of the dense block's size, however many species there are (Boyd and Vandenberghe 2004, "Convex Optimization", 9.5 and
appendix C.4).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from cv.errors import FinblendError
from postproc.second_stage.logit_kernels import fill_curvature, fill_slopes

# Newton's decrement (squared distance to the maximum, in standard errors) at which the next step is the last: it leaves
# less than 1e-8 of a standard error. A start must only be near.
TOLERANCE, ROUGHLY = 1e-8, 1.0
# more queries than these begin at the maximum of every fourth of them
_FEW, _EVERY = 2000, 4
_STEPS = 100
# of what the slope promises, the share that a step must gain; below this decrement rounding hides the gain
_GAIN, _TOLD_APART = 1e-4, 1e-8
# candidates with less of a share would add less to the curvature than the weakest ridge does
_LEAST_SHARE = 1e-9
_CHUNK = 256


@dataclass(frozen=True, kw_only=True)
class Coefficients:
    """Of all queries, and of those of each species.

    Attributes
    ----------
    common : (d,) float64 array
        Of a candidate's traits, of somebody new and of somebody missed (the constant last in each).
    of_species : (species, 1 + own_say) float64 array
        What a species adds to the constant of somebody new, and to the last traits of a candidate.
    """

    common: np.ndarray
    of_species: np.ndarray

    def moved(self, step: Coefficients, size: float) -> Coefficients:
        """These and `size` times the step."""
        return Coefficients(
            common=self.common + size * step.common, of_species=self.of_species + size * step.of_species
        )

    def dot(self, other: Coefficients) -> float:
        """Sum of products."""
        return float(self.common @ other.common + np.vdot(self.of_species, other.of_species))


@dataclass(frozen=True, kw_only=True)
class Slopes:
    """The loss at some coefficients, with what the curvature there is made of."""

    loss: float
    slope: Coefficients
    share: np.ndarray
    mean: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Likelihood:
    """Penalised weighted likelihood; the loss is its negative logarithm.

    Attributes
    ----------
    x : (n, places, traits) float32 array
        Scaled, 0 where there is no candidate; queries of a species stand together.
    z : (n, query traits + 1) float64 array
        Scaled, the constant last.
    present : (n, places) bool array
    outcome : (n,) int64 array
        Which place came, `places` for somebody new, `places + 1` for somebody missed.
    weights : (n,) float64 array > 0
    species : (n,) int64 array
        Not falling.
    penalty : Coefficients
        Ridge on each coefficient, > 0.
    """

    x: np.ndarray
    z: np.ndarray
    present: np.ndarray
    outcome: np.ndarray
    weights: np.ndarray
    species: np.ndarray
    penalty: Coefficients

    def __post_init__(self) -> None:
        if np.any(np.diff(self.species) < 0):
            raise FinblendError("queries of a species must stand together")

    @property
    def own_say(self) -> int:
        """Last traits that have a say of their own in each species."""
        return int(self.penalty.of_species.shape[1]) - 1

    @cached_property
    def own_index(self) -> np.ndarray:
        """(1 + own_say,) common coefficients that a species' own are added to."""
        traits = self.x.shape[2]
        return np.append(traits + self.z.shape[1] - 1, np.arange(traits - self.own_say, traits))

    @cached_property
    def edges(self) -> np.ndarray:
        """(chunks + 1,) first queries of chunks that are of one species each, and the end."""
        first = np.flatnonzero(np.diff(self.species, prepend=-1))
        last = np.append(first[1:], len(self.species))
        return np.concatenate([*(np.arange(a, b, _CHUNK) for a, b in zip(first, last, strict=True)), [last[-1]]])

    def tables(self, at: Coefficients) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(species, traits), (species, query traits + 1) and (query traits + 1,): what each species is judged by."""
        traits, width = self.x.shape[2], self.z.shape[1]
        every = np.repeat(at.common[None, : traits + width], len(at.of_species), axis=0)
        every[:, self.own_index] += at.of_species
        candidate, new = np.ascontiguousarray(every[:, :traits]), np.ascontiguousarray(every[:, traits:])
        return candidate, new, at.common[traits + width :]

    def slopes(self, at: Coefficients) -> Slopes:
        """Loss and slope."""
        n, places, traits = self.x.shape
        share, mean = np.empty((n, places + 2)), np.empty((n, traits))
        of_chunk = self.species[self.edges[:-1]]
        loss, slope = np.empty(len(of_chunk)), np.empty((len(of_chunk), len(at.common)))
        fill_slopes(
            self.x,
            self.z,
            self.present,
            self.outcome,
            self.weights,
            self.edges,
            of_chunk,
            *self.tables(at),
            share,
            mean,
            loss,
            slope,
        )
        own = np.zeros_like(at.of_species)
        np.add.at(own, of_chunk, slope[:, self.own_index])
        shrunk = Coefficients(
            common=self.penalty.common * at.common, of_species=self.penalty.of_species * at.of_species
        )
        return Slopes(
            loss=float(loss.sum()) + 0.5 * at.dot(shrunk),
            slope=Coefficients(common=slope.sum(axis=0), of_species=own).moved(shrunk, 1.0),
            share=share,
            mean=mean,
        )

    def step(self, slopes: Slopes) -> Coefficients:
        """Newton's step: minus the inverse curvature times the slope."""
        try:
            return self._step(slopes, np.float32)
        except np.linalg.LinAlgError:
            # the curvature is positive, but by less than single precision can tell
            return self._step(slopes, np.float64)

    def _step(self, slopes: Slopes, precision: type[np.floating[Any]]) -> Coefficients:
        from scipy.linalg import cho_factor, cho_solve

        slope, seen, own = slopes.slope, np.unique(self.species), self.own_index
        dense, border = self.curvature(slopes, precision)
        dense += np.diag(self.penalty.common)
        small = border[:, :, own] + self.penalty.of_species[seen][:, :, None] * np.eye(len(own))
        # what a species' own coefficients do for a step of the common ones, and by themselves
        follow = np.linalg.solve(small, np.concatenate([border, slope.of_species[seen][:, :, None]], axis=2))
        flat = border.reshape(-1, len(dense))
        answer = flat.T @ follow.reshape(len(flat), -1)
        common = cho_solve(cho_factor(dense - answer[:, :-1], lower=True), answer[:, -1] - slope.common)
        # a species without queries has its ridge alone
        of_species = -slope.of_species / self.penalty.of_species
        of_species[seen] = -follow[:, :, -1] - follow[:, :, :-1] @ common
        return Coefficients(common=common, of_species=of_species)

    def curvature(self, slopes: Slopes, precision: type[np.floating[Any]]) -> tuple[np.ndarray, np.ndarray]:
        """Curvature of the loss without its ridge, from what `slopes` has found.

        Returns
        -------
        dense : (d, d) float64 array
            In the common coefficients.
        border : (species with queries, 1 + own_say, d) float64 array
            Of a species' queries alone, in the common coefficients that its own are added to.
        """
        (_, places, traits), width = self.x.shape, self.z.shape[1]
        d, new, missed = traits + 2 * width, slice(traits, traits + width), slice(traits + width, None)
        of_candidates = np.empty((_CHUNK * places, traits), dtype=precision)
        of_queries = np.empty((_CHUNK, d), dtype=precision)
        of_new, of_missed = np.empty((2, _CHUNK, width), dtype=precision)
        dense, block = np.zeros((d, d)), np.empty((d, d))
        seen, of_chunk = np.unique(self.species[self.edges[:-1]], return_inverse=True)
        border = np.zeros((len(seen), len(self.own_index), d))
        for start, stop, species in zip(self.edges[:-1].tolist(), self.edges[1:].tolist(), of_chunk, strict=True):
            parts = (of_candidates, of_queries, of_new, of_missed)
            n = fill_curvature(
                self.x, self.z, self.weights, slopes.share, slopes.mean, start, stop, _LEAST_SHARE, *parts
            )
            candidates, (queries, strangers, others) = of_candidates[:n], (part[: stop - start] for part in parts[1:])
            np.negative(queries.T @ queries, out=block)
            block[:traits, :traits] += candidates.T @ candidates
            block[new, new] += strangers.T @ strangers
            block[missed, missed] += others.T @ others
            dense += block
            border[species] += block[self.own_index]
        return dense, border

    def every(self, step: int) -> Likelihood:
        """The likelihood of every so-manieth query."""
        per_query = ("x", "z", "present", "outcome", "weights", "species")
        arrays: dict[str, Any] = {name: np.ascontiguousarray(getattr(self, name)[::step]) for name in per_query}
        return replace(self, **arrays)

    def maximum(self, start: Coefficients | None = None, tolerance: float = TOLERANCE) -> Coefficients:
        """The coefficients of least loss: the same, but for `tolerance`, whatever the start."""
        if start is None:
            nothing = self.penalty.moved(self.penalty, -1.0)
            start = self.every(_EVERY).maximum(nothing, ROUGHLY) if len(self.weights) > _FEW else nothing
        at, here = start, self.slopes(start)
        for _ in range(_STEPS):
            step = self.step(here)
            promised = -here.slope.dot(step)
            if promised <= tolerance:
                return at.moved(step, 1.0)
            size = 1.0
            there = self.slopes(at.moved(step, size))
            while promised > _TOLD_APART and there.loss > here.loss - _GAIN * size * promised:
                size /= 2
                there = self.slopes(at.moved(step, size))
            at, here = at.moved(step, size), there
        return at
