"""Greedy forward selection with replacement: a blend without a search, as baseline and as a starting point.

Caruana, Niculescu-Mizil, Crew and Ksikes 2004, "Ensemble selection from libraries of models": add the model that helps
most, again and again; a model's weight is the share of the rounds that took it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ensemble.blend.blend import Blend
from ensemble.protocol.evaluation_set import EvaluationSet

BACKGROUND = 1.0


def forward_selection(
    evaluation_set: EvaluationSet, names: Sequence[str], whitening: Mapping[str, str]
) -> tuple[dict[str, float], float]:
    """Select models with replacement.

    Parameters
    ----------
    evaluation_set : EvaluationSet
    names : sequence of str
        Models to choose from.
    whitening : mapping of str to str

    Returns
    -------
    weights : dict of str to float
        Of the best round.
    map5 : float
        In-sample, each round with its exact threshold.
    """
    counts = dict.fromkeys(names, 0)
    best: tuple[dict[str, float], float] = ({}, -1.0)
    since_best = 0
    # two rounds of one model are one round of it: shares that were scored before are not scored again
    scored: dict[tuple[float, ...], float] = {}
    for size in range(1, 2 * len(names) + 7):

        def score(name: str, size: int = size) -> tuple[float, dict[str, float]]:
            grown = {other: (count + (other == name)) / size for other, count in counts.items()}
            shares = tuple(grown.values())
            if shares not in scored:
                scored[shares] = evaluation_set.score(Blend(grown, dict(whitening), background=BACKGROUND)).map5
            return scored[shares], grown

        scores = {name: score(name) for name in names}
        chosen = max(scores, key=lambda name: scores[name][0])
        counts[chosen] += 1
        reached, weights = scores[chosen]
        since_best += 1
        if reached > best[1]:
            best, since_best = (weights, reached), 0
        if since_best > len(names) or len(names) == 1:
            break
    return best
