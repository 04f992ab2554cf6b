"""The section to look at: planted confusions are found, broken photos are told, the page stays small and safe."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from alikes import EVIL, Scene

from cv.errors import FinblendError
from ensemble import Project, init, register, tune
from ensemble.comparison.compare import compare
from ensemble.report import write_report
from ensemble.report.page.html import render
from ensemble.report.page.pieces import Gallery, Section, Table, Text, Warnings
from ensemble.report.sections.mistakes import PAIRS_SHOWN, PER_BAND, section
from ensemble.report.state import State


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
    assert one["share of the mix"] > 2 * other["share of the mix"]
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
    found = scene.section((scene.photos,))
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
    one, two = (render("t", [scene.section((scene.photos,))]) for _ in range(2))
    assert one == two
    assert 100_000 < len(one.encode()) < 4_000_000


def test_names_are_text_on_the_page(scene: Scene) -> None:
    page = render("t", [scene.section((scene.photos,))])
    assert EVIL not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.replace("<wbr>", "")


def test_the_right_answer_is_marked_and_no_mistake_is_shown_twice(scene: Scene) -> None:
    galleries = pieces(scene.section((scene.photos,)), Gallery)
    marked = [shot for one in galleries for row in one.rows for shot in row.candidates if shot.right]
    assert marked
    assert all(shot.caption[0].endswith(" (right)") for shot in marked)
    mistakes = [row.query.image for one in galleries if one.caption.startswith("Confident") for row in one.rows]
    assert len(mistakes) == len(set(mistakes)) > 1


def test_the_bands_are_those_of_the_wanted_precision(scene: Scene) -> None:
    text = "\n".join(piece.text for piece in pieces(scene.section(precision=0.6), Text))
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
    found = scene.section((folder,))
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
        scene.section((tmp_path,))
    with pytest.raises(FinblendError, match="gone: no such folder"):
        scene.section((tmp_path / "gone",))


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
        scene.section((scene.photos,))
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
