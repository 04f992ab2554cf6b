"""Finished parts of a matching are read back or made again, and joined pairs keep their points."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from backbones.pair_store import Pairs
from cv.files import written_beside
from ensemble.engine.kept import read_arrays, write_arrays
from ensemble.marks.verified import VerifiedPairs


def test_a_damaged_part_is_none_or_what_it_was(tmp_path: Path) -> None:
    """Every byte is garbled once."""
    path, names = tmp_path / "p.npz", ("query", "score")
    arrays = {"query": np.arange(3), "score": np.array([0.5, 1, 2], np.float32)}
    write_arrays(path, arrays)
    whole = path.read_bytes()
    lost = 0
    for at in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[at] ^= 0x15
        path.write_bytes(damaged)
        read = read_arrays(path, names)
        lost += read is None
        assert read is None or all(np.array_equal(read[name], arrays[name]) for name in names)
    assert lost > len(whole) / 6
    path.write_bytes(whole)
    assert read_arrays(path, ("query", "gone")) is None
    assert read_arrays(tmp_path / "gone.npz", names) is None


@pytest.mark.parametrize("when", ["before", "while it is written"])
def test_a_folder_that_another_driver_removes_is_made_again_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    tries = list[Path]()

    @contextlib.contextmanager
    def removed(path: Path) -> Iterator[Path]:
        tries.append(path)
        if len(tries) == 1 and when == "before":
            path.parent.rmdir()
        with written_beside(path) as temporary:
            yield temporary
            if len(tries) == 1:
                shutil.rmtree(path.parent)

    monkeypatch.setattr("ensemble.engine.kept.written_beside", removed)
    write_arrays(tmp_path / "parts" / "0.npz", {"numbers": np.arange(3)})
    assert len(tries) == 2
    found = read_arrays(tmp_path / "parts" / "0.npz", ["numbers"])
    assert found is not None
    assert found["numbers"].tolist() == [0, 1, 2]


def test_joined_pairs_are_sorted_with_their_points() -> None:
    rng = np.random.default_rng(0)
    keys = rng.permutation(30)
    points = {int(key): rng.random((int(key) % 4, 4)).astype(np.float32) for key in keys}

    def some(of: np.ndarray) -> VerifiedPairs:
        return VerifiedPairs(
            query=(of // 6).astype(np.int32),
            gallery=(of % 6).astype(np.int32),
            inliers=of.astype(np.float32),
            spread=of / np.float32(30),
            n_points=np.array([len(points[int(key)]) for key in of], np.int32),
            points=np.concatenate([np.empty((0, 4), np.float32), *(points[int(key)] for key in of)]),
        )

    found = VerifiedPairs.joined([VerifiedPairs.none(), some(keys[:11]), some(keys[11:])])
    assert found.inliers.tolist() == list(range(30))
    np.testing.assert_array_equal(found.points, np.concatenate([points[key] for key in range(30)]))
    odd = found.where(found.inliers % 2 == 1)
    np.testing.assert_array_equal(odd.points, np.concatenate([points[key] for key in range(1, 30, 2)]))
    assert len(VerifiedPairs.joined([VerifiedPairs.none()]).query) == 0
    assert (
        Pairs(query=odd.query, gallery=odd.gallery, score=odd.inliers).query.tolist()
        == (np.arange(1, 30, 2) // 6).tolist()
    )
