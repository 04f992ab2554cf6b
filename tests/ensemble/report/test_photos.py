"""The section on the detector of crops: its curve and its figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small import Small

from backbones.detection.saved import DetectorFacts
from cv.errors import FinblendError
from ensemble.cli import main
from ensemble.report.charts.charts import Lines
from ensemble.report.page.pieces import Figures, Table
from ensemble.report.sections.photos import section
from ensemble.report.state import State


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    folder = tmp_path / "detector"
    folder.mkdir()
    DetectorFacts(
        **{"network": "resnet18", "classes": ["backfin", "fullbody"], "height": 192, "width": 256},
        **{"mean": [0.5] * 3, "std": [0.5] * 3, "sha256": "0", "min_score": 0.3, "epoch": 2, "photos": 80},
        **{"held_out": 20, "boxes": 150, "finblend": "0", "measured": {"map50": 0.9, "mean_iou": 0.8, "recall": 1.0}},
    ).write(folder)
    (folder / "network.safetensors").touch()
    (folder / "curve.csv").write_text(
        "epoch,loss,map50,mean_iou,recall\n1,2,0.5,0.4,0.3\n2,1,0.9,0.8,1\n3,1,0.9,0.7,1\n"
    )
    return folder


def test_the_curve_and_the_figures(small: Small, detector: Path, tmp_path: Path) -> None:
    project, page = tmp_path / "P", tmp_path / "page.html"
    assert main(["init", f"{project}", "--train", f"{small.train_csv}", "--test", f"{small.sample_csv}"]) == 0
    assert main(["report", f"{project}", "-o", f"{page}", "--detector", f"{detector}"]) == 0
    text = page.read_text()
    assert '<section id="photos"' in text
    assert "mean IoU of 0.8000 in epoch 2" in text
    assert "150 boxes of backfin, fullbody" in text
    assert main(["report", f"{project}", "-o", f"{page}"]) == 0
    assert '<section id="photos"' not in page.read_text()


def test_the_pieces_by_hand(detector: Path) -> None:
    made = section(State(None, detector=detector))  # type: ignore[arg-type]
    assert made is not None
    figures, chart, table = made.body[:3]
    assert isinstance(figures, Figures)
    assert figures.pairs[:2] == [("mean IoU", "0.8000"), ("mAP@50", "0.9000")]
    assert isinstance(chart, Lines)
    assert [(each.name, list(each.y)) for each in chart.series] == [
        ("mAP@50", [0.5, 0.9, 0.9]), ("mean IoU", [0.4, 0.8, 0.7]), ("boxes found", [0.3, 1.0, 1.0]),
    ]  # fmt: skip
    assert [(mark.x, mark.label) for mark in chart.marks] == [(2, "kept")]
    assert isinstance(table, Table)
    assert [value for _, value in table.rows] == [0.9, 0.8, 1.0]
    assert section(State(None)) is None  # type: ignore[arg-type]


def test_a_folder_that_is_no_detector_is_refused(detector: Path) -> None:
    value = json.loads((detector / "detector.json").read_text())
    (detector / "detector.json").write_text(json.dumps({**value, "photos": "many"}))
    with pytest.raises(FinblendError, match=r"detector\.json: photos must be int"):
        section(State(None, detector=detector))  # type: ignore[arg-type]
    (detector / "detector.json").unlink()
    with pytest.raises(FinblendError, match="is no finished detector"):
        section(State(None, detector=detector))  # type: ignore[arg-type]
