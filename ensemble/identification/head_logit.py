"""What a model's own head says of a candidate, as a trait."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cv.errors import FinblendError
from ensemble.registry.predicted_logits import logits_of, why_logits_unusable
from ensemble.retrieval.query_set import QuerySet
from postproc.second_stage.traits import CandidateRows


@dataclass(frozen=True)
class HeadLogit:
    """How far a head's logit of a candidate is above the mean of the query's known candidates.

    Attributes
    ----------
    model : str
    query_set : QuerySet
        Of the queries that are asked about.
    """

    model: str
    query_set: QuerySet
    needs: str = "evidence"

    @property
    def name(self) -> str:
        """`logit:` and the model."""
        return f"logit:{self.model}"

    def of(self, rows: CandidateRows) -> np.ndarray:
        """(n, places) logits against the mean; NaN where the head does not know the individual."""
        individual, tasks = rows.candidates.individual, self.query_set.tasks
        logits = np.full(individual.shape, np.nan, dtype=np.float32)
        for task in tasks:
            inside = np.flatnonzero(np.isin(rows.query, task.rows)) if len(tasks) > 1 else np.arange(len(rows.query))
            catalogue = task.project.catalogue
            stores = [store for store in task.stores[self.model] if why_logits_unusable(store, catalogue) is None]
            known = logits_of(stores, task.split, rows.query[inside], individual[inside], catalogue)
            if known is None:
                raise FinblendError(
                    f"{self.model}: the second stage was fitted with its logits, and what names these photos has none "
                    "that can be used; register it with pred_idx, pred_logit and --labels, or --use folds"
                )
            logits[inside] = known
        is_known = np.isfinite(logits)
        count = np.maximum(is_known.sum(axis=1, keepdims=True), 1)
        return np.asarray(logits - np.where(is_known, logits, 0.0).sum(axis=1, keepdims=True) / count)
