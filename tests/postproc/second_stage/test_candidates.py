"""Candidates without species."""

from __future__ import annotations

import numpy as np
from scenes import CHANNELS, N_PEOPLE, random_evidence, random_weights

from postproc.ranking.rank import Species
from postproc.second_stage.candidates import candidates_of


def test_no_species_is_no_penalty() -> None:
    rng = np.random.default_rng(7)
    evidence = random_evidence(rng, CHANNELS[int(rng.integers(len(CHANNELS)))], 4)
    n = evidence.n_queries
    weights, recipe = random_weights(rng, len(evidence.sources))[None], np.zeros(n, dtype=int)
    none = Species.none(n, N_PEOPLE)
    np.testing.assert_array_equal(
        candidates_of(evidence, weights, recipe, none, 9.0).individual,
        candidates_of(evidence, weights, recipe, none, 0.0).individual,
    )
