"""The search: what a trial is, who proposes it, and the journal that lets a study go on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cv.errors import FinblendError
from cv.mix import Mix
from ensemble.project.folder import Project
from ensemble.project.pseudo_rounds import gallery_of
from ensemble.protocol.certify import decided
from ensemble.protocol.setup import Setup
from ensemble.retrieval.task import NEAREST, NEAREST_FUSED
from postproc.ranking.scorer import BlendScore

if TYPE_CHECKING:
    from pathlib import Path

    import optuna
    from optuna.storages.journal._file import BaseJournalFileLock
from ensemble.tuning.samplers import MAX_SEED, sampler_of
from ensemble.tuning.search_space import distributions, draw, fixed


def run_trial(study: optuna.Study, setup: Setup, params: Mapping[str, float] | None) -> float:
    """Score one trial, the given point or one that the study's sampler proposes for None, and write it down."""
    import optuna

    if params is not None:
        # added when it is done: a point left waiting in a queue would be taken for another trial's
        _, outcome = decided(setup.evaluation_set, draw(fixed(params), setup))
        told, map5 = _told(outcome), outcome.map5
        space = distributions(list(setup.models))
        study.add_trial(
            optuna.trial.create_trial(params=dict(params), distributions=space, value=map5, user_attrs=told)
        )
        return map5
    trial = study.ask()
    try:
        _, outcome = decided(setup.evaluation_set, draw(trial, setup))
        map5 = outcome.map5
        for key, value in _told(outcome).items():
            trial.set_user_attr(key, value)
        study.tell(trial, map5)
    except BaseException:
        # an interrupt may come while the result is being written down: then the trial is complete
        with contextlib.suppress(ValueError):
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        raise
    return map5


def _told(outcome: BlendScore) -> dict[str, Any]:
    """What a trial says beside its score: its decision, and what the score lies between in the whole gallery."""
    rule, threshold = outcome.decision.rule, outcome.decision.threshold
    return {"rule": rule, "threshold": threshold, "least": outcome.least, "most": outcome.most}


def study_name(project: Project, setup: Setup, mix: Mix) -> str:
    """The study of these sources, folds and mix: all that a trial's score depends on beside its parameters."""
    made_from = [
        project.photos_hash,
        [[n, s.views, s.out_of_fold_contents(), setup.whitening[n]] for n, s in sorted(setup.models.items())],
        mix.as_dict(),
        NEAREST,
        NEAREST_FUSED,
        hashlib.sha256(
            setup.evaluation_set.weights.round(12).tobytes() + setup.evaluation_set.query_set.species.mismatch.tobytes()
        ).hexdigest(),
    ]
    if setup.operators:
        made_from.append({name: how.as_dict() for name, how in sorted(setup.operators.items())})
    merged = gallery_of(project).fingerprint
    if merged:
        made_from.append(merged)
    return hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:16]


def scores_so_far(project: Project, setup: Setup, mix: Mix) -> list[float]:
    """Score of every finished trial of a study, in the order in which they began; the journal is only read.

    Empty where there is no journal, where it can't be read, or has no such study.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    if not project.study_path.is_file():
        return []
    path = str(project.study_path)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            storage = JournalStorage(JournalFileBackend(path, lock_obj=JournalFileOpenLock(path)))
            study = optuna.load_study(study_name=study_name(project, setup, mix), storage=storage)
        except (ValueError, KeyError, TypeError, AssertionError):
            return []
    done = sorted(complete(study), key=lambda trial: trial.number)
    return [trial.value for trial in done if trial.value is not None]


def open_study(project: Project, setup: Setup, mix: Mix, sampler: str, seed: int) -> optuna.Study:
    """Open the study of these sources, folds and mix; start it if there is none."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    name = study_name(project, setup, mix)
    path = str(project.study_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        lock = JournalFileOpenLock(path)
        _mend(project.study_path, lock)
        try:
            storage = JournalStorage(JournalFileBackend(path, lock_obj=lock))
        except (ValueError, KeyError, TypeError, AssertionError) as error:
            raise FinblendError(f"{path}: is no study's journal ({error}); remove it to start anew") from None
        study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
        # another seed on going on, or the same points would be drawn again
        drawn = (seed + len(study.trials)) % MAX_SEED
        study.sampler = sampler_of(sampler, drawn)
    return study


def _mend(path: Path, lock: BaseJournalFileLock) -> None:
    """Cut off a last line that a crash has left unfinished, or the next one would be written onto it."""
    if not path.is_file():
        return
    lock.acquire()
    try:
        content = path.read_bytes()
        if content and not content.endswith(b"\n"):
            with path.open("r+b") as file:
                file.truncate(content.rfind(b"\n") + 1)
    finally:
        lock.release()


def complete(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """All finished trials."""
    import optuna

    return study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE])


def score_of(study: optuna.Study, setup: Setup, params: Mapping[str, float]) -> float:
    """The score of a starting point, from the study."""
    for trial in complete(study):
        if trial.params == params and trial.value is not None:
            return trial.value
    return decided(setup.evaluation_set, draw(fixed(params), setup))[1].map5
