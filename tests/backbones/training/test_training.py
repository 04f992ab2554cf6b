"""Augmentation, sampling, the schedule and what heads say: the parts of training that need no training."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from backbones.heads import HeadRecipe, build_head
from backbones.photos import Box, Frame
from backbones.training import Augment, Recipe, recipe_from
from backbones.training.augment import augmented
from backbones.training.logits import head_predictions
from backbones.training.samples import Draw, ShareSampler, TrainingPhotos
from cv.errors import FinblendError

OFF = Augment(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
PHOTO = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)


def changed(augment: Augment, seed: int = 0, photo: np.ndarray = PHOTO) -> np.ndarray:
    return np.asarray(augmented(photo.copy(), augment, np.random.default_rng(seed)).numpy())


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ({"rotate": 181}, "0 <= rotate <= 180 must hold, but got rotate=181"),
        ({"rotate": -1}, "0 <= rotate <= 180 must hold, but got rotate=-1"),
        ({"hue": 0.6}, "0 <= hue <= 0.5 must hold, but got hue=0.6"),
        ({"flip": 1.1}, "0 <= flip <= 1 must hold, but got flip=1.1"),
        ({"value": math.nan}, "0 <= value <= 1 must hold, but got value=nan"),
        ({"cutout": 65}, "0 <= cutout <= 64 must hold, but got cutout=65"),
        ({"cutout": 1.5}, "cutout must be a whole number, but got cutout=1.5"),
        ({"cutout": 2.0}, "cutout must be a whole number, but got cutout=2.0"),
        ({"brightness": True}, "0 <= brightness <= 1 must hold, but got brightness=True"),
        ({"jitter": "0.1"}, "0 <= jitter <= 0.5 must hold, but got jitter='0.1'"),
    ],
)
def test_an_augmentation_out_of_bounds_is_refused(setting: dict[str, Any], line: str) -> None:
    with pytest.raises(FinblendError) as refusal:
        Augment(**setting)
    assert str(refusal.value) == line


@pytest.mark.parametrize("seed", range(5))
def test_all_switched_off_is_the_photo_itself(seed: int) -> None:
    np.testing.assert_array_equal(changed(OFF, seed), PHOTO)


def test_the_generator_alone_decides_and_the_photo_that_is_given_stays_as_it_is() -> None:
    everything, given = Augment(cutout=3), PHOTO.copy()
    first, again = (augmented(given, everything, np.random.default_rng(7)).numpy() for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, augmented(given, everything, np.random.default_rng(8)).numpy())
    augmented(given, replace(OFF, cutout=3), np.random.default_rng(7))
    np.testing.assert_array_equal(given, PHOTO)


def test_one_switch_does_not_change_the_others_draws() -> None:
    for seed in range(20):
        # the squares lie in the same places, mirrored or not
        alone = (changed(replace(OFF, cutout=4), seed) == 128).all(axis=2)
        together = (changed(replace(OFF, cutout=4, flip=1), seed) == 128).all(axis=2)
        assert (alone & together).sum() >= 24
        # the generator is left where it was left
        rngs = [np.random.default_rng(seed) for _ in range(2)]
        for rng, augment in zip(rngs, (OFF, Augment(cutout=9)), strict=True):
            augmented(PHOTO.copy(), augment, rng)
        assert rngs[0].random() == rngs[1].random()


def test_flip_and_rotation_by_hand() -> None:
    np.testing.assert_array_equal(changed(replace(OFF, flip=1)), PHOTO[:, ::-1])
    flipped = sum(np.array_equal(changed(replace(OFF, flip=0.3), seed), PHOTO[:, ::-1]) for seed in range(400))
    assert 80 < flipped < 160
    np.testing.assert_array_equal(changed(replace(OFF, rotate=90)), PHOTO)  # a share of 0
    plain = np.full((40, 40, 3), (200, 100, 50), dtype=np.uint8)
    # what comes in from beyond the edges has the photo's mean colour
    turned = changed(replace(OFF, rotate=45, rotate_share=1), photo=plain)
    np.testing.assert_array_equal(turned[[0, 0, -1, -1], [0, -1, 0, -1]], plain[:4, 0])
    assert (turned == plain).all(axis=2).mean() > 0.9  # torchvision darkens the seam
    assert not np.array_equal(changed(replace(OFF, rotate=45, rotate_share=1)), PHOTO)


def test_cutout_squares_are_grey_eighths_of_the_side() -> None:
    black = np.zeros((64, 80, 3), dtype=np.uint8)
    for seed in range(10):
        one = (changed(replace(OFF, cutout=1), seed, black) == 128).all(axis=2)
        assert one.sum() == 8 * 10
        rows, columns = np.flatnonzero(one.any(axis=1)), np.flatnonzero(one.any(axis=0))
        assert (np.ptp(rows), np.ptp(columns)) == (7, 9)
        many = (changed(replace(OFF, cutout=5), seed, black) == 128).all(axis=2)
        assert 80 < many.sum() <= 5 * 80
        assert many[one].all()


def test_value_multiplies_and_brightness_adds() -> None:
    grey = np.full((8, 8, 3), 100, dtype=np.uint8)
    values, added = set(), set()
    for seed in range(300):
        value, brightness = (changed(replace(OFF, **{name: 0.2}), seed, grey) for name in ("value", "brightness"))
        assert len(np.unique(value)) == len(np.unique(brightness)) == 1
        values.add(int(value[0, 0, 0]))
        added.add(int(brightness[0, 0, 0]))
        both = changed(replace(OFF, value=0.2, brightness=0.2), seed, grey)
        assert abs(int(both[0, 0, 0]) - (int(value[0, 0, 0]) + int(brightness[0, 0, 0]) - 100)) <= 1
    assert min(values) in (79, 80, 81)
    assert max(values) in (118, 119, 120)
    assert min(added) in (49, 50, 51)
    assert max(added) in (149, 150, 151)
    white = np.full((8, 8, 3), 250, dtype=np.uint8)
    assert max(int(changed(replace(OFF, brightness=1), seed, white).max()) for seed in range(20)) == 255


COUNTS = [9, 5, 4, 2, 1, 1, 1]
LABELS = np.random.default_rng(3).permutation(np.repeat(np.arange(7), COUNTS))


@pytest.mark.parametrize("power", [0.0, 0.3, 0.5, 1.0])
def test_an_epoch_has_as_many_rows_each_floor_or_ceil_of_its_expected_times(power: float) -> None:
    sampler = ShareSampler(LABELS, power, 0)
    share = np.array(COUNTS, dtype=float)[LABELS] ** -power
    expected = len(LABELS) * share / share.sum()
    for epoch in range(60):
        times = np.bincount(sampler.rows(epoch), minlength=len(LABELS))
        assert times.sum() == len(LABELS) == len(sampler)
        assert (times >= np.floor(expected - 1e-9)).all()
        assert (times <= np.ceil(expected + 1e-9)).all()


def test_power_0_takes_every_photo_once_and_power_1_every_individual_alike() -> None:
    for epoch in range(10):
        assert sorted(ShareSampler(LABELS, 0.0, 1).rows(epoch)) == list(range(len(LABELS)))
    drawn = np.concatenate([ShareSampler(LABELS, 1.0, 1).rows(epoch) for epoch in range(600)])
    shares = np.bincount(LABELS[drawn]) / len(drawn)
    np.testing.assert_allclose(shares, 1 / 7, atol=0.006)
    half = np.concatenate([ShareSampler(LABELS, 0.5, 1).rows(epoch) for epoch in range(600)])
    np.testing.assert_allclose(
        np.bincount(LABELS[half]) / len(half), np.sqrt(COUNTS) / np.sqrt(COUNTS).sum(), atol=0.006
    )


def test_epochs_differ_and_an_epoch_is_always_the_same() -> None:
    sampler = ShareSampler(LABELS, 0.5, 5)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert [draw.row for draw in first] != [draw.row for draw in second]
    assert [(draw.epoch, draw.position) for draw in second] == [(1, i) for i in range(len(LABELS))]
    other = ShareSampler(LABELS, 0.5, 5)
    other.set_epoch(1)
    assert list(other) == second
    assert list(ShareSampler(LABELS, 0.5, 6)) != first


def test_devices_take_parts_of_the_same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = ShareSampler(LABELS, 0.5, 0).rows(0)
    sampler, parts = ShareSampler(LABELS, 0.5, 0, multiple=3), []
    for rank in range(3):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        parts.append(list(sampler))
    assert [len(part) for part in parts] == [len(sampler)] * 3 == [len(LABELS) // 3] * 3
    together = sorted((draw.position, draw.row) for part in parts for draw in part)
    assert together == list(enumerate(alone[: 3 * len(sampler)]))


def test_rates_by_hand() -> None:
    recipe = Recipe(warmup=0.1)
    told = [recipe.rate(step, 20) for step in (0, 1, 2, 11, 20)]
    assert told == pytest.approx([0.5, 1.0, 1.0, 0.5, 0.0])
    assert [Recipe(warmup=0).rate(step, 4) for step in range(5)] == pytest.approx(
        [1, 0.853553, 0.5, 0.146447, 0], abs=1e-6
    )
    assert [Recipe(warmup=1).rate(step, 4) for step in range(4)] == pytest.approx([0.25, 0.5, 0.75, 1])


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ({"epochs": 0}, "1 <= epochs <= 10000 must hold, but got epochs=0"),
        ({"epochs": 1.5}, "epochs must be a whole number, but got epochs=1.5"),
        ({"batch_size": 1}, "2 <= batch_size <= 65536 must hold, but got batch_size=1"),
        ({"seed": -1}, "0 <= seed <= 2147483648 must hold, but got seed=-1"),
        ({"seed": 0.5}, "seed must be a whole number, but got seed=0.5"),
        ({"lr_body": math.nan}, "0 <= lr_body <= 10 must hold, but got lr_body=nan"),
        ({"ema": 1}, "0 <= ema <= 0.999999 must hold, but got ema=1"),
        ({"share_power": True}, "0 <= share_power <= 1 must hold, but got share_power=True"),
    ],
)
def test_a_recipe_out_of_bounds_is_refused(setting: dict[str, Any], line: str) -> None:
    with pytest.raises(FinblendError) as refusal:
        recipe_from({}, {}, setting)
    assert str(refusal.value) == line


def test_an_unreadable_photo_gives_its_turn_to_another_and_none_at_all_is_refused(tmp_path: Path) -> None:
    files = [str(tmp_path / f"{i}.jpg") for i in range(4)]
    Image.fromarray(PHOTO).save(files[0])
    for file in files[1:]:
        Path(file).write_bytes(b"not a photo")
    who, frame = np.arange(4), Frame(16, 16)
    crops = [[None] * 4, [Box(0, 0, 20, 20)] * 4]
    photos = TrainingPhotos(files, crops, who, who, frame, Augment(), 0)
    shown = [photos[Draw(0, position, 2)] for position in range(8)]
    assert {individual for _, individual, _ in shown} == {0}
    assert all(pixels.shape == (16, 16, 3) and pixels.dtype == torch.uint8 for pixels, _, _ in shown)
    assert torch.equal(photos[Draw(0, 3, 2)][0], shown[3][0])
    plain = TrainingPhotos(files, crops, who, who, frame, OFF, 0)
    assert len({plain[Draw(0, position, 0)][0].numpy().tobytes() for position in range(12)}) == 2  # whole or box
    none = TrainingPhotos(files[1:], [[None] * 3], who[:3], who[:3], frame, Augment(), 0)
    with pytest.raises(FinblendError, match="20 photos drawn one after another cannot be read, such as"):
        none[Draw(0, 0, 0)]


def test_what_heads_say_of_every_photo() -> None:
    rng = np.random.default_rng(0)
    views = {name: rng.standard_normal((6, 8)).astype(np.float32) for name in ("orig", "hflip")}
    heads = {
        "individuals": build_head(HeadRecipe(), 8, np.ones(5, dtype=np.int64)),
        "species": build_head(HeadRecipe(sub_centers=1), 8, np.ones(3, dtype=np.int64)),
    }
    told = head_predictions(views, heads, 30.0)
    with torch.inference_mode():
        mean = {
            name: np.mean([head.cosines(torch.from_numpy(view)).numpy() for view in views.values()], axis=0)
            for name, head in heads.items()
        }
    order = np.argsort(-mean["individuals"], axis=1)
    np.testing.assert_array_equal(told["pred_idx"], order)
    np.testing.assert_allclose(told["pred_logit"], np.take_along_axis(mean["individuals"], order, 1), atol=1e-6)
    raised = np.exp(30 * mean["species"])
    np.testing.assert_allclose(told["pred_species"], raised / raised.sum(axis=1, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(told["pred_species"].sum(axis=1), 1, atol=1e-6)
    assert {name: (str(array.dtype), array.shape) for name, array in told.items()} == {
        "pred_idx": ("int32", (6, 5)),
        "pred_logit": ("float32", (6, 5)),
        "pred_species": ("float32", (6, 3)),
    }
    many = {"individuals": build_head(HeadRecipe(), 8, np.ones(1200, dtype=np.int64))}
    told = head_predictions(views, many, 30.0)
    assert told.keys() == {"pred_idx", "pred_logit"}
    assert told["pred_idx"].shape == (6, 1000)
    assert (np.diff(told["pred_logit"], axis=1) <= 0).all()
