"""The study lives in the project: it goes on, starts anew from the old best, and survives an interrupt."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from small import Small
from studies import SAMPLERS, all_trials, trial_points

from cv import FinblendError, Mix
from ensemble import Blend, Project, evaluate, init, models, register, tune
from ensemble.protocol.evaluation_set import EvaluationSet
from ensemble.protocol.setup import read_setup
from ensemble.tuning.greedy import forward_selection
from ensemble.tuning.result import TuneResult
from postproc.ranking.scorer import BlendScore

STARTS = 5  # equal weights in three ways, each of two models alone; greedy selection here ends at one of these


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    small = Small(folder / "data")
    init(folder / "P", train=small.train_csv, test=small.sample_csv)
    for i, noise in enumerate((2.5, 1.0)):
        add(folder / "P", small, f"m{i}", i + 1, noise)
    models(folder / "P", new_share=0.15)
    return folder / "P"


def add(project: Path, small: Small, name: str, seed: int, noise: float, **flags: bool) -> None:
    train, test = small.noisy(seed, noise)
    given = {"train": (small.train_images, train), "test": (small.test_images, test)}
    register(project, name, **({"frozen": True} | flags), **given)


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path / "P")
    return tmp_path / "P"


def tuned(project: Path, **options: Any) -> TuneResult:
    """Tuning without its nested score, which is not what these tests are about."""
    return tune(project, **({"new_share": 0.15, "nested_trials": 0} | options))


def greedy_weights(project: Path, share: float) -> dict[str, float]:
    setup = read_setup(Project.open(project), Mix(share))
    return forward_selection(setup.evaluation_set, list(setup.models), setup.whitening)[0]


def interrupting(at: int) -> Callable[..., Any]:
    """`EvaluationSet.decided`, with Ctrl-C during its call number `at`."""
    calls, decided = 0, EvaluationSet.decided

    def stand_in(evaluation_set: EvaluationSet, blend: Blend) -> tuple[Blend, BlendScore]:
        nonlocal calls
        calls += 1
        if calls == at:
            raise KeyboardInterrupt
        return decided(evaluation_set, blend)

    return stand_in


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_it_goes_on_where_it_stopped(project: Path, sampler: str) -> None:
    first = tuned(project, trials=8, sampler=sampler)
    second = tuned(project, trials=4, sampler=sampler)
    assert (first["trials"], first["new_trials"]) == (8, 8)
    assert (second["trials"], second["new_trials"]) == (12, 4)
    assert second["map5"] >= first["map5"]
    points = trial_points(project)
    assert len(points) == 12
    drawn = [tuple(point.values()) for point in points[STARTS:]]
    assert len(set(drawn)) == len(drawn), "going on drew the same points again"


def test_no_more_trials_takes_the_best_so_far(project: Path) -> None:
    first = tuned(project, trials=8)
    (project / "blend.json").unlink()
    again = tuned(project, trials=0)
    assert (again["trials"], again["new_trials"], again["map5"]) == (8, 0, first["map5"])
    assert again["weights"] == first["weights"]


def test_another_mix_is_another_study(project: Path) -> None:
    tuned(project, trials=7)
    assert sorted(greedy_weights(project, 0.15).values()) in ([0.0, 1.0], [0.5, 0.5])
    assert sorted(greedy_weights(project, 0.3).values()) not in ([0.0, 1.0], [0.5, 0.5])
    # greedy selection and the last blend are points of their own
    assert tuned(project, trials=0, new_share=0.3)["trials"] == STARTS + 2
    # back at the first mix its study goes on, with the other mix's blend as one more point to start from
    back = tuned(project, trials=0)
    assert back["trials"] - back["new_trials"] == 7
    assert back["new_trials"] <= 1


def test_a_new_study_starts_from_the_old_best(project: Path, tmp_path: Path) -> None:
    tuned(project, trials=30)
    old = Blend.load(project / "blend.json")
    assert len({weight for weight in old.weights.values() if weight > 0}) == 2, "the old best is a point of its own"
    add(project, Small(tmp_path / "data"), "m2", 3, 3.0)
    report = tuned(project, trials=0)
    # the third model alone, the old best, greedy selection among three
    assert report["trials"] == STARTS + 3
    assert set(report["weights"]) == {"m0", "m1", "m2"}
    found = []
    for point in trial_points(project)[-2:]:
        factors = np.array([point[f"factor:m{i}"] for i in range(3)])
        found.append((factors**2 / (factors**2).sum()).tolist())
    assert found[0] == pytest.approx([old.weights["m0"], old.weights["m1"], 0.0])
    assert found[1] == pytest.approx(list(greedy_weights(project, 0.15).values()))
    setup = read_setup(Project.open(project), Mix(0.15))
    carried = Blend(
        old.weights,
        dict(setup.whitening),
        top_photos=old.top_photos,
        species_penalty=old.species_penalty,
        background=old.background,
    )
    assert report["map5"] >= setup.evaluation_set.decided(carried)[1].map5 - 1e-9


def test_an_old_best_with_none_of_the_models_is_passed_over(project: Path) -> None:
    tuned(project, trials=0, models=["m0"])
    assert set(tuned(project, trials=0, models=["m1"])["weights"]) == {"m1"}


@pytest.mark.parametrize("at", [STARTS + 2, 3, 2])
def test_an_interrupt_keeps_the_best_so_far_and_the_next_call_goes_on(
    project: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(EvaluationSet, "decided", interrupting(at))
        report = tuned(project, trials=20)
    assert report["interrupted"] is True
    assert report["trials"] == at - 1
    blend = Blend.load(project / "blend.json")
    assert blend.measured["map5"] == report["map5"]
    after = tuned(project, trials=3, sampler="random")
    assert after["interrupted"] is False
    assert after["trials"] >= at - 1 + 3
    assert after["map5"] >= report["map5"]
    # the floor is laid in full, even if the interrupt came before every single model had its turn
    shapes = [(point["factor:m0"], point["factor:m1"]) for point in trial_points(project)]
    assert {(1.0, 1.0), (1.0, 0.0), (0.0, 1.0)} <= set(shapes)
    assert after["map5"] >= max(after["equal_weights"], *after["single_models"].values())


def test_an_interrupt_before_the_first_trial_changes_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tuned(project, trials=0, new_share=0.3)
    before = (project / "blend.json").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(EvaluationSet, "decided", interrupting(1))
        with pytest.raises(FinblendError, match="nothing is changed"):
            tuned(project, trials=5)
    assert (project / "blend.json").read_bytes() == before
    assert tuned(project, trials=0)["trials"] >= STARTS


def test_an_interrupt_while_a_trial_is_written_down_keeps_that_trial(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = optuna.study.Study.add_trial, []

    def add_trial(study: optuna.Study, trial: Any) -> None:
        real(study, trial)
        calls.extend([trial] if "JournalStorage" in type(study._storage).__name__ else [])
        if len(calls) == STARTS + 7:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(optuna.study.Study, "add_trial", add_trial)
        report = tuned(project, trials=20)
    assert (report["interrupted"], report["trials"]) == (True, STARTS + 7)
    assert tuned(project, trials=1)["trials"] == STARTS + 8


def test_a_trial_is_written_down_at_once_and_a_killed_one_leaves_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned(project, trials=0)
    lines = (project / "study.journal").read_bytes().count(b"\n")
    with monkeypatch.context() as patch:
        # after the starting points, which the study has, and the best of them
        patch.setattr(EvaluationSet, "decided", interrupting(4))
        tuned(project, trials=20)
    trials = all_trials(project)
    assert {trial.state.name for trial in trials} == {"COMPLETE"}
    # opening the study is a line, too
    assert (project / "study.journal").read_bytes().count(b"\n") == lines + 1 + len(trials) - STARTS


# after six trials, the best of them and its decision
@pytest.mark.parametrize("at", [9, 11])
def test_an_interrupt_during_the_nested_score_keeps_the_blend(
    project: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """During the first trial without the first fold, or a later one."""
    monkeypatch.setattr(EvaluationSet, "decided", interrupting(at))
    report = tuned(project, trials=6, nested_trials=5)
    assert (report["interrupted"], report["nested"], report["trials"]) == (True, None, 6)
    assert Blend.load(project / "blend.json").measured["map5"] == report["map5"]


def test_two_processes_work_on_one_study(project: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "from ensemble.cli import run; run()",
        "tune",
        str(project),
        "--new-share",
        "0.15",
        "--nested-trials",
        "0",
    ]
    both = [
        subprocess.Popen(
            [*command, "--trials", "15", "--sampler", sampler, "--seed", str(seed), "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed, sampler in enumerate(("tpe", "random"))
    ]
    told = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    reports = [json.loads(out) for out, _ in told]
    # the one that came first may have laid the floor for both, or each laid its own
    assert 30 - STARTS <= len(trial_points(project)) <= 30
    best = tuned(project, trials=0)
    assert best["trials"] == len(trial_points(project))
    assert best["map5"] >= max(report["map5"] for report in reports)
    assert max(report["trials"] for report in reports) > 15, "neither saw the other's trials"


def test_a_blend_of_other_embeddings_is_refused_until_tuned_again(project: Path, tmp_path: Path) -> None:
    tuned(project, trials=0)
    evaluate(project)
    add(project, Small(tmp_path / "data"), "m0", 9, 1.0, replace=True)
    with pytest.raises(FinblendError, match="m0 was registered again after tuning; run 'finblend tune'"):
        evaluate(project)
    tuned(project, trials=0)
    assert evaluate(project)["map5"] > 0


def test_a_model_that_is_gone_is_named(project: Path) -> None:
    tuned(project, trials=0)
    shutil.rmtree(project / "stores" / "m1")
    with pytest.raises(FinblendError, match="m1 is not registered any more"):
        evaluate(project)


def test_the_journal_of_another_program_is_refused_by_name(project: Path) -> None:
    (project / "study.journal").write_text("no journal\nat all\n")
    with pytest.raises(FinblendError, match=r"study\.journal"):
        tuned(project, trials=0)


def test_a_line_cut_short_by_a_crash_does_not_end_the_study(project: Path) -> None:
    tuned(project, trials=8)
    journal = project / "study.journal"
    journal.write_bytes(journal.read_bytes()[:-20])
    tuned(project, trials=2)
    assert tuned(project, trials=2)["trials"] >= 11
