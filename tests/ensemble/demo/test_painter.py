"""The painted catalogue: same seed, same bytes; its tables agree; marks stay, flanks differ; the sheets."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from backbones.photos import read_every_box
from cv.errors import FinblendError
from ensemble.demo.painter import Painted, answers_sheet, contact_sheet, paint_catalogue
from ensemble.demo.painter.individuals import SPECIES, draw_individual
from ensemble.demo.painter.outlines import outline
from ensemble.demo.painter.photo import draw_pose, take_photo
from ensemble.demo.painter.scene import draw_weather
from ensemble.demo.painter.schedule import NEW_SHARE, TEST_SHARE, plan
from ensemble.demo.painter.skin import paint_skin

INDIVIDUALS = 20
SIZE = 64


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Painted:
    return paint_catalogue(tmp_path_factory.mktemp("painted") / "world", individuals=INDIVIDUALS, seed=3, size=SIZE)


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_same_seed_same_bytes_another_seed_others(painted: Painted, tmp_path: Path) -> None:
    again = paint_catalogue(tmp_path / "again", individuals=INDIVIDUALS, seed=3, size=SIZE)
    assert _hashes(again.folder) == _hashes(painted.folder)
    other = paint_catalogue(tmp_path / "other", individuals=INDIVIDUALS, seed=4, size=SIZE)
    assert not set(_hashes(other.folder / "photos").values()) & set(_hashes(painted.folder / "photos").values())


def test_tables_name_exactly_the_photos(painted: Painted) -> None:
    named = painted.train["image"].to_list() + painted.test["image"].to_list()
    assert len(set(named)) == len(named)
    assert sorted(named) == sorted(path.name for path in (painted.folder / "photos").iterdir())
    with Image.open(painted.photo(named[0])) as photo:
        assert (photo.format, photo.size, photo.mode) == ("JPEG", (64, 48), "RGB")


def test_written_tables_are_the_returned_ones(painted: Painted) -> None:
    assert painted.train.columns == ["image", "species", "individual_id", "encounter"]
    assert pl.read_csv(painted.folder / "train.csv").equals(painted.train)
    assert pl.read_csv(painted.folder / "answers.csv").equals(painted.test)
    sample = pl.read_csv(painted.folder / "sample_submission.csv")
    assert sample["image"].equals(painted.test["image"])
    assert sample["predictions"].unique().to_list() == ["new_individual"]


def test_strangers_are_never_in_train_and_known_ones_always(painted: Painted) -> None:
    known = set(painted.train["individual_id"])
    joined = painted.details.filter(split="test").join(painted.test, on="image")
    assert joined.height == painted.test.height
    for individual, answer in joined.select("individual", "answer").iter_rows():
        assert answer == (individual if individual in known else "new_individual")
    assert len(known) == INDIVIDUALS


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_counts_are_long_tailed_and_hardly_depend_on_the_seed(seed: int) -> None:
    photos = plan(120, seed)
    train, test = photos.filter(split="train"), photos.filter(split="test")
    counts = train["individual"].value_counts()["count"]
    assert (len(counts), train.height) == (120, plan(120, 9).filter(split="train").height)
    assert 0.3 < (counts == 1).mean() < 0.5 < counts.max() / 50
    assert 900 <= photos.height <= 1000
    assert test.height == round(train.height * TEST_SHARE)
    strangers = test.join(train, on="individual", how="anti")
    assert strangers.height == round(test.height * NEW_SHARE)
    assert train["species"].n_unique() == len(SPECIES)


def test_an_encounter_is_of_one_individual_on_one_side_of_the_split() -> None:
    photos = plan(60, 0)
    for column in ("individual", "split"):
        assert photos.group_by("encounter").agg(pl.col(column).n_unique())[column].max() == 1
    assert photos["encounter"].value_counts()["count"].max() > 2
    # both flanks are met, also within an encounter
    flanks = photos.filter(species="killer_whale").group_by("encounter").agg(pl.col("flank").n_unique())
    assert flanks["flank"].max() == 2


def test_a_photo_does_not_depend_on_which_others_are_painted(painted: Painted, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    again = paint_catalogue(
        tmp_path / "again", individuals=20, seed=3, size=96, progress=lambda *done: calls.append(done)
    )
    assert again.details.equals(painted.details)
    assert calls == [(done + 1, again.details.height) for done in range(again.details.height)]


@pytest.mark.parametrize("species", SPECIES, ids=lambda species: species.name)
def test_marks_are_permanent_and_each_flank_and_animal_has_its_own(species) -> None:
    one = draw_individual(species, np.random.default_rng(1))
    assert one == draw_individual(species, np.random.default_rng(1))
    other = draw_individual(species, np.random.default_rng(2))
    np.testing.assert_array_equal(outline(one), outline(one))
    assert np.abs(outline(one) - outline(other)).max() > 0.005
    skins = [np.asarray(paint_skin(one, flank, 96)) for flank in range(len(species.flanks))]
    np.testing.assert_array_equal(skins[0], np.asarray(paint_skin(one, 0, 96)))
    if len(skins) == 2:
        # the outline is the same animal's, the pigment is not
        np.testing.assert_array_equal(skins[0][..., 3], skins[1][..., 3])
        assert np.abs(skins[0][..., :3].astype(int) - skins[1][..., :3]).max() > 20


def test_two_photos_of_one_skin_differ_in_pose_and_moment() -> None:
    skin = paint_skin(draw_individual(SPECIES[0], np.random.default_rng(0)), 0, 80)
    weather = draw_weather(np.random.default_rng(0))

    def photo(seed: int) -> bytes:
        rng = np.random.default_rng(seed)
        return take_photo(skin, draw_pose(1.0, False, rng), weather, 64, rng).file

    assert photo(1) == photo(1) != photo(2)


def test_boxes_stand_around_the_animals(painted: Painted, tmp_path: Path) -> None:
    table = read_every_box(str(painted.folder / "boxes.csv"))
    assert sorted(table.names) == sorted(painted.details["image"])
    sides = np.array([[box.x1, box.y1, box.x2, box.y2] for box in table.boxes])
    assert (sides >= 0).all()
    assert (sides <= [SIZE, SIZE * 3 / 4] * 2).all()
    share = np.prod(sides[:, 2:] - sides[:, :2], axis=1) / (SIZE * SIZE * 3 / 4)
    assert 0.3 < np.median(share) < 0.7
    # twice as far away, a quarter of the photo; the animal is as many pixels wide
    far = paint_catalogue(tmp_path / "far", individuals=INDIVIDUALS, seed=3, size=2 * SIZE, distance=2)
    farther = read_every_box(str(far.folder / "boxes.csv"))
    wide = [box.x2 - box.x1 for box in farther.boxes]
    assert np.median(wide) == pytest.approx(np.median(sides[:, 2] - sides[:, 0]), rel=0.3)
    assert min(wide) > 5
    with pytest.raises(FinblendError, match=r"1 <= distance <= 4 must hold, but got distance=0\.5"):
        paint_catalogue(tmp_path / "near", distance=0.5)


def test_the_box_is_that_of_what_is_seen() -> None:
    """A skin that is red alone: above the water all of it is in the box, and it reaches all four sides."""
    red = Image.new("RGBA", (80, 60), (255, 0, 0, 0))
    red.paste((255, 0, 0, 255), (20, 15, 60, 60))
    weather = draw_weather(np.random.default_rng(1))
    for seed in range(8):
        rng = np.random.default_rng(seed)
        taken = take_photo(red, draw_pose(0.8, False, rng), weather, 160, rng)
        with Image.open(io.BytesIO(taken.file)) as photo:
            pixels = np.asarray(photo.convert("RGB")).astype(int)
        down, across = np.nonzero(pixels[..., 0] - pixels[..., 1] > 90)
        seen = (across.min(), down.min(), across.max() + 1)
        np.testing.assert_allclose(taken.box[:3], seen, atol=4)


def test_contact_sheet_has_a_row_a_species(painted: Painted, tmp_path: Path) -> None:
    for each, name in ((3, "three.png"), (1, "one.png")):
        contact_sheet(tmp_path / name, painted, each=each)
        with Image.open(tmp_path / name) as sheet:
            assert sheet.format == "PNG"
            assert sheet.width == 2 * each * 208 + 16
            assert sheet.height == 8 + painted.train["species"].n_unique() * 204
    with pytest.raises(FinblendError, match="1 <= each <= 10 must hold, but got each=0"):
        contact_sheet(tmp_path / "none.png", painted, each=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.png", "three.png"]


def test_answers_sheet_frames_the_right_name_green_and_wrong_ones_not(painted: Painted, tmp_path: Path) -> None:
    query = painted.photo(painted.test["image"][0])
    example = painted.photo(painted.train["image"][0])
    rows = [
        (query, "a", [("b", example), ("a", example), ("new_individual", None)]),
        (query, "new_individual", [("new_individual", None)]),
    ]
    answers_sheet(tmp_path / "answers.png", rows)
    with Image.open(tmp_path / "answers.png") as sheet:
        assert sheet.size == (6 * 208 + 24, 26 + 8 + 2 * 178)
        # top left corners of the first row's three answers and the second row's one
        corners = [sheet.getpixel((32 + 200 + rank * 208, 34)) for rank in range(3)]
        second = sheet.getpixel((32 + 200, 34 + 178))
    red, green, grey = (196, 64, 56), (36, 150, 74), (170, 172, 174)
    assert corners == [red, green, grey]
    assert second == green


@pytest.mark.parametrize(
    ("asked", "refusal"),
    [
        ({"individuals": 19}, "individuals must be a whole number >= 20, but got individuals=19"),
        ({"individuals": 20.0}, "individuals must be a whole number >= 20, but got individuals=20.0"),
        ({"size": 63}, "size must be a whole number >= 64, but got size=63"),
        ({"seed": -1}, "seed must be a whole number >= 0, but got seed=-1"),
    ],
)
def test_bad_values_are_refused_before_anything_is_written(asked, refusal, tmp_path: Path) -> None:
    with pytest.raises(FinblendError) as caught:
        paint_catalogue(tmp_path / "world", **asked)
    assert str(caught.value) == refusal
    assert not (tmp_path / "world").exists()


def test_folders_and_photos_that_cannot_be_used_are_refused(painted: Painted, tmp_path: Path) -> None:
    with pytest.raises(FinblendError, match="already exists; choose another folder or remove it"):
        paint_catalogue(painted.folder, individuals=20)
    (tmp_path / "file").write_text("")
    with pytest.raises(FinblendError, match="cannot be written"):
        paint_catalogue(tmp_path / "file" / "world", individuals=20)
    with pytest.raises(FinblendError, match="needs at least one query"):
        answers_sheet(tmp_path / "answers.png", [])
    query = painted.photo(painted.test["image"][0])
    with pytest.raises(FinblendError, match="at most 5 names fit on a row, but got 6"):
        answers_sheet(tmp_path / "answers.png", [(query, "a", [("b", None)] * 6)])
    with pytest.raises(FinblendError, match=r"absent\.jpg: cannot be read as a photo"):
        answers_sheet(tmp_path / "answers.png", [(tmp_path / "absent.jpg", "a", [])])
    assert not (tmp_path / "answers.png").exists()
