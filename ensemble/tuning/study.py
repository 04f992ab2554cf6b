"""The study: what a trial writes down, and the journal, or the server, that lets it go on."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cv.errors import FinblendError
from cv.left_out import FOLD
from ensemble.protocol.setup import Setup
from ensemble.retrieval.task import NEAREST, NEAREST_FUSED
from postproc.neighbours.approximate import APPROXIMATE_ALGORITHM, EXACT
from postproc.ranking.scorer import BlendScore

if TYPE_CHECKING:
    from pathlib import Path

    import optuna
    from optuna.storages.journal._file import BaseJournalFileLock
from ensemble.tuning.samplers import MAX_SEED, sampler_of
from ensemble.tuning.search_space import distributions, draw, fixed


class Proposals:
    """What a study's sampler proposes, from a copy of the trials in memory.

    A trial that is asked of a kept study, and told to it, is written down in fourteen pieces, each of which waits for
    the disk or the server, and a process that is killed leaves it half told.
    """

    def __init__(self, study: optuna.Study) -> None:
        import optuna

        self._study, self._known = study, set[int]()
        self._copy = optuna.create_study(direction="maximize", sampler=study.sampler)

    def ask(self) -> optuna.Trial:
        """A trial to be scored; trials of other processes are seen."""
        for trial in complete(self._study):
            if trial.number not in self._known:
                self._known.add(trial.number)
                self._copy.add_trial(trial)
        return self._copy.ask()

    def drop(self, trial: optuna.Trial) -> None:
        """It is done: its result comes from the study."""
        import optuna

        self._copy.tell(trial, state=optuna.trial.TrialState.FAIL)


def run_trial(study: optuna.Study, setup: Setup, params: Mapping[str, float] | None, proposals: Proposals) -> float:
    """Score one trial, the given point or one that is proposed for None, and write it down, all of it at once."""
    import optuna

    trial = proposals.ask() if params is None else fixed(params)
    _, score = setup.evaluation_set.decided(draw(trial, setup))
    if isinstance(trial, optuna.Trial):
        proposals.drop(trial)
    # added when it is done: a point left waiting in a queue would be taken for another trial's
    study.add_trial(
        optuna.trial.create_trial(
            params=trial.params,
            distributions=distributions(list(setup.models)),
            value=score.map5,
            user_attrs=_attributes(score),
        )
    )
    return score.map5


def _attributes(score: BlendScore) -> dict[str, Any]:
    """What a trial says beside its score: its decision, and what the score lies between in the whole gallery."""
    decision = score.decision
    return {"rule": decision.rule, "threshold": decision.threshold, "least": score.lower, "most": score.upper}


def study_name(setup: Setup) -> str:
    """The study of these models, folds and mix: all that a trial's score depends on beside its parameters."""
    weights, species = setup.evaluation_set.weights, setup.evaluation_set.query_set.species
    models = [
        [name, model.views, model.out_of_fold_contents(), setup.whitening[name]]
        for name, model in sorted(setup.models.items())
    ]
    made_from = [
        setup.project.photos_hash,
        models,
        setup.mix.as_dict(),
        NEAREST,
        NEAREST_FUSED,
        hashlib.sha256(weights.round(12).tobytes() + species.mismatch.tobytes()).hexdigest(),
    ]
    if setup.retriever.leave_out != FOLD:
        made_from.append(setup.retriever.leave_out)
    if setup.retriever.neighbours != EXACT:
        made_from.append(APPROXIMATE_ALGORITHM)
    if setup.retriever.gallery.fingerprint:
        made_from.append(setup.retriever.gallery.fingerprint)
    return hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:16]


def scores_so_far(setup: Setup) -> list[float]:
    """Score of every finished trial of a study, in the order in which they ended; the journal is only read.

    Empty where there is no journal, where it can't be read, or has no such study.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    if not setup.project.study_path.is_file():
        return []
    path = str(setup.project.study_path)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            storage = JournalStorage(JournalFileBackend(path, lock_obj=JournalFileOpenLock(path)))
            study = optuna.load_study(study_name=study_name(setup), storage=storage)
        except (ValueError, KeyError, TypeError, AssertionError):
            return []
    done = sorted(complete(study), key=lambda trial: trial.number)
    return [trial.value for trial in done if trial.value is not None]


def open_study(setup: Setup, sampler: str, seed: int, server: str | None = None) -> optuna.Study:
    """Open the study of these models, folds and mix; start it if there is none.

    Parameters
    ----------
    setup : Setup
    sampler : str
    seed : int
    server : str, optional
        URL of the PostgreSQL server that holds it; the project's journal by default.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if server is None:
            study = _in_journal(setup.project.study_path, study_name(setup))
        else:
            from ensemble.tuning.study_server import open_server_study

            told = {"project": setup.project.folder.absolute().name, "models": sorted(setup.models)}
            study = open_server_study(server, study_name(setup), told)
        # another seed on going on, or the same points would be drawn again
        drawn = (seed + len(study.trials)) % MAX_SEED
        study.sampler = sampler_of(sampler, drawn)
    return study


def _in_journal(path: Path, name: str) -> optuna.Study:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    lock = JournalFileOpenLock(str(path))
    _mend(path, lock)
    try:
        storage = JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise FinblendError(f"{path}: is no study's journal ({error}); remove it to start anew") from None
    return optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)


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


def study_in_memory(seed: int) -> optuna.Study:
    """A study that nobody goes on with."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(direction="maximize", sampler=sampler_of("tpe", seed))


def complete(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """All finished trials."""
    import optuna

    return study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE])


def score_of(study: optuna.Study, setup: Setup, params: Mapping[str, float]) -> float:
    """The score of a starting point, from the study."""
    for trial in complete(study):
        if trial.params == params and trial.value is not None:
            return trial.value
    return setup.evaluation_set.decided(draw(fixed(params), setup))[1].map5
