"""What a project's journal of trials holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna

SAMPLERS = ["tpe", "random"]


def all_trials(project: Path) -> list[Any]:
    """Every trial of every study, in order."""
    from optuna.storages.journal import JournalFileBackend

    storage = optuna.storages.JournalStorage(JournalFileBackend(str(project / "study.journal")))
    return [trial for study in storage.get_all_studies() for trial in storage.get_all_trials(study._study_id)]


def trial_points(project: Path) -> list[dict[str, Any]]:
    """The parameters of every trial."""
    return [trial.params for trial in all_trials(project)]


def trial_values(project: Path) -> list[float]:
    """The score of every trial."""
    return [trial.value for trial in all_trials(project)]
