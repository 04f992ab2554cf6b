"""What a head says of a candidate is a trait as any other."""

from __future__ import annotations

import numpy as np
import pytest
from predicted import order_file, registered
from small import Small

from cv.mix import Mix
from ensemble import init
from ensemble.identification.head_logit import HeadLogit
from ensemble.project.folder import Project
from ensemble.protocol.setup import read_setup
from ensemble.retrieval.query_set import QuerySet
from postproc.second_stage.traits import CandidateRows, Trait
from postproc.testing import TraitContract

# the head was trained on others than this individual, who is the catalogue's third
ELSEWHERE = 2


@pytest.fixture(scope="module")
def query_set(tmp_path_factory: pytest.TempPathFactory) -> QuerySet:
    """Out-of-fold queries of three folds, each judged by a network of its own."""
    folder = tmp_path_factory.mktemp("head")
    small = Small(folder / "data")
    init(folder / "P", train=small.train_csv, test=small.sample_csv, folds=3)
    names = sorted(set(small.individuals))
    names[ELSEWHERE] = "elsewhere"
    for fold in range(3):
        registered(folder / "P", small, order_file(folder, ".json", names), noise=10 + fold, fold=fold)
    return read_setup(Project.open(folder / "P"), Mix(0.2, None)).evaluation_set.query_set


class TestHeadLogit(TraitContract):
    @pytest.fixture
    def trait(self, query_set: QuerySet) -> Trait:
        return HeadLogit("m", query_set)

    @pytest.fixture
    def rows(self, query_set: QuerySet) -> CandidateRows:
        """The drawn candidates, 20 individuals, are the catalogue's 14; queries are of all folds."""
        candidates = self.drawn().candidates
        individual = candidates.individual
        individual[individual >= len(query_set.catalogue.individuals)] = ELSEWHERE
        query = np.random.default_rng(0).permutation(len(query_set.images))[: len(individual)]
        assert len(np.unique(query_set.catalogue.folds[query])) == 3
        return CandidateRows(candidates, query, query_set.catalogue.folds[query])

    def known(self, trait: Trait, rows: CandidateRows) -> np.ndarray:
        return rows.candidates.individual != ELSEWHERE
