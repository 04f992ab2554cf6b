"""The front door: one project folder from registered embeddings to a checked submission.

>>> import ensemble
>>> ensemble.Blend({"b7": 0.6, "convnext": 0.4}).rule
'A'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cv.lazy import lazy_names

if TYPE_CHECKING:
    from cv.errors import FinblendError
    from ensemble.blend import Blend
    from ensemble.comparison import compare
    from ensemble.decisions import decide
    from ensemble.embedding import embed
    from ensemble.evaluation import evaluate, models
    from ensemble.merging import merge
    from ensemble.project import Project, init
    from ensemble.pseudo_sets import pseudo
    from ensemble.registry import register
    from ensemble.report import write_report
    from ensemble.submission import check, submit
    from ensemble.training import train
    from ensemble.tuning import tune
    from ensemble.vectors import export

# imported on first use: `finblend --help` and `import ensemble` answer at once
__getattr__ = lazy_names(
    __name__,
    {
        "Blend": "ensemble.blend",
        "FinblendError": "cv.errors",
        "Project": "ensemble.project",
        "check": "ensemble.submission",
        "compare": "ensemble.comparison",
        "decide": "ensemble.decisions",
        "embed": "ensemble.embedding",
        "evaluate": "ensemble.evaluation",
        "export": "ensemble.vectors",
        "init": "ensemble.project",
        "merge": "ensemble.merging",
        "models": "ensemble.evaluation",
        "pseudo": "ensemble.pseudo_sets",
        "register": "ensemble.registry",
        "submit": "ensemble.submission",
        "train": "ensemble.training",
        "tune": "ensemble.tuning",
        # not `report`: that is the package it lives in
        "write_report": "ensemble.report",
    },
)

__all__ = [
    "Blend",
    "FinblendError",
    "Project",
    "check",
    "compare",
    "decide",
    "embed",
    "evaluate",
    "export",
    "init",
    "merge",
    "models",
    "pseudo",
    "register",
    "submit",
    "train",
    "tune",
    "write_report",
]
