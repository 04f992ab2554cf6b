"""A run over photos: killed at any moment it goes on to the same bytes, and what it could not read it tells."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from backbones.adapters import Backbone
from backbones.extraction.forward import Forward
from backbones.extraction.nobody import stand_in
from backbones.extraction.photo_set import PhotoSet
from backbones.extraction.run import PROBE, Extracted, Run, fingerprint
from backbones.extraction.views import View, views_of
from backbones.photos import Box, Frame

CPU = torch.device("cpu")
BOTH = views_of(["orig", "hflip"])
FRAME = Frame(12, 16)
COUNT, BATCH = 11, 3
MISSING, BROKEN = 2, 7


@pytest.fixture
def photos(tmp_path: Path) -> PhotoSet:
    """Photos of noise; one is not there, one is no photo."""
    rng, files = np.random.default_rng(0), []
    (tmp_path / "photos").mkdir()
    for row in range(COUNT):
        files.append(tmp_path / "photos" / f"p{row}.png")
        Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(files[-1])
    files[BROKEN].write_bytes(b"no photo")
    given = [None if row == MISSING else str(file) for row, file in enumerate(files)]
    return PhotoSet([file.name for file in files], given, [[None] * COUNT], FRAME)


def forward() -> Forward:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d((1, 2)), nn.Flatten())
    return Forward.of(Backbone(network, FRAME.height, FRAME.width), CPU)


class Killed(Exception):
    """What stands for a kill within this process."""


@dataclass
class Mortal:
    """A forward pass that ends after some batches, by an exception or with its process."""

    alive: Forward
    batches: int
    with_process: bool = False
    sizes: list[int] = field(default_factory=list)
    device: torch.device = CPU

    def __call__(self, pixels: Tensor, views: Sequence[View]) -> Tensor:
        if len(self.sizes) == self.batches:
            if self.with_process:
                os._exit(9)
            raise Killed
        self.sizes.append(len(pixels))
        return self.alive(pixels, views)


def run(photos: PhotoSet, folder: Path, workers: int = 0, batches: int = 99) -> tuple[Run, Mortal]:
    mortal = Mortal(forward(), batches)
    return Run(mortal, photos, BOTH, folder, BATCH, workers), mortal  # type: ignore[arg-type]


def bytes_of(made: Extracted) -> list[bytes]:
    arrays = [made.views["orig"], made.views["hflip"], made.failed, made.note, made.whole]
    return [array.tobytes() for array in arrays]


def test_every_photo_gets_the_embedding_of_its_own_pixels(photos: PhotoSet, tmp_path: Path) -> None:
    made = run(photos, tmp_path / "parts")[0].extract()
    assert list(made.views) == ["orig", "hflip"]
    for row in set(range(COUNT)) - {MISSING, BROKEN}:
        alone = forward()(torch.from_numpy(photos[row].pixels)[None], BOTH)
        np.testing.assert_allclose([made.views["orig"][row], made.views["hflip"][row]], alone[:, 0], atol=1e-5)
    assert made.views["orig"].dtype == np.float32
    assert made.computed == COUNT - 2


def test_what_could_not_be_read_is_told(photos: PhotoSet, tmp_path: Path) -> None:
    made = run(photos, tmp_path / "parts")[0].extract()
    assert np.flatnonzero(made.failed).tolist() == [MISSING, BROKEN]
    assert np.flatnonzero(made.note != "").tolist() == [MISSING, BROKEN]
    assert made.note[MISSING] == "missing" != made.note[BROKEN]
    assert made.whole.tolist() == [0] * COUNT


def test_boxes_too_small_are_counted_and_the_whole_photo_is_shown(photos: PhotoSet) -> None:
    boxes = [[Box(0, 0, 20, 20)] * COUNT, [Box(0, 0, 3, 3)] * COUNT, [None] * COUNT]
    photo = PhotoSet(photos.names, photos.files, boxes, FRAME)[0]
    assert photo.pixels.shape == (3, 12, 16, 3)
    assert photo.whole == 1
    np.testing.assert_array_equal(photo.pixels[1], photo.pixels[2])
    assert not np.array_equal(photo.pixels[0], photo.pixels[2])


@pytest.mark.parametrize("with_process", [False, True])
@pytest.mark.parametrize("batches", [0, 1, 2, 3])
def test_a_killed_run_goes_on_to_the_same_bytes(
    photos: PhotoSet, tmp_path: Path, batches: int, with_process: bool
) -> None:
    whole = run(photos, tmp_path / "whole")[0].extract()
    killed, mortal = run(photos, tmp_path / "parts", batches=batches)
    if with_process:
        mortal.with_process = True
        if (child := os.fork()) == 0:
            try:
                killed.extract()
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    else:
        with pytest.raises(Killed):
            killed.extract()
    # the last batch that was computed was still under way
    kept = batches
    assert len(list((tmp_path / "parts").glob("batch-*.npz"))) == kept
    told: list[tuple[int, int]] = []
    resumed, alive = run(photos, tmp_path / "parts")
    made = resumed.extract(lambda done, total: told.append((done, total)))
    assert bytes_of(made) == bytes_of(whole)
    assert alive.sizes == [3, 3, 3, 2][kept:]
    # of those that were left, but for the ones that cannot be read
    assert made.computed == COUNT - 3 * kept - sum(row >= 3 * kept for row in (MISSING, BROKEN))
    assert told == [(3 * kept, COUNT), *((size, COUNT) for size in alive.sizes)]
    again, unused = run(photos, tmp_path / "parts")
    assert bytes_of(again.extract()) == bytes_of(whole)
    assert unused.sizes == []


def bit_flipped(raw: bytes) -> bytes:
    """The zip's directory now says that its last file is encrypted."""
    at = raw.rindex(b"PK\x01\x02") + 8
    return raw[:at] + bytes([raw[at] | 1]) + raw[at + 1 :]


@pytest.mark.parametrize("damage", ["empty", "half", "text", "bit", "array", "views", "rows", "names", "numbers"])
def test_a_broken_part_is_made_again(photos: PhotoSet, tmp_path: Path, damage: str) -> None:
    whole = run(photos, tmp_path / "parts")[0].extract()
    part = tmp_path / "parts" / "batch-000001.npz"
    raw = part.read_bytes()
    with np.load(part) as file:
        arrays = dict(file)
    texts = {"empty": b"", "half": raw[: len(raw) // 2], "text": b"x" * 99, "bit": bit_flipped(raw)}
    if damage in texts:
        part.write_bytes(texts[damage])
    elif damage == "array":
        with part.open("wb") as file:
            np.save(file, arrays["embedded"])
    else:
        embedded = arrays.pop("embedded")
        other = {"views": embedded[:1], "rows": embedded[:, :2], "numbers": embedded[0, 0]}.get(damage)
        np.savez(part, **arrays, **({} if other is None else {"embedded": other}))
    resumed, alive = run(photos, tmp_path / "parts")
    assert bytes_of(resumed.extract()) == bytes_of(whole)
    assert alive.sizes == [3]
    assert run(photos, tmp_path / "parts")[0].extract().computed == 0


def test_worker_processes_give_the_same_bytes(photos: PhotoSet, tmp_path: Path) -> None:
    one = run(photos, tmp_path / "one", workers=1)[0].extract()
    assert bytes_of(one) == bytes_of(run(photos, tmp_path / "none")[0].extract())


def test_the_first_photos_are_those_that_can_be_read(photos: PhotoSet, tmp_path: Path) -> None:
    first = run(photos, tmp_path)[0].first_photos()
    rows = [row for row in range(COUNT) if row not in (MISSING, BROKEN)][:PROBE]
    np.testing.assert_array_equal(first, [photos[row].pixels for row in rows])
    nothing = PhotoSet(photos.names, [None] * COUNT, photos.boxes, FRAME)
    grey = run(nothing, tmp_path)[0].first_photos()
    assert grey.shape == (1, 1, 12, 16, 3)
    assert (grey == 128).all()


def test_another_run_has_another_fingerprint() -> None:
    facts = ("ab" * 32, 224, ["a.jpg", "b.jpg"], None)
    assert fingerprint(*facts) == fingerprint(*facts)
    others = [("ab" * 32, "224", ["a.jpg", "b.jpg"], None), (*facts[:2], ["a.jpg, b.jpg"], None), facts[:3]]
    assert len({fingerprint(*other) for other in [facts, *others]}) == 4


def test_a_stand_in_resembles_nobody_and_is_as_long_as_the_others() -> None:
    array = 3 * np.random.default_rng(0).standard_normal((400, 64)).astype(np.float32)
    readable = np.arange(400) != 5
    array[5] = np.nan
    made = stand_in("a.jpg", "orig", array, readable)
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made, stand_in("a.jpg", "orig", array, readable))
    others = [stand_in("b.jpg", "orig", array, readable), stand_in("a.jpg", "hflip", array, readable)]
    everyone = np.array([*others, *array[readable]])
    length = float(np.linalg.norm(made))
    # 5 standard deviations of a cosine in 64 dimensions
    assert (np.abs(everyone @ made) < 5 / 8 * length * np.linalg.norm(everyone, axis=1)).all()
    assert length == pytest.approx(np.linalg.norm(array[readable][:256], axis=1).mean(), rel=1e-5)
    assert np.linalg.norm(stand_in("a.jpg", "orig", array, np.zeros(400, bool))) == pytest.approx(1)
