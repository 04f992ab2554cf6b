"""The section to look at: planted confusions are found, broken photos are told, the page stays small and safe."""

from __future__ import annotations

import base64
import io
import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from conftest import Small
from PIL import Image

from cv.errors import FinblendError
from ensemble import Project, init, register, tune
from ensemble.comparison import compare
from ensemble.confusions import confident_mistakes, confusions
from ensemble.report import write_report
from ensemble.report.album import SIDE, Album, small_copy
from ensemble.report.look import PAIRS_SHOWN, PER_BAND, section
from ensemble.report.page import Gallery, Section, Table, Text, Warnings, render
from ensemble.report.state import State

EVIL = "<script>alert(1)</script>"


class Scene(Small):
    """id00 and id02, of six photos and more each, look the same; id04 has a name that is HTML."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        who = np.array(self.individuals)
        rng = np.random.default_rng(5)
        common = self.train[who == "id00"].mean(axis=0)
        for name in ("id00", "id02"):
            self.train[who == name] = common + 0.3 * rng.standard_normal((int((who == name).sum()), 16))
        self.individuals = [EVIL if name == "id04" else name for name in self.individuals]
        names = {"image": self.train_images, "species": self.species, "individual_id": self.individuals}
        pl.DataFrame(names).write_csv(self.train_csv)
        self.photos = folder / "photos"
        self.photos.mkdir()
        for image in self.train_images + self.test_images:
            pixels = rng.integers(0, 255, (90, 120, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((600, 450)).save(self.photos / image, quality=95)
        self.project = folder / "P"
        init(self.project, train=self.train_csv, test=self.sample_csv)
        for seed in (1, 2):
            path = self.write_npz(f"m{seed}.npz", *self.noisy(seed))
            register(self.project, f"m{seed}", frozen=True, train=path, test=path)
        tune(self.project, trials=0, nested_trials=0, new_share=0.15)

    def section(self, images: Path | None = None, precision: float = 0.99) -> Section:
        found = section(State(Project.open(self.project), images, precision=precision))
        assert found is not None
        return found


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(tmp_path_factory.mktemp("look"))


def pieces(found: Section, kind: type) -> list:
    return [piece for piece in found.body if isinstance(piece, kind)]


def test_planted_confusions_come_first(scene: Scene) -> None:
    table = pieces(scene.section(), Table)[0]
    assert table.rows[0][:2] == ["id00", "id02"]
    one, other = (dict(zip(table.header, row, strict=True)) for row in table.rows[:2])
    assert one["species"] == "fin_whale"
    assert one["share of the mix"] > 3 * other["share of the mix"]
    assert one["photos"] >= 5
    shares = [row[table.header.index("share of the mix")] for row in table.rows]
    assert shares == sorted(shares, reverse=True)


def test_without_photos_names_and_probabilities_are_tables(scene: Scene) -> None:
    found = scene.section()
    assert not pieces(found, Gallery)
    surest = pieces(found, Table)[1]
    assert "id00" in str(surest.rows[0])
    assert "id02" in str(surest.rows[0])
    # what is sure is not more than all
    shares = [
        float(cell.split(", ")[-1].removesuffix("\N{NO-BREAK SPACE}%")) for cell in surest.rows[0][2:] if cell != "-"
    ]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) <= 100.3
    assert "never saw its label" in found.measured
    assert any("--images" in piece.text for piece in pieces(found, Text))


def test_photos_stand_beside_their_names(scene: Scene) -> None:
    found = scene.section(scene.photos)
    rows = [row for gallery in pieces(found, Gallery) for row in gallery.rows]
    of = dict(zip(scene.train_images, scene.individuals, strict=True))
    for row in rows:
        assert row.query.data_uri is not None
        assert row.query.caption[0] == row.query.image
        assert 1 <= len(row.candidates) <= 5
        for shot in row.candidates:
            name = shot.caption[0].removesuffix(" (right)")
            if name == "new_individual":
                assert shot.data_uri is None
            else:
                assert of[shot.image] == name
                assert shot.data_uri is not None
            if shot.caption[0].endswith("(right)") and row.query.image in of:
                assert name in {of[row.query.image], "new_individual"}
    # every band's photos are drawn from test, at most so many
    from_test = [row.query.image for row in rows if row.query.image in scene.test_images]
    assert 0 < len(from_test) <= 3 * PER_BAND
    assert len(set(from_test)) == len(from_test)
    assert len(pieces(found, Gallery)[0].rows) <= PAIRS_SHOWN
    assert not pieces(found, Warnings)


def test_the_same_project_gives_the_same_section_and_the_page_is_small(scene: Scene) -> None:
    one, two = (render("t", [scene.section(scene.photos)]) for _ in range(2))
    assert one == two
    assert 100_000 < len(one.encode()) < 4_000_000


def test_names_are_text_on_the_page(scene: Scene) -> None:
    page = render("t", [scene.section(scene.photos)])
    assert EVIL not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.replace("<wbr>", "")


def test_the_right_answer_is_marked_and_no_mistake_is_shown_twice(scene: Scene) -> None:
    galleries = pieces(scene.section(scene.photos), Gallery)
    marked = [shot for one in galleries for row in one.rows for shot in row.candidates if shot.right]
    assert marked
    assert all(shot.caption[0].endswith(" (right)") for shot in marked)
    mistakes = [row.query.image for one in galleries if one.caption.startswith("Confident") for row in one.rows]
    assert len(mistakes) == len(set(mistakes)) > 1


def test_the_bands_are_those_of_the_wanted_precision(scene: Scene) -> None:
    text = "\n".join(piece.text for piece in pieces(scene.section(None, 0.6), Text))
    assert "at a precision of 60.0 %" in text
    with pytest.raises(FinblendError, match=r"--precision: 0 < precision < 1 must hold, but got precision=1\.5"):
        write_report(scene.project, scene.project / "r.html", precision=1.5)


def test_missing_and_broken_photos_are_told_in_words(scene: Scene, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for image in scene.train_images + scene.test_images:
        raw = (scene.photos / image).read_bytes()
        kind = int(image[2:5]) % 3
        if kind == 0:
            (folder / image).write_bytes(b"no photo at all")
        elif kind == 1:
            (folder / image).write_bytes(raw[: len(raw) // 2])
    found = scene.section(folder)
    shots = [s for gallery in pieces(found, Gallery) for row in gallery.rows for s in (row.query, *row.candidates)]
    shots = [shot for shot in shots if shot.image[:2] in {"tr", "te"}]
    told = {int(shot.image[2:5]) % 3: (shot.data_uri is not None, shot.caption[-1]) for shot in shots}
    assert told[0][0] is False
    assert told[0][1].startswith("unreadable")
    assert told[1] == (True, "truncated: shown as far as it goes")
    assert told[2] == (False, "missing")
    (line,) = pieces(found, Warnings)[0].lines
    assert "photos cannot be shown" in line


def test_a_folder_without_the_photos_is_refused(scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(FinblendError, match="none of the catalogue's 72 photos is there"):
        scene.section(tmp_path)
    with pytest.raises(FinblendError, match="gone: no such folder"):
        scene.section(tmp_path / "gone")


def test_a_report_refuses_a_folder_without_the_photos_before_it_computes(scene: Scene, tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(FinblendError, match="none of the catalogue's 72 photos is there"):
        write_report(
            scene.project, tmp_path / "r.html", images=tmp_path, progress=lambda what, done, total: told.append(what)
        )
    assert told == []


def test_without_pillow_the_line_to_install_it_is_told(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(FinblendError, match=r"--images needs the package pillow: pip install 'finblend\[photos\]'"):
        scene.section(scene.photos)
    assert pieces(scene.section(), Table)


def test_before_tuning_there_is_no_section_and_after_a_change_it_says_why(scene: Scene, tmp_path: Path) -> None:
    init(tmp_path / "P", train=scene.train_csv, test=scene.sample_csv)
    assert section(State(Project.open(tmp_path / "P"))) is None
    path = scene.write_npz("m.npz", *scene.noisy(1))
    register(tmp_path / "P", "m", frozen=True, train=path, test=path)
    tune(tmp_path / "P", trials=0, nested_trials=0, new_share=0.15)
    path = scene.write_npz("other.npz", *scene.noisy(2))
    register(tmp_path / "P", "m", frozen=True, train=path, test=path, replace=True)
    found = section(State(Project.open(tmp_path / "P")))
    assert found is not None
    (warning,) = found.body
    assert isinstance(warning, Warnings)
    assert "registered again after tuning" in warning.lines[0]


def test_compare_writes_a_page_with_the_photos(scene: Scene, tmp_path: Path) -> None:
    blend = (scene.project / "blend.json").read_text()
    threshold = blend[blend.index('"threshold"') : blend.index(",", blend.index('"threshold"'))]
    (tmp_path / "other.json").write_text(blend.replace(threshold, '"threshold": 1000.0'))
    report = compare(
        scene.project, blend=tmp_path / "other.json", output=tmp_path / "c.html", images=scene.photos, photos=4
    )
    page = (tmp_path / "c.html").read_text()
    assert report["second_better"] > 0.9
    assert "blend.json is better" in page
    assert page.count('class="row"') == page.count('class="row joined"') == len(report["photos"]["most"]) > 0
    assert all(photo["image"] in page for photo in report["photos"]["most"])
    assert EVIL not in page
    compare(scene.project, blend=tmp_path / "other.json", output=tmp_path / "c.html")
    assert "data:image" not in (tmp_path / "c.html").read_text()


# -- albums ------------------------------------------------------------------------------------------------------------


def opened(uri: str | None) -> Image.Image:
    assert uri is not None
    kind, _, data = uri.partition(";base64,")
    assert kind == "data:image/jpeg"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def near(pixel: object, colour: tuple[int, int, int]) -> bool:
    return all(abs(a - b) < 40 for a, b in zip(pixel, colour, strict=True))  # type: ignore[call-overload]


def halves(path: Path, orientation: int | None = None) -> Path:
    """A wide photo, red left and blue right."""
    pixels = np.zeros((300, 800, 3), dtype=np.uint8)
    pixels[:, :400] = (255, 0, 0)
    pixels[:, 400:] = (0, 0, 255)
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif, quality=95)
    return path


def test_a_photo_is_upright_and_cropped_to_its_box(tmp_path: Path) -> None:
    from backbones.photos import Box

    plain = opened(small_copy(halves(tmp_path / "a.jpg"), None)[0])
    assert plain.size == (SIDE, round(SIDE * 3 / 8))
    assert near(plain.getpixel((5, 5)), (255, 0, 0))
    # orientation 6: the camera was turned, left is up
    turned = opened(small_copy(halves(tmp_path / "b.jpg", 6), None)[0])
    assert turned.size == (round(SIDE * 3 / 8), SIDE)
    assert near(turned.getpixel((20, 5)), (255, 0, 0))
    assert near(turned.getpixel((20, SIDE - 5)), (0, 0, 255))
    right = opened(small_copy(tmp_path / "a.jpg", Box(420, 20, 780, 280))[0])
    assert right.size == (SIDE, round(SIDE * 260 / 360))
    assert near(right.getpixel((3, 3)), (0, 0, 255))
    # a box far outside its photo was read in a wrong form: the photo is shown whole
    assert opened(small_copy(tmp_path / "a.jpg", Box(420, 20, 2000, 280))[0]).size == plain.size
    # a photo smaller than a thumbnail stays as it is
    Image.new("RGB", (30, 20)).save(tmp_path / "c.jpg")
    assert opened(small_copy(tmp_path / "c.jpg", None)[0]).size == (30, 20)


def test_boxes_of_the_catalogue_crop_and_the_budget_holds(scene: Scene, tmp_path: Path) -> None:
    frame = pl.read_csv(scene.train_csv).with_columns(bbox=pl.lit("[[0 0 300 450]]"))
    frame.write_csv(tmp_path / "boxed.csv")
    init(tmp_path / "B", train=tmp_path / "boxed.csv", test=scene.sample_csv)
    album = Album(Project.open(tmp_path / "B"), scene.photos)
    shot = album.shot("tr000.jpg", ["a"])
    assert opened(shot.data_uri).size == (round(SIDE * 2 / 3), SIDE)
    assert opened(album.shot("te000.jpg", []).data_uri).size == (SIDE, round(SIDE * 3 / 4))
    assert shot.data_uri is not None
    tight = Album(Project.open(tmp_path / "B"), scene.photos, budget=3 * len(shot.data_uri))
    shots = [tight.shot("tr000.jpg", ["a"]) for _ in range(5)]
    assert [s.data_uri is not None for s in shots] == [True] * 3 + [False] * 2
    assert shots[-1].caption == ["a", "left out: the page is full"]
    assert tight.notes == ["1 photos are left out to keep the page small"]


def test_boxes_that_a_network_was_shown_crop_too(scene: Scene, tmp_path: Path) -> None:
    folder = tmp_path / "P"
    init(folder, train=scene.train_csv, test=scene.sample_csv)
    path = scene.write_npz("shown.npz", *scene.noisy(7))
    register(folder, "m", frozen=True, train=path, test=path)
    manifest = folder / "stores" / "m" / "frozen" / "manifest.json"
    names = {"image": scene.train_images, "bbox": ["300 0 600 450"] * 60}
    told = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(told | {"sources": {"backbone": "timm:x", "boxes 1": str(tmp_path / "boxes.csv")}}))
    # the file has moved since: photos are shown whole
    assert opened(Album(Project.open(folder), scene.photos).shot("tr001.jpg", []).data_uri).size[0] == SIDE
    pl.DataFrame(names).write_csv(tmp_path / "boxes.csv")
    assert opened(Album(Project.open(folder), scene.photos).shot("tr001.jpg", []).data_uri).size[1] == SIDE


# -- by hand -----------------------------------------------------------------------------------------------------------


def test_confusions_worked_by_hand() -> None:
    own = np.array([0, 0, 1, 2, 2, 3])
    first = np.array([1, 1, 0, 0, -2, -1])
    probability = np.array([0.6, 0.9, 0.7, 0.8, 0.99, 0.99])
    absent = np.array([False, True, False, True, True, True])
    found = confusions(own, first, probability, np.array([0.1, 0.1, 0.1, 0.4, 0.2, 0.1]), absent)
    assert [one.pair for one in found] == [(0, 2), (0, 1)]
    assert [one.photos for one in found] == [1, 3]
    assert [one.weight for one in found] == pytest.approx([0.4, 0.3])
    assert [one.absent for one in found] == [1, 1]
    # the surest whose right individual was there: 0.7, not 0.9
    assert [one.worst for one in found] == [3, 2]
    assert confusions(own, own, probability, np.ones(6), absent) == []


def test_a_photo_that_sits_twice_is_one_mistake() -> None:
    row, wrong = np.array([4, 5, 4, 6]), np.array([True, True, True, False])
    assert confident_mistakes(row, wrong, np.array([0.5, 0.4, 0.8, 1.0]), 3) == [2, 1]
    assert confident_mistakes(row, wrong, np.array([0.5, 0.4, 0.8, 1.0]), 1) == [2]
    assert confident_mistakes(row, np.zeros(4, dtype=bool), np.ones(4), 3) == []
