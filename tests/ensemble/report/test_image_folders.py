"""Photos in several folders: every folder that is named is searched, by report and by compare."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from alikes import Scene

from ensemble import compare, write_report
from ensemble.cli import main


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(tmp_path_factory.mktemp("folders"))


@pytest.fixture(scope="module")
def halves(scene: Scene) -> tuple[Path, Path]:
    """Two folders, each with every other photo."""
    folders = scene.folder / "A", scene.folder / "B"
    for folder in folders:
        folder.mkdir()
    for image in scene.train_images + scene.test_images:
        shutil.copy(scene.photos / image, folders[int(image[2:5]) % 2])
    return folders


def test_a_report_shows_the_photos_of_all_folders(scene: Scene, halves: tuple[Path, Path], tmp_path: Path) -> None:
    result = write_report(scene.project, tmp_path / "one.html", images=scene.photos)
    assert result.path == tmp_path / "one.html"
    assert result.sections == ["catalogue", "models", "blend", "trust", "look", "provenance"]
    assert result.as_dict() == {
        "path": str(tmp_path / "one.html"),
        "bytes": (tmp_path / "one.html").stat().st_size,
        "sections": result.sections,
    }
    words = ["report", str(scene.project), "-o", str(tmp_path / "two.html")]
    assert main([*words, "--images", str(halves[0]), "--images", str(halves[1])]) == 0
    page = (tmp_path / "one.html").read_text()
    assert page.count("data:image/jpeg") > 20
    assert page == (tmp_path / "two.html").read_text()


def test_a_comparison_shows_the_photos_of_all_folders(scene: Scene, halves: tuple[Path, Path], tmp_path: Path) -> None:
    blend = (scene.project / "blend.json").read_text()
    threshold = blend[blend.index('"threshold"') : blend.index(",", blend.index('"threshold"'))]
    other = tmp_path / "other.json"
    other.write_text(blend.replace(threshold, '"threshold": 1000.0'))
    compare(scene.project, blend=other, output=tmp_path / "one.html", images=scene.photos)
    words = ["compare", str(scene.project), "--blend", str(other), "-o", str(tmp_path / "two.html")]
    assert main([*words, "--images", str(halves[0]), "--images", str(halves[1])]) == 0
    page = (tmp_path / "one.html").read_text()
    assert page.count("data:image/jpeg") > 10
    assert page == (tmp_path / "two.html").read_text()


@pytest.mark.parametrize("words", [["report", "P"], ["compare", "P", "--blend", "other.json"]])
def test_each_folder_must_be_one(
    scene: Scene,
    halves: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
) -> None:
    monkeypatch.chdir(scene.folder)
    assert main([*words, "-o", "page.html", "--images", "A", "--images", "gone"]) == 1
    assert capsys.readouterr().err == "finblend: gone: is no folder of photos\n"
    assert halves[0].is_dir()
