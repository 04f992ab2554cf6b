"""A plan instead of a matching: worked by hand where it counts, and nothing is written into the project."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

import ensemble
from cv.errors import FinblendError
from ensemble.cli import main
from ensemble.marks import plan_rates
from ensemble.marks.plan import plan_match
from ensemble.marks.plan_rates import IndexWork, grown
from postproc.lnbnn.inverted_index import CELL, PROBES, learnt_from

pytest.importorskip("cv2")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of noise of two species, 8 and 4 of them, and 4 test photos."""
    folder = tmp_path_factory.mktemp("plan")
    rng = np.random.default_rng(0)
    (folder / "photos").mkdir()
    train, test = [f"a{n:02d}.png" for n in range(12)], [f"b{n:02d}.png" for n in range(4)]
    for name in train + test:
        coarse = rng.integers(0, 256, (30, 40), dtype=np.uint8)
        Image.fromarray(coarse).resize((160, 120)).convert("RGB").save(folder / "photos" / name)
    who = [f"id{n // 2}" for n in range(12)]
    species = ["beluga"] * 8 + ["fin_whale"] * 4
    pl.DataFrame({"image": train, "species": species, "individual_id": who}).write_csv(folder / "train.csv")
    pl.DataFrame({"image": test, "predictions": ["new_individual"] * 4}).write_csv(folder / "test.csv")
    ensemble.init(folder / "P", train=folder / "train.csv", test=folder / "test.csv", folds=2)
    return folder


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rates of little work."""
    monkeypatch.setattr(plan_rates, "GROWN", 4000)
    monkeypatch.setattr(plan_rates, "_GALLERY", 1000)
    monkeypatch.setattr(plan_rates, "_ASKED", 200)


def contents(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_plan_extrapolates_and_writes_nothing(scene: Path) -> None:
    before = contents(scene / "P")
    plan = plan_match(scene / "P", 3, images=[scene / "photos"], keypoints=50, shortlist=5, workers=1, exact=350)
    assert contents(scene / "P") == before
    assert (plan.sample, plan.photos, plan.workers) == (3, {"train": 12, "test": 4}, 1)
    assert 0 < plan.keypoints <= 50
    large, small = plan.galleries
    assert (large.species, large.photos, large.queries) == ("beluga", 8, 8 + 3)
    assert (small.species, small.photos, small.queries) == ("fin_whale", 4, 4 + 1)
    assert large.descriptors == round(8 * plan.keypoints)
    assert (large.exact, small.exact) == (large.descriptors <= 350, True)
    assert large.memory == large.descriptors * (128 + 8)
    assert large.peak == large.memory + learnt_from(large.descriptors) * 4 * 128
    assert small.memory == small.peak == small.descriptors * 4 * 128
    steps = {each.step: each for each in plan.steps}
    assert list(steps) == ["features", "votes, exact", "votes, index built", "votes, index asked", "verification"]
    assert steps["features"].work == 16
    assert steps["votes, exact"].work == pytest.approx(5 * plan.keypoints * small.descriptors)
    # there are no models: five that the marks bring up, of beluga; of fin whale there are four
    assert steps["verification"].work == 11 * 5 + 5 * 4
    assert all(each.seconds == each.work / each.rate > 0 for each in plan.steps)
    assert plan.seconds == sum(each.seconds for each in plan.steps) == pytest.approx(plan.hours * 3600)
    # float16 keypoints and descriptors of a byte a part, and what stands around them
    assert plan.disk["features"] > 16 * plan.keypoints * 128
    assert plan.disk["pairs"] >= (11 * 8 + 5 * 4) * 16


def test_without_verification_and_among_all_species_there_is_one_gallery_and_no_pair(scene: Path) -> None:
    plan = plan_match(scene / "P", 2, images=[scene / "photos"], keypoints=20, verify="none", per_species=False)
    assert [(each.species, each.photos, each.exact) for each in plan.galleries] == [("all", 12, True)]
    assert [each.seconds for each in plan.steps if each.step == "verification"] == [0]


def test_the_command_says_that_it_extrapolates(scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["match", scene / "P", "marks", "--images", scene / "photos", "--sample", "2", "--keypoints", "20"]
    assert main([*map(str, words), "--verify", "none"]) == 0
    printed = capsys.readouterr().out
    assert "beluga" in printed
    assert "this is an extrapolation from 2 photos; nothing was written" in printed
    assert not list((scene / "P").rglob("pairs/*"))


def test_a_sample_of_one_photo_is_refused(scene: Path) -> None:
    with pytest.raises(FinblendError, match="--sample >= 2 must hold, but got sample=1"):
        plan_match(scene / "P", 1, images=[scene / "photos"])


def test_the_work_of_an_index_by_hand() -> None:
    work = IndexWork.of(100 * CELL)
    assert work.asking == 100 + PROBES * CELL
    assert work.building == 100 * (10 * 100 * 40 + 100 * CELL)
    # a small one has one cell, and every descriptor is in it
    assert IndexWork.of(10).asking == 11


def test_a_grown_sample_keeps_its_descriptors_and_all_are_of_length_one() -> None:
    rng = np.random.default_rng(0)
    few = grown(rng.normal(size=(5, 16)).astype(np.float32), 5, rng)
    more = grown(few, 12, rng)
    np.testing.assert_allclose(more[:5], few, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(more, axis=1), 1, atol=1e-5)
    nearest = (more[5:] @ few.T).argmax(axis=1)
    assert nearest.tolist() == [0, 1, 2, 3, 4, 0, 1]
