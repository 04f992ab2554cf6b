"""WildFusion's recipe as the benchmark re-states it: calibration without the fold, shortlist, mean."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

# behind the installed packages
sys.path.append(str(Path(__file__).parents[2]))

from benchmarks.accuracy.public_recipes import NOBODY, Material
from benchmarks.accuracy.wildfusion import calibrated_pairs, wildfusion

# two individuals, two photos each, one a fold
LABELS, FOLDS = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
SAME = (LABELS[:, None] == LABELS).astype(float)
TRAIN = np.array([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [0.0, 1.0]], dtype=np.float32)


def test_a_fold_is_calibrated_by_the_other_folds_alone() -> None:
    # queries of fold 0 are told by fold 1's, where a high score says "another"
    score = np.where(FOLDS[:, None] == 0, SAME, 1 - SAME)
    same, test = calibrated_pairs(score, np.array([[0.0, 1.0, 0.0, 1.0]]), LABELS, FOLDS)
    # fold 0 learns from fold 1 that the score falls with being the same, which isotonic regression flattens to 1/2
    assert same[0, [1, 3]].tolist() == [0.5, 0.5]
    # and fold 1 from fold 0 that it is the probability itself
    assert same[1, [0, 2]].tolist() == [0.0, 1.0]
    assert np.ptp(test) == pytest.approx(0)


def test_marks_that_know_better_than_the_network_decide_within_its_shortlist() -> None:
    misleading = [TRAIN[[3, 0, 1, 2]]]
    material = Material(misleading, misleading, LABELS, FOLDS, 0.1)
    fitted = wildfusion(material, [(SAME, SAME)] * 3, None)
    assert fitted.out_of_fold.label[:, 0].tolist() == LABELS.tolist()
    assert fitted.test.label[:, 0].tolist() == LABELS.tolist()
    alone = wildfusion(material, [], None)
    assert alone.out_of_fold.label[:, 0].tolist() != LABELS.tolist()


def test_a_photo_off_the_shortlist_names_nobody() -> None:
    material = Material([TRAIN], [TRAIN], LABELS, FOLDS, 0.1)
    fitted = wildfusion(material, [(SAME, SAME)], 1)
    assert (fitted.out_of_fold.label != NOBODY).sum(axis=1).tolist() == [1, 1, 1, 1]
    # the test photos are the train photos: each brings up itself
    assert fitted.test.label[:, 0].tolist() == LABELS.tolist()
    assert fitted.rule == "B"
