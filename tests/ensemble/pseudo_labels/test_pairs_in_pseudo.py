"""What is made of a blend that weighs a pair source is made with it: fold sets, the nested score, comparisons."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from planted import add
from small import Small

from backbones.pair_store import Pairs, write_pair_store
from cv.errors import FinblendError
from ensemble import Blend, Project, compare, evaluate, init, pseudo, tune

SHARE = 0.15


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One weak network, and a pair source that knows who is on a photo; tuned."""
    folder = tmp_path_factory.mktemp("knowing")
    small = Small(folder / "data")
    init(folder / "P", train=small.train_csv, test=small.sample_csv, folds=4)
    add(folder / "P", small, "m", 1, noise=3.0)
    opened, rng = Project.open(folder / "P"), np.random.default_rng(0)
    labels, folds = opened.catalogue.labels, opened.catalogue.folds
    of_test = np.array([*range(10), 99, 99])
    given = {}
    for split, who in (("train", labels), ("test", of_test)):
        score = rng.gamma(2.0, 1.0, (len(who), len(labels))) + 6.0 * (who[:, None] == labels)
        met = folds[:, None] != folds if split == "train" else np.ones(score.shape, dtype=bool)
        query, gallery = np.nonzero(met)
        given[split] = Pairs(query=query, gallery=gallery, score=score[query, gallery].astype(np.float32))
    write_pair_store(opened.pair_folder("knows"), "knows", given, photos_sha256=opened.photos_hash, made={})
    tune(folder / "P", trials=2, new_share=SHARE, nested_trials=0)
    assert list(Blend.load(folder / "P" / "blend.json").pair_sources) == ["knows"]
    return folder / "P"


def test_the_sets_of_folds_are_judged_with_it(project: Path, tmp_path: Path) -> None:
    result = pseudo(project, tmp_path / "p.csv", min_prob=0.05, trials=0)
    assert len(result.sets) == 5
    for fold in range(4):
        ledger = json.loads((tmp_path / f"p-fold-{fold}.csv.json").read_text())
        assert list(ledger["made"]["recipe"]["pair_sources"]) == ["knows"]


def test_the_nested_score_tries_what_tune_tried(project: Path) -> None:
    nested = evaluate(project, nested=True, nested_trials=0).nested
    assert nested is not None
    assert nested.against["without_pairs"].difference > 0.05
    assert any(fold.pairs == ["knows"] for fold in nested.folds)


def test_the_same_models_with_it_and_without_are_two_tunings(project: Path, tmp_path: Path) -> None:
    with_pairs = tmp_path / "with.json"
    with_pairs.write_bytes((project / "blend.json").read_bytes())
    try:
        tune(project, trials=0, new_share=SHARE, nested_trials=0, pairs=[])
        assert Blend.load(project / "blend.json").pair_sources == {}
        result = compare(project, blend=with_pairs, nested=True, nested_trials=0)
        assert result.nested is not None
        assert result.nested.second - result.nested.first != 0
        copy = tmp_path / "copy.json"
        copy.write_bytes((project / "blend.json").read_bytes())
        with pytest.raises(FinblendError, match="tuned on the same models"):
            compare(project, blend=copy, nested=True, nested_trials=0)
    finally:
        (project / "blend.json").write_bytes(with_pairs.read_bytes())
