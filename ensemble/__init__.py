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
    from ensemble.blend.blend import Blend
    from ensemble.comparison.compare import compare
    from ensemble.evaluation.evaluate import evaluate
    from ensemble.evaluation.models import models
    from ensemble.exchange.export_to import export_to
    from ensemble.exchange.import_from import import_from
    from ensemble.marks.match import match
    from ensemble.networks.embed import embed
    from ensemble.networks.train import train
    from ensemble.outputs.check import check
    from ensemble.outputs.decide import decide
    from ensemble.outputs.export import export
    from ensemble.outputs.submit import submit
    from ensemble.project.create import init
    from ensemble.project.folder import Project
    from ensemble.pseudo_labels.generate import pseudo
    from ensemble.pseudo_labels.merge import merge
    from ensemble.registry.register import register
    from ensemble.registry.register_pairs import register_pairs
    from ensemble.report.write import write_report
    from ensemble.tuning.tune import tune

# imported on first use: `finblend --help` and `import ensemble` answer at once
__getattr__ = lazy_names(
    __name__,
    {
        "Blend": "ensemble.blend.blend",
        "FinblendError": "cv.errors",
        "Project": "ensemble.project.folder",
        "check": "ensemble.outputs.check",
        "compare": "ensemble.comparison.compare",
        "decide": "ensemble.outputs.decide",
        "embed": "ensemble.networks.embed",
        "evaluate": "ensemble.evaluation.evaluate",
        "export": "ensemble.outputs.export",
        "export_to": "ensemble.exchange.export_to",
        "import_from": "ensemble.exchange.import_from",
        "init": "ensemble.project.create",
        "match": "ensemble.marks.match",
        "merge": "ensemble.pseudo_labels.merge",
        "models": "ensemble.evaluation.models",
        "pseudo": "ensemble.pseudo_labels.generate",
        "register": "ensemble.registry.register",
        "register_pairs": "ensemble.registry.register_pairs",
        "submit": "ensemble.outputs.submit",
        "train": "ensemble.networks.train",
        "tune": "ensemble.tuning.tune",
        # not `report`: that is the package it lives in
        "write_report": "ensemble.report.write",
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
    "export_to",
    "import_from",
    "init",
    "match",
    "merge",
    "models",
    "pseudo",
    "register",
    "register_pairs",
    "submit",
    "train",
    "tune",
    "write_report",
]
