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

RIDGE = 1.0
# of what a species' own say differs from the common one
SPECIES_RIDGE = 2.0
_STEPS = 200
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
        for start in range(0, n, _BLOCK):
            part = traits.take(np.arange(start, min(start + _BLOCK, n)))
            x, z = _scaled(part, self)
            # no offset for a species that the fit has not met
            known = part.species < len(self.offsets)
            species = np.where(known, part.species, 0)
            offset = np.where(known, self.offsets[species], 0.0)
            own = np.where(known[:, None], self.own[species], 0.0)
            out[start : start + _BLOCK] = _probability(
                x, z, part.present, self.candidate, self.new, self.missed, offset, own
            )
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
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    chosen = np.flatnonzero(weights > 0)
    if not len(chosen):
        raise FinblendError("no photo has weight: the second stage has nothing to learn from")
    drawn = _subsample(chosen, truth == NEW, weights)
    chosen = np.flatnonzero(drawn > 0)
    traits, truth, weights = traits.take(chosen), truth[chosen], drawn[chosen]
    weights = weights * weights.sum() / (weights**2).sum()
    centre, spread = _moments(traits.candidate, traits.present * weights[:, None])
    query_centre, query_spread = _moments(traits.query, weights)
    empty = ConditionalLogit(
        traits.names,
        traits.query_names,
        centre,
        spread,
        query_centre,
        query_spread,
        np.zeros(len(centre)),
        np.zeros(len(query_centre) + 1),
        np.zeros(len(query_centre) + 1),
        np.zeros(int(traits.species.max()) + 1),
        np.zeros((int(traits.species.max()) + 1, traits.own_say)),
    )
    x, z = _scaled(traits, empty)
    outcomes = outcome(traits.individual, truth)
    n_species, own_say = empty.own.shape
    cuts = np.cumsum([len(empty.candidate), len(empty.new), len(empty.missed), n_species])
    of_query = np.append(np.ones(z.shape[1] - 1), 0.0)
    # as other coefficients are, offsets are shrunk as if their prior's standard deviation were 1
    penalised = np.concatenate(
        [
            *(np.ones(len(empty.candidate)), of_query, of_query, np.ones(n_species)),
            np.full(empty.own.size, SPECIES_RIDGE),
        ]
    )
    at = np.arange(len(outcomes))
    flat = x.reshape(-1, x.shape[2])
    last = np.ascontiguousarray(x[:, :, x.shape[2] - own_say :])
    of_species = [np.flatnonzero(traits.species == s) for s in range(n_species)]

    def loss(flat_coefficients: np.ndarray) -> tuple[float, np.ndarray]:
        candidate, new, missed, offsets, own = np.split(flat_coefficients, cuts)
        own_of_query = own.reshape(n_species, own_say)[traits.species]
        share = _probability(x, z, traits.present, candidate, new, missed, offsets[traits.species], own_of_query)
        value = -float(weights @ np.log(np.maximum(share[at, outcomes], 1e-300)))
        share[at, outcomes] -= 1.0
        share *= weights[:, None]
        slope = np.concatenate(
            [
                (share[:, :-2].ravel().astype(np.float32) @ flat).astype(np.float64),
                share[:, -2] @ z,
                share[:, -1] @ z,
                np.bincount(traits.species, weights=share[:, -2], minlength=len(offsets)),
                _slope_of_species(share[:, :-2].astype(np.float32), last, of_species),
            ]
        )
        shrunk = ridge * penalised * flat_coefficients
        return value + 0.5 * float(flat_coefficients @ shrunk), slope + shrunk

    # the products are small: more threads would wait for each other most of the time
    with threadpool_limits(1, user_api="blas"):
        fitted = minimize(loss, np.zeros(len(penalised)), jac=True, method="L-BFGS-B", options={"maxiter": _STEPS})
    candidate, new, missed, offsets, own = np.split(fitted.x, cuts)
    own = own.reshape(n_species, own_say)
    return replace(empty, candidate=candidate, new=new, missed=missed, offsets=offsets, own=own)


def _slope_of_species(share: np.ndarray, last: np.ndarray, of_species: list[np.ndarray]) -> np.ndarray:
    """(species x traits,) slope of the loss in each species' own coefficients."""
    if not last.shape[2]:
        return np.empty(0)
    slopes = [share[rows].ravel() @ last[rows].reshape(-1, last.shape[2]) for rows in of_species]
    return np.concatenate(slopes).astype(np.float64)


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
    flat, share = values.reshape(-1, values.shape[-1]).astype(np.float64), weights.ravel() / weights.sum()
    unknown = np.isnan(flat)
    if unknown.any():
        known_share = np.maximum(1.0 - share @ unknown, 1e-12)
        centre = share @ np.where(unknown, 0.0, flat) / known_share
        flat = np.where(unknown, centre, flat)
    else:
        known_share, centre = np.ones(flat.shape[1]), share @ flat
    spread = np.sqrt(np.maximum(share @ (flat - centre) ** 2 / known_share, 0.0))
    return centre, np.where(spread > 1e-9, spread, 1.0)


def _scaled(traits: CandidateFeatures, logit: ConditionalLogit) -> tuple[np.ndarray, np.ndarray]:
    """Centred, scaled and bounded traits: (n, places, traits) float32 and, with the constant, (n, query traits + 1).

    What is not known stands at the mean.
    """
    x = (traits.candidate - logit.centre.astype(np.float32)) / logit.spread.astype(np.float32)
    np.clip(x, -_REACH, _REACH, out=x)
    x[~traits.present] = 0.0
    z = np.clip((traits.query - logit.query_centre) / logit.query_spread, -_REACH, _REACH)
    if traits.own_say:
        np.nan_to_num(x, copy=False)
        np.nan_to_num(z, copy=False)
    return x, np.concatenate([z, np.ones((len(z), 1))], axis=1)


def _probability(
    x: np.ndarray,
    z: np.ndarray,
    present: np.ndarray,
    candidate: np.ndarray,
    new: np.ndarray,
    missed: np.ndarray,
    offset: np.ndarray,
    own: np.ndarray,
) -> np.ndarray:
    named = (x.reshape(-1, x.shape[2]) @ candidate.astype(np.float32)).reshape(present.shape).astype(np.float64)
    if own.shape[1]:
        named += np.einsum("npt,nt->np", x[:, :, x.shape[2] - own.shape[1] :], own.astype(np.float32))
    utility = np.concatenate(
        [np.where(present, named, -np.inf), (z @ new + offset)[:, None], (z @ missed)[:, None]], axis=1
    )
    utility -= utility.max(axis=1, keepdims=True)
    np.exp(utility, out=utility)
    utility /= utility.sum(axis=1, keepdims=True)
    return utility
