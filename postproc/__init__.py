"""Embeddings to ranked names: exact neighbours, evidence, ranking, species, decision. Arrays in, arrays out."""

from postproc.evidence.build import build_evidence
from postproc.evidence.evidence import Evidence
from postproc.evidence.gallery import Gallery
from postproc.evidence.join import join_evidence
from postproc.evidence.species import given_species, species_mismatch, vote_species
from postproc.neighbours.search import NOBODY, Neighbours, Space, top_k
from postproc.ranking.decision import NEW, Decision, decide, sweep
from postproc.ranking.rank import rank
from postproc.ranking.ranking import Ranking

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
    "species_mismatch",
    "sweep",
    "top_k",
    "vote_species",
]
