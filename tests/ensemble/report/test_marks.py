"""Matched marks on the page, worked by hand: lines where they belong, whatever is cropped; for whom they help."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from alikes import Scene
from measured_scene import small_project

from backbones.pair_store import Pairs, write_pair_store
from ensemble import Project, write_report
from ensemble.registry.matched_points import Matched
from ensemble.report.charts.charts import Bars
from ensemble.report.page.html import render
from ensemble.report.page.marks import match_of, pair
from ensemble.report.page.photos import GalleryRow, Match, Shot
from ensemble.report.page.pieces import Gallery, Section, Table, Text
from ensemble.report.sections.marks import section
from ensemble.report.state import State

PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAP8AAAAAACH5BAAAAAAALAAAAAABAAEAAAICRAEAOw=="
# as wide as its room, 104 of its 156 units high; as high as its room, 52 of its 208 units wide
WIDE = Shot("q.jpg", PIXEL, ["q.jpg"], size=(200, 100))
TALL = Shot("g.jpg", PIXEL, ["id01", "90 %", "g.jpg"], size=(50, 150))


def matched(*points: tuple[float, ...], count: int = 0) -> Matched:
    kept = np.array(points, dtype=np.float32)
    return Matched(points=kept, count=max(count, len(kept)), source="sift")


def test_lines_lie_where_the_photos_do() -> None:
    match = match_of(WIDE, TALL, 0, matched((0.0, 0.0, 0.0, 0.0), (0.5, 1.0, 1.0, 0.5)))
    assert match is not None
    assert match.caption == "sift: 2 matched marks with id01"
    drawing = ElementTree.fromstring(str(pair(GalleryRow(WIDE, [TALL], matches=[match]), match, "look-1-1")))
    assert drawing.get("viewBox") == "0 0 422 156"
    uses, paths = drawing.findall("use"), {path.get("class"): str(path.get("d")) for path in drawing.findall("path")}
    assert [use.get("href") for use in uses] == ["#look-1-1-0", "#look-1-1-1"]
    # 200 x 100 as 208 x 104, 26 from above; 50 x 150 as 52 x 156, at the left of a room that begins at 214
    assert [use.get("transform") for use in uses] == [
        "translate(0.00 26.00) scale(1.0400)",
        "translate(214.00 0.00) scale(1.0400)",
    ]
    assert paths["lines"] == "M0.0 26.0L214.0 0.0M104.0 130.0L266.0 78.0"
    assert paths["dots"].count("h0") == 4
    # the query, too, stands next to the seam
    turned = Match(0, [(0.0, 0.0, 1.0, 1.0)], "1")
    assert "M156.0 0.0L422.0 130.0" in pair(GalleryRow(TALL, [WIDE], matches=[turned]), turned, "k")


def test_marks_outside_what_a_crop_shows_are_left_out_and_the_others_move_with_it() -> None:
    # the right half of the photo
    crop = Shot("q.jpg", PIXEL, ["q.jpg"], size=(100, 100), area=(0.5, 0.0, 1.0, 1.0))
    match = match_of(crop, TALL, 3, matched((0.75, 0.5, 0.1, 0.2), (0.25, 0.5, 0.1, 0.2), count=57))
    assert match is not None
    assert match.candidate == 3
    np.testing.assert_allclose(match.points, [(0.5, 0.5, 0.1, 0.2)], rtol=1e-6)
    assert match.caption == "sift: 1 of 57 matched marks with id01"
    assert match_of(crop, TALL, 0, matched((0.25, 0.5, 0.1, 0.2))) is None
    assert match_of(Shot("q.jpg", None), TALL, 0, matched((0.75, 0.5, 0.1, 0.2))) is None


def test_names_are_text_and_a_photo_is_there_once() -> None:
    evil = Shot('"><script>alert(1)</script>', PIXEL, ["<b>id</b>"], size=(10, 10))
    match = Match(1, [(0.1, 0.1, 0.2, 0.2)], "1 matched mark with <b>id</b>")
    row = GalleryRow(evil, [WIDE, evil], matches=[match])
    page = render("t", [Section("look", "t", "m.", [Gallery([row, GalleryRow(WIDE, [TALL])])])])
    assert "<script>alert" not in page
    assert "<b>id" not in page
    assert page.count('type="checkbox"') == 1
    # five photos of two rows, none of them again for the drawing; those of the row without marks are images
    assert page.count(PIXEL) == 5
    assert page.count("<img") == 2
    ids = re.findall(r'<image id="([^"]+)"', page)
    assert ids == ["look-1-1-0", "look-1-1-1", "look-1-1-2"]
    assert re.findall(r'<use href="#([^"]+)"', page) == ["look-1-1-0", "look-1-1-2"]


# -- in a project ------------------------------------------------------------------------------------------------------


def with_pairs(project: Path, **made: object) -> None:
    """Every photo of each split compared with the first 30 train photos; of every pair three points are kept."""
    splits = {}
    for split, queries in (("train", 60), ("test", 12)):
        query, gallery = (part.ravel().astype(np.int32) for part in np.indices((queries, 30)))
        second = np.where(gallery < 12, 40.0, np.nan).astype(np.float32)
        points = [np.full((3, 4), 0.5, np.float32)] * len(query)
        splits[split] = Pairs(query=query, gallery=gallery, score=second, second=second, points=points)
    opened = Project.open(project)
    given = {"how": "match", "features": "sift", "keypoints": 400, "matcher": "ratio-0.95", "verify": "affine"}
    write_pair_store(
        opened.pair_folder("sift"),
        "sift",
        splits,
        photos_sha256=opened.photos_hash,
        made={**given, "shortlist": 30, **made},
    )


def edited(project: Path, **changes: object) -> State:
    """A state whose blend has other values, as `tune` would have written them."""
    state = State(Project.open(project))
    assert state.blend is not None
    for name, value in changes.items():
        object.__setattr__(state.blend, name, value)
    return state


def test_without_pair_sources_there_is_no_section_and_without_a_blend_their_origin(tmp_path: Path) -> None:
    project = small_project(tmp_path)
    assert section(State(Project.open(project))) is None
    with_pairs(project, seconds={"features": 30.0, "votes": 10.0, "all": 40.0})
    found = section(State(Project.open(project)))
    assert found is not None
    told, origin, text, cost = found.body
    assert told == Text(
        "sift: up to 400 keypoints a photo (sift) vote for gallery photos; the first 30 of the models and of the votes "
        "are matched by ratio-0.95 and verified by an affine map."
    )
    assert isinstance(origin, Table)
    assert origin.rows == [["sift", 1800, 360, 0.4, "not known", None, None]]
    assert isinstance(text, Text)
    assert isinstance(cost, Table)
    assert cost.rows == [["features", "30.0", "75.0 %"], ["votes", "10.0", "25.0 %"], ["all", "40.0", "100.0 %"]]
    assert write_report(project, tmp_path / "r.html").sections == ["catalogue", "models", "marks", "provenance"]
    assert "up to 400 keypoints" in (tmp_path / "r.html").read_text()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    made = Scene(tmp_path_factory.mktemp("marks"))
    with_pairs(made.project)
    return made


def test_gains_are_told_in_words_and_drawn(scene: Scene) -> None:
    gains = {
        "beluga": {"share": 0.3, "without": 0.5, "gain": -0.02, "interval": [-0.03, -0.01]},
        "fin_whale": {"share": 0.7, "without": 0.4, "gain": 0.1, "interval": [0.05, 0.15]},
    }
    whole = {"map5": 0.43, "difference": 0.064, "interval": [-0.01, 0.1], "own_interval": [0.4, 0.5]}
    measured = {
        "pairs": {"sift": {"used": True, "map5": 0.5, "gain": 0.07, "sure": 0.99}},
        "nested": {"gain_of_pairs": gains, "against": {"without_pairs": whole}},
    }
    found = section(edited(scene.project, measured=json.loads(json.dumps(measured))))
    assert found is not None
    _, origin, chart, table = found.body
    assert isinstance(origin, Table)
    assert isinstance(chart, Bars)
    assert isinstance(table, Table)
    assert origin.rows[0][-3:] == ["no", 0.07, 0.99]
    assert chart.title == (
        "With pair sources +0.0640 in MAP@5, nested; clearly helps: fin_whale; clearly hurts: beluga"
    )
    assert (chart.labels, chart.values, chart.highlight) == (
        ["all photos", "fin_whale", "beluga"],
        [0.064, 0.1, -0.02],
        [1],
    )
    assert table.rows == [
        ["all photos", 1.0, 0.43, 0.064, -0.01, 0.1, "not clear"],
        ["fin_whale", 0.7, 0.4, 0.1, 0.05, 0.15, "clearly helps"],
        ["beluga", 0.3, 0.5, -0.02, -0.03, -0.01, "clearly hurts"],
    ]


def test_photos_of_the_page_have_the_lines_of_their_own_pair(scene: Scene) -> None:
    from ensemble.report.sections import mistakes

    def galleries(used: dict[str, str]) -> list[GalleryRow]:
        state = State(Project.open(scene.project), (scene.photos,))
        assert (
            state.cross_fitted is not None
        )  # answers are those of the blend without pairs: only pictures are looked at
        object.__setattr__(state.blend, "pair_sources", used)
        found = mistakes.section(state)
        assert found is not None
        return [row for piece in found.body if isinstance(piece, Gallery) for row in piece.rows]

    assert not any(row.matches for row in galleries({}))
    drawn = 0
    for row in galleries({"sift": Project.open(scene.project).pair_stores()["sift"].manifest.content_sha256}):
        places = [n for n, shot in enumerate(row.candidates) if shot.image[:2] == "tr" and int(shot.image[2:5]) < 30]
        assert [match.candidate for match in row.matches] == places
        for match in row.matches:
            verified = int(row.candidates[match.candidate].image[2:5]) < 12
            assert match.caption.startswith("sift: 3 of 40 matched" if verified else "sift: 3 matched")
        drawn += len(places)
    assert drawn > 5
