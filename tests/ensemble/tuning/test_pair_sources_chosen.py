"""Pair sources are weighed where they are clearly better, nested too, and a blend that weighs one answers by it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from planted import add, add_trained
from small import Small

from backbones.pair_store import Pairs, write_pair_store
from cv.errors import FinblendError
from cv.metrics import average_precisions
from cv.mix import Mix
from ensemble import Blend, Project, decide, evaluate, init, submit, tune
from ensemble.identification.prediction import predict
from ensemble.identification.stage_choice import choose_stage, paired_gain
from ensemble.protocol.certify import certify
from ensemble.protocol.setup import Setup, read_setup
from ensemble.tuning.baselines import tuned_baselines
from ensemble.tuning.measure import staged_blend
from ensemble.tuning.nested import nested_score

SHARE = 0.15


def say(project: Path, name: str, *, knows: float, seed: int = 0) -> None:
    """A pair source that has compared two thirds of all pairs: a score at random, and `knows` more for one animal."""
    opened, rng = Project.open(project), np.random.default_rng(seed)
    labels, folds = opened.catalogue.labels, opened.catalogue.folds
    index = {name: row for row, name in enumerate(opened.catalogue.individuals)}
    # as Small drew its test photos
    of_test = np.array([index.get(f"id{who:02d}", -1) for who in [*range(10), 99, 99]])
    given = {}
    for split, who in (("train", labels), ("test", of_test)):
        score = rng.gamma(2.0, 1.0, (len(who), len(labels))) + knows * (who[:, None] == labels)
        compared = rng.random(score.shape) < 2 / 3
        if split == "train":
            compared &= folds[:, None] != folds
        query, gallery = np.nonzero(compared)
        given[split] = Pairs(query=query, gallery=gallery, score=score[query, gallery].astype(np.float32))
    write_pair_store(opened.pair_folder(name), name, given, photos_sha256=opened.photos_hash, made={})


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One weak network."""
    folder = tmp_path_factory.mktemp("weak")
    small = Small(folder / "data")
    init(folder / "P", train=small.train_csv, test=small.sample_csv, folds=4)
    add(folder / "P", small, "m", 1, noise=3.0)
    return folder / "P"


@pytest.fixture
def weak(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path / "P")
    return tmp_path / "P"


def chosen(project: Path) -> tuple[Setup, Blend, tuple[str, ...], dict[str, bool]]:
    """The set-up, its only model tuned, the pair sources that are weighed, and which gains were clear."""
    setup = read_setup(Project.open(project), Mix(SHARE, None))
    _, blend = tuned_baselines(setup)
    certified = certify(setup.evaluation_set, blend, None)
    choice = choose_stage(setup, certified.blend, certified.ranking)
    precision = average_precisions(choice.labels, setup.evaluation_set.truth)
    best = choice.gain_of_pairs[choice.pairs[-1]] if choice.pairs else None
    if best is not None:
        assert choice.stage is not choice.without_pairs
        assert float(setup.evaluation_set.weights @ precision) == pytest.approx(best.map5)
    return setup, certified.blend, choice.pairs, {name: gain.is_clear for name, gain in choice.gain_of_pairs.items()}


def test_a_source_that_knows_is_weighed_and_its_copy_is_not(weak: Path) -> None:
    say(weak, "knows", knows=6.0)
    shutil.copytree(weak / "pairs" / "knows", weak / "pairs" / "a-copy")
    _, _, pairs, is_clear = chosen(weak)
    assert len(pairs) == 1
    # what the other one gains over the first is told, and is not clear
    assert sorted(is_clear.values()) == [False, True]


def test_nested_too_it_is_weighed_and_gains(weak: Path) -> None:
    say(weak, "knows", knows=6.0)
    setup = read_setup(Project.open(weak), Mix(SHARE, None))
    score = nested_score(setup, trials=0)
    assert score.has_pairs
    assert [each.pairs for each in score.folds].count(["knows"]) >= 3
    weights = score.evaluation_set.weights
    assert float(weights @ (score.blend - score.without_pairs)) > 0.05


def test_noise_is_not_weighed_or_harms_little(weak: Path) -> None:
    say(weak, "noise", knows=0.0, seed=3)
    setup = read_setup(Project.open(weak), Mix(SHARE, None))
    score = nested_score(setup, trials=0)
    weights = score.evaluation_set.weights
    assert float(weights @ (score.blend - score.without_pairs)) > -0.03
    assert sum(bool(each.pairs) for each in score.folds) <= 1
    # what the source was judged by is told, although it is not used
    warnings: list[str] = []
    _, equal = tuned_baselines(setup)
    staged = staged_blend(setup, certify(setup.evaluation_set, equal, None), warnings)
    assert warnings == []
    assert list(staged.pairs) == ["noise"]
    assert not staged.pairs["noise"].used
    assert staged.blend.pair_sources == {}


def test_paired_gains_are_of_the_mean_precision(weak: Path) -> None:
    setup = read_setup(Project.open(weak), Mix(SHARE, None))
    _, blend = tuned_baselines(setup)
    labels = predict(setup.evaluation_set, blend).labels
    test, map5 = paired_gain(setup.evaluation_set, labels, labels)
    assert test.gain == 0
    precision = average_precisions(labels, setup.evaluation_set.truth)
    assert map5 == pytest.approx(float(setup.evaluation_set.weights @ precision))


def recipe(project: Path) -> dict[str, object]:
    """A blend, but for what was measured of it."""
    return {key: value for key, value in vars(Blend.load(project / "blend.json")).items() if key != "measured"}


def test_without_its_sources_a_project_is_tuned_as_if_there_were_none(weak: Path, tmp_path: Path) -> None:
    shutil.copytree(weak, tmp_path / "with")
    say(tmp_path / "with", "knows", knows=6.0)
    plain = tune(weak, trials=0, new_share=SHARE, nested_trials=0)
    without = tune(tmp_path / "with", trials=0, new_share=SHARE, nested_trials=0, pairs=[])
    assert recipe(tmp_path / "with") == recipe(weak)
    assert (without["map5"], without["map5_of_answers"]) == (plain["map5"], plain["map5_of_answers"])
    assert without["pairs"] == {}
    staged = tune(tmp_path / "with", trials=0, new_share=SHARE, nested_trials=0)
    assert staged["pairs"]["knows"]["used"]
    assert recipe(tmp_path / "with")["weights"] == recipe(weak)["weights"]


@pytest.mark.parametrize("trained", [False, True])
def test_a_blend_that_weighs_a_source_answers_alike_until_it_is_gone(tmp_path: Path, trained: bool) -> None:
    small, project = Small(tmp_path / "data"), tmp_path / "P"
    init(project, train=small.train_csv, test=small.sample_csv)
    (add_trained if trained else add)(project, small, "m", 1, noise=3.0)
    say(project, "knows", knows=6.0)
    tuned = tune(project, trials=0, new_share=SHARE, nested_trials=0)
    assert list(Blend.load(project / "blend.json").pair_sources) == ["knows"]
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    submit(project, first)
    shutil.rmtree(project / "cache")
    submit(project, second)
    assert first.read_bytes() == second.read_bytes()
    # ten of twelve are known animals, whom the network alone does not know well
    answers = pl.read_csv(first)["predictions"].str.split(" ").list.first().to_list()
    assert sum(answer == f"id{who:02d}" for who, answer in enumerate(answers[:10])) >= 7
    assert evaluate(project)["map5"] == pytest.approx(tuned["map5_of_answers"])
    decided = [decide(project, tmp_path / f"d{n}.csv") for n in range(2)]
    assert (tmp_path / "d0.csv").read_bytes() == (tmp_path / "d1.csv").read_bytes()
    assert len(decided) == 2
    # matched again with other numbers, then removed
    say(project, "knows", knows=6.0, seed=1)
    for answer in (lambda: submit(project, first), lambda: evaluate(project), lambda: decide(project, first)):
        with pytest.raises(FinblendError, match="knows was matched again after tuning; run 'finblend tune") as caught:
            answer()
        assert "\n" not in str(caught.value)
    shutil.rmtree(project / "pairs" / "knows")
    with pytest.raises(FinblendError, match=r"knows: is no pair source of .*; it has none") as caught:
        submit(project, first)
    assert "\n" not in str(caught.value)
