"""The search: what a trial is, who proposes it, and the journal that lets a study go on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cv.errors import FinblendError
from cv.mix import Mix
from ensemble.blend import Blend
from ensemble.desk import Desk
from ensemble.exam import decided
from ensemble.parts import NEAREST, NEAREST_TOGETHER
from ensemble.project import Project
from ensemble.rounds import gallery_of
from postproc.prune import MAX_TOP_PHOTOS
from postproc.trials import Outcome

if TYPE_CHECKING:
    from pathlib import Path

    import optuna
    from optuna.storages.journal._file import BaseJournalFileLock

SAMPLERS = ("tpe", "cmaes", "gp", "random")
MAX_BACKGROUND = 1.5
MAX_SEED = 2**32


def run_trial(study: optuna.Study, desk: Desk, params: Mapping[str, float] | None) -> float:
    """Score one trial, the given point or one that the study's sampler proposes for None, and write it down."""
    import optuna

    if params is not None:
        # added when it is done: a point left waiting in a queue would be taken for another trial's
        _, outcome = decided(desk.exam, draw(fixed(params), desk))
        told, map5 = _told(outcome), outcome.map5
        space = distributions(list(desk.sources))
        study.add_trial(
            optuna.trial.create_trial(params=dict(params), distributions=space, value=map5, user_attrs=told)
        )
        return map5
    trial = study.ask()
    try:
        _, outcome = decided(desk.exam, draw(trial, desk))
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


def _told(outcome: Outcome) -> dict[str, Any]:
    """What a trial says beside its score: its decision, and what the score lies between in the whole gallery."""
    rule, threshold = outcome.decision.rule, outcome.decision.threshold
    return {"rule": rule, "threshold": threshold, "least": outcome.least, "most": outcome.most}


def distributions(names: list[str]) -> dict[str, optuna.distributions.BaseDistribution]:
    """What `draw` draws from."""
    from optuna.distributions import FloatDistribution, IntDistribution

    return {
        **{f"factor:{name}": FloatDistribution(0.0, 1.0) for name in names},
        "top_photos": IntDistribution(1, MAX_TOP_PHOTOS),
        "species_penalty_root": FloatDistribution(0.0, 1.0),
        "background": FloatDistribution(0.0, MAX_BACKGROUND),
    }


def draw(trial: optuna.trial.BaseTrial, desk: Desk) -> Blend:
    """Turn a trial's parameters into a blend, its decision still open."""
    factors = {name: trial.suggest_float(f"factor:{name}", 0.0, 1.0) for name in desk.sources}
    top_photos = trial.suggest_int("top_photos", 1, MAX_TOP_PHOTOS)
    # the third power gives small penalties room without a special case for none
    root = trial.suggest_float("species_penalty_root", 0.0, 1.0)
    background = trial.suggest_float("background", 0.0, MAX_BACKGROUND)
    operators = {name: how.as_dict() for name, how in desk.operators.items()}
    return Blend(_normalised(factors), dict(desk.whitening), top_photos, root**3, background, operators=operators)


def _normalised(factors: Mapping[str, float]) -> dict[str, float]:
    """Return alpha = w^2 / sum w^2, equal where all are 0."""
    squares = {name: factor * factor for name, factor in factors.items()}
    total = sum(squares.values())
    if total < 1e-12:
        return {name: 1.0 / len(squares) for name in squares}
    return {name: square / total for name, square in squares.items()}


def point(chosen: list[str], names: list[str], penalty: float = 0.0, background: float = 1.0) -> dict[str, float]:
    """Parameters of a trial that gives the chosen models equal weights."""
    factors = {f"factor:{name}": float(name in chosen) for name in names}
    return {**factors, "top_photos": 1, "species_penalty_root": penalty ** (1 / 3), "background": background}


def weighted_point(weights: Mapping[str, float], names: list[str], background: float = 1.0) -> dict[str, float]:
    """Parameters of a trial with given weights alpha."""
    top = max(weights.values())
    factors = {f"factor:{name}": (weights.get(name, 0.0) / top) ** 0.5 for name in names}
    return {**factors, "top_photos": 1, "species_penalty_root": 0.0, "background": background}


def starting_points(names: list[str], previous: Blend | None) -> Iterator[dict[str, float]]:
    """What every study tries first: equal weights, each model alone, the last blend."""
    yield point(names, names)
    yield point(names, names, penalty=0.216)
    yield point(names, names, background=0.0)
    for name in names:
        yield point([name], names)
    if previous is not None and set(previous.weights) & set(names):
        top = max(previous.weights.get(name, 0.0) for name in names)
        if top > 0:
            factors = {f"factor:{name}": (previous.weights.get(name, 0.0) / top) ** 0.5 for name in names}
            yield {
                **factors,
                "top_photos": min(previous.top_photos, MAX_TOP_PHOTOS),
                "species_penalty_root": min(previous.species_penalty, 1.0) ** (1 / 3),
                "background": min(previous.background, MAX_BACKGROUND),
            }


def proposals(
    study: optuna.Study, starts: list[dict[str, float]], trials: int, sampler: str, seed: int, scores: list[float]
) -> Iterator[dict[str, float] | None]:
    """What to try next; None leaves it to the study's own sampler."""
    yield from starts
    left = trials - len(starts)
    if sampler != "cmaes":
        yield from [None] * left
        return
    yield from _cmaes(study, left, seed, scores)


def _cmaes(study: optuna.Study, trials: int, seed: int, scores: list[float]) -> Iterator[dict[str, float]]:
    """CMA-ES around the best trial so far. Optuna's own sampler restores its state by unpickling, so it is not used."""
    try:
        from cmaes import CMA
    except ImportError:
        raise FinblendError("--sampler cmaes needs the package cmaes: pip install 'finblend[cmaes]'") from None
    best = study.best_trial.params
    names = list(best)
    widest = {"top_photos": MAX_TOP_PHOTOS, "background": MAX_BACKGROUND}
    scale = np.array([widest.get(name, 1.0) for name in names])
    low = np.array([1.0 if name == "top_photos" else 0.0 for name in names])
    bounds = np.stack([low / scale, np.ones(len(names))], axis=1)
    mean = np.clip(np.array([best[name] for name in names]) / scale, bounds[:, 0], bounds[:, 1])
    optimiser = CMA(mean=mean, sigma=0.2, bounds=bounds, seed=(seed + len(study.trials)) % MAX_SEED)
    told: list[tuple[np.ndarray, float]] = []
    for _ in range(trials):
        point = optimiser.ask()
        params = dict(zip(names, (point * scale).tolist(), strict=True))
        params["top_photos"] = round(params["top_photos"])
        yield params
        told.append((point, -scores[-1]))
        if len(told) == optimiser.population_size:
            optimiser.tell(told)
            told = []


def study_name(project: Project, desk: Desk, mix: Mix) -> str:
    """The study of these sources, folds and mix: all that a trial's score depends on beside its parameters."""
    made_from = [
        project.photos_hash,
        [[n, s.views, s.out_of_fold_contents(), desk.whitening[n]] for n, s in sorted(desk.sources.items())],
        mix.as_dict(),
        NEAREST,
        NEAREST_TOGETHER,
        hashlib.sha256(desk.exam.weights.round(12).tobytes() + desk.exam.questions.species.doubt.tobytes()).hexdigest(),
    ]
    if desk.operators:
        made_from.append({name: how.as_dict() for name, how in sorted(desk.operators.items())})
    merged = gallery_of(project).fingerprint
    if merged:
        made_from.append(merged)
    return hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:16]


def scores_so_far(project: Project, desk: Desk, mix: Mix) -> list[float]:
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
            study = optuna.load_study(study_name=study_name(project, desk, mix), storage=storage)
        except (ValueError, KeyError, TypeError, AssertionError):
            return []
    done = sorted(complete(study), key=lambda trial: trial.number)
    return [trial.value for trial in done if trial.value is not None]


def open_study(project: Project, desk: Desk, mix: Mix, sampler: str, seed: int) -> optuna.Study:
    """Open the study of these sources, folds and mix; start it if there is none."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    name = study_name(project, desk, mix)
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


def sampler_of(name: str, seed: int) -> optuna.samplers.BaseSampler:
    """Optuna's sampler; CMA-ES is driven by `proposals` and needs none."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if name == "tpe":
            return optuna.samplers.TPESampler(seed=seed, multivariate=True)
        if name == "gp":
            try:
                import torch  # noqa: F401
            except ImportError as error:
                raise FinblendError(
                    f"--sampler gp needs the package {error.name}: pip install 'finblend[gp]'"
                ) from None
            return optuna.samplers.GPSampler(seed=seed)
        return optuna.samplers.RandomSampler(seed=seed)


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


def score_of(study: optuna.Study, desk: Desk, params: Mapping[str, float]) -> float:
    """The score of a starting point, from the study."""
    for trial in complete(study):
        if trial.params == params and trial.value is not None:
            return trial.value
    return decided(desk.exam, draw(fixed(params), desk))[1].map5


def fixed(params: Mapping[str, float]) -> optuna.trial.BaseTrial:
    """A trial with given parameters, outside any study."""
    import optuna

    return optuna.trial.FixedTrial(dict(params))
