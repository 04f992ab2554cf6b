"""The second stage: a conditional logit over each query's candidates, somebody new, and somebody known who was missed.

McFadden 1974, "Conditional logit analysis of qualitative choice behavior". A candidate's utility is linear in its
traits; those of somebody new and of somebody missed are linear in the query's, and somebody new has an offset for each
species, shrunk to 0: the more photos, the freer. Traits that say much of one kind of animal and little of another
(marks) have a say of their own in each species, shrunk to the common one. Probabilities sum to 1, and fitted to photos
weighted to the stated mix they carry the expected share of strangers as their prior.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cv.errors import FinblendError
from postproc.calibration.posterior import outcome
from postproc.ranking.decision import NEW
from postproc.second_stage.features import CandidateFeatures
from postproc.second_stage.likelihood import Coefficients, Likelihood
from postproc.second_stage.logit_kernels import chunks_of, fill_shares, scale, weighted_sums

RIDGE = 1.0
# of what a species' own say differs from the common one
SPECIES_RIDGE = 2.0
# keeps a constant finite where an outcome never comes; elsewhere it is too weak to be seen
CONSTANT_RIDGE = 1e-4
# beyond so many standard deviations from what was fitted, a trait says no more
_REACH = 6.0
# queries that a fit looks at: more add time and hardly move so few coefficients
MOST_PHOTOS = 15_000
# probabilities are told in blocks of so many queries, which bounds what scaled traits take
_BLOCK = 4096


@dataclass(frozen=True)
class ConditionalLogit:
    """A fitted conditional logit.

    Attributes
    ----------
    names, query_names : tuple of str
        Traits that the coefficients are of.
    centre, spread : (traits,) float64 arrays
        A candidate's traits are centred and scaled by these.
    query_centre, query_spread : (query traits,) float64 arrays
    candidate : (traits,) float64 array
        Coefficients.
    new, missed : (query traits + 1,) float64 arrays
        Coefficients, the constant last.
    offsets : (species,) float64 array
        What the query's species adds to the utility of somebody new.
    own : (species, traits with a say of their own) float64 array
        What the query's species adds to the coefficients of a candidate's last traits.
    """

    names: tuple[str, ...]
    query_names: tuple[str, ...]
    centre: np.ndarray
    spread: np.ndarray
    query_centre: np.ndarray
    query_spread: np.ndarray
    candidate: np.ndarray
    new: np.ndarray
    missed: np.ndarray
    offsets: np.ndarray
    own: np.ndarray

    def flat(self) -> np.ndarray:
        """(k,) float64: all numbers one after the other, to be kept."""
        of_candidates = (self.centre, self.spread, self.query_centre, self.query_spread, self.candidate)
        of_species = np.concatenate([self.offsets[:, None], self.own], axis=1)
        return np.concatenate([*of_candidates, self.new, self.missed, of_species.ravel()]).astype(np.float64)

    @classmethod
    def from_flat(
        cls, names: tuple[str, ...], query_names: tuple[str, ...], flat: np.ndarray, own_say: int = 0
    ) -> ConditionalLogit:
        """From the numbers of `flat`; `own_say` as of the traits that it was fitted on."""
        n, m = len(names), len(query_names)
        sizes = (n, n, m, m, n, m + 1, m + 1)
        if flat.ndim != 1 or len(flat) <= sum(sizes) or (len(flat) - sum(sizes)) % (1 + own_say):
            wanted = f"{sum(sizes)} numbers and {1 + own_say} for each species"
            raise FinblendError(f"a second stage of {wanted} is needed, but got {flat.shape}")
        parts = np.split(np.array(flat), np.cumsum(sizes))
        of_species = parts.pop().reshape(-1, 1 + own_say)
        return cls(names, query_names, *parts, of_species[:, 0], of_species[:, 1:])  # type: ignore[call-arg,unused-ignore]

    def of(self, traits: CandidateFeatures) -> np.ndarray:
        """Probability of every outcome.

        Parameters
        ----------
        traits : CandidateFeatures

        Returns
        -------
        (n, places + 2) float64 array
            The candidates, somebody new, somebody missed; rows sum to 1, 0 where there is no candidate.
        """
        if (traits.names, traits.query_names) != (self.names, self.query_names):
            raise FinblendError("the second stage was fitted on other traits")
        n, places = traits.present.shape
        out = np.empty((n, places + 2))
        candidate = np.repeat(self.candidate[None], len(self.offsets) + 1, axis=0)
        candidate[:-1, len(self.names) - self.own.shape[1] :] += self.own
        new = np.repeat(self.new[None], len(self.offsets) + 1, axis=0)
        new[:-1, -1] += self.offsets
        for start in range(0, n, _BLOCK):
            part = traits.take(np.arange(start, min(start + _BLOCK, n)))
            x, z = _scaled(part, self)
            # no say of its own for a species that the fit has not met
            species = np.minimum(part.species, len(self.offsets)).astype(np.int64)
            fill_shares(x, z, part.present, species, candidate, new, self.missed, out[start : start + _BLOCK])
        return out


def fit_conditional_logit(
    traits: CandidateFeatures, truth: np.ndarray, weights: np.ndarray, ridge: float = RIDGE
) -> ConditionalLogit:
    """Fit by weighted maximum likelihood with a ridge on all coefficients but the constants.

    Parameters
    ----------
    traits : CandidateFeatures
    truth : (n,) int array
        `NEW` for strangers.
    weights : (n,) float array >= 0
        Weighted to the expected mix. They count as their effective number of photos, (sum w)^2 / sum w^2 (Kish 1965).
    ridge : float > 0

    Raises
    ------
    FinblendError
        If no photo has weight.
    """
    from threadpoolctl import threadpool_limits

    chosen = np.flatnonzero(weights > 0)
    if not len(chosen):
        raise FinblendError("no photo has weight: the second stage has nothing to learn from")
    drawn = _subsample(chosen, truth == NEW, weights)
    chosen = np.flatnonzero(drawn > 0)
    chosen = chosen[np.argsort(traits.species[chosen], kind="stable")]
    traits, truth, weights = traits.take(chosen), truth[chosen], drawn[chosen]
    weights = weights * weights.sum() / (weights**2).sum()
    centre, spread = _moments(traits.candidate, traits.present * weights[:, None])
    query_centre, query_spread = _moments(traits.query, weights)
    n_species, n_query = int(traits.species.max()) + 1, len(query_centre) + 1
    empty = ConditionalLogit(
        traits.names,
        traits.query_names,
        centre,
        spread,
        query_centre,
        query_spread,
        np.zeros(len(centre)),
        np.zeros(n_query),
        np.zeros(n_query),
        np.zeros(n_species),
        np.zeros((n_species, traits.own_say)),
    )
    x, z = _scaled(traits, empty)
    of_query = np.append(np.ones(n_query - 1), CONSTANT_RIDGE)
    # as other coefficients are, offsets are shrunk as if their prior's standard deviation were 1
    of_species = np.append(1.0, np.full(traits.own_say, SPECIES_RIDGE))
    likelihood = Likelihood(
        x=x,
        z=z,
        present=traits.present,
        outcome=outcome(traits.individual, truth).astype(np.int64),
        weights=weights,
        species=traits.species.astype(np.int64),
        penalty=Coefficients(
            common=ridge * np.concatenate([np.ones(len(centre)), of_query, of_query]),
            of_species=ridge * np.tile(of_species, (n_species, 1)),
        ),
    )
    # the products are small: more threads would wait for each other most of the time
    with threadpool_limits(1, user_api="blas"):
        found = likelihood.maximum()
    candidate, new, missed = np.split(found.common, np.cumsum([len(centre), n_query]))
    offsets, own = found.of_species[:, 0], found.of_species[:, 1:]
    return replace(empty, candidate=candidate, new=new, missed=missed, offsets=offsets, own=own)


def _subsample(chosen: np.ndarray, new: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weights in which at most `MOST_PHOTOS` photos are left; strangers and known photos keep their shares."""
    out = np.zeros(len(weights))
    out[chosen] = weights[chosen]
    if len(chosen) <= MOST_PHOTOS:
        return out
    rng, kinds = np.random.default_rng(0), [chosen[new[chosen]], chosen[~new[chosen]]]
    rarer = min(MOST_PHOTOS // 2, *map(len, kinds))
    for kind in kinds:
        quota = rarer if len(kind) == min(map(len, kinds)) else MOST_PHOTOS - rarer
        left = rng.permutation(kind)[quota:]
        total = out[kind].sum()
        out[left] = 0.0
        out[kind] *= total / out[kind].sum() if total > 0 else 1.0
    return out


def _moments(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and standard deviation of what is known of each column; 1 where it is constant."""
    flat, rows = values.reshape(-1, values.shape[-1]), weights.ravel()
    centre = np.zeros(flat.shape[1])
    for squared in (False, True):
        known, total = np.zeros((2, chunks_of(len(flat)), flat.shape[1]))
        weighted_sums(flat, rows, centre, squared, known, total)
        mean = total.sum(axis=0) / np.maximum(known.sum(axis=0), np.finfo(np.float64).tiny)
        if not squared:
            centre = mean
    spread = np.sqrt(mean)
    return centre, np.where(spread > 1e-9, spread, 1.0)


def _scaled(traits: CandidateFeatures, logit: ConditionalLogit) -> tuple[np.ndarray, np.ndarray]:
    """Centred, scaled and bounded traits: (n, places, traits) float32 and, with the constant, (n, query traits + 1).

    What is not known stands at the mean.
    """
    x = np.empty(traits.candidate.shape, dtype=np.float32)
    flat = (-1, len(traits.names))
    scale(traits.candidate.reshape(flat), traits.present.ravel(), logit.centre, logit.spread, _REACH, x.reshape(flat))
    z = np.ones((len(x), traits.query.shape[1] + 1))
    scale(traits.query, np.ones(len(x), dtype=bool), logit.query_centre, logit.query_spread, _REACH, z[:, :-1])
    return x, z
