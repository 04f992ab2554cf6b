"""Embeddings to ranked names: exact neighbours, evidence, ranking, species, decision. Arrays in, arrays out."""

from postproc.decision import NEW, Decision, decide, sweep
from postproc.evidence import Evidence, Gallery, build_evidence
from postproc.join import join_evidence
from postproc.knn import NOBODY, Neighbours, Space, top_k
from postproc.rank import rank
from postproc.ranking import Ranking
from postproc.species import given_species, species_doubt, vote_species

__all__ = [
    "NEW",
    "NOBODY",
    "Decision",
    "Evidence",
    "Gallery",
    "Neighbours",
    "Ranking",
    "Space",
    "build_evidence",
    "decide",
    "given_species",
    "join_evidence",
    "rank",
    "species_doubt",
    "sweep",
    "top_k",
    "vote_species",
]
