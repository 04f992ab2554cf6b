"""The section on photos: how good the detector is that cut the animals out of them."""

from __future__ import annotations

from backbones.curve import CURVE_FILE, read_curve
from ensemble.report.charts.charts import Lines, Mark, Series
from ensemble.report.page.pieces import Cell, Figures, Piece, Section, Table, Text
from ensemble.report.state import State

TITLE = "Photos"
MEASURED = (
    "The detector of crops was measured on photos that it did not learn from; photos of one encounter stand on one "
    "side where encounters were told. The epoch that is kept was chosen by these figures: they are a little too good."
)
FIGURES = {
    "map50": "average precision at IoU 0.5, mean over classes",
    "mean_iou": "IoU of the best box with the true one, mean",
    "recall": "true boxes found, at IoU 0.5",
    "false_alarms": "photos without an animal on which one is found",
}
LINES = {"map50": "mAP@50", "mean_iou": "mean IoU", "recall": "boxes found"}


def section(state: State) -> Section | None:
    """What the detector reached; None where none is named."""
    if state.detector is None:
        return None
    # imported here: the detector's room is only looked into where one is named
    from backbones.detection.saved import read_facts

    facts = read_facts(state.detector)
    measured = facts.measured
    body: list[Piece] = [
        Figures(
            [
                ("mean IoU", f"{measured['mean_iou']:.4f}"),
                ("mAP@50", f"{measured['map50']:.4f}"),
                ("photos it learned from", f"{facts.photos:,}"),
                ("photos it was measured on", f"{facts.held_out:,}"),
            ]
        )
    ]
    curve = read_curve(state.detector / CURVE_FILE)
    if curve:
        body.append(_chart(curve, facts.epoch))
    rows: list[list[Cell]] = [[told, measured[name]] for name, told in FIGURES.items() if name in measured]
    note = f"A box counts from a score of {facts.min_score:g} on; average precision weighs all scores."
    classes = ", ".join(facts.classes)
    how = (
        f"FCOS on {facts.network}, photos shown at {facts.width} x {facts.height} pixels; {facts.boxes:,} boxes of "
        f"{classes}. Epoch {facts.epoch} is kept: the one of the largest mean IoU."
    )
    return Section(
        "photos", TITLE, MEASURED, [*body, Table("On held-out photos", ["figure", "value"], rows, note), Text(how)]
    )


def _chart(curve: list[dict[str, float]], kept: int) -> Lines:
    last = curve[-1]
    best = next((row for row in curve if row["epoch"] == kept), last)
    series = [
        Series(told, [int(row["epoch"]) for row in curve], [row[name] for row in curve], points=True)
        for name, told in LINES.items()
        if all(name in row for row in curve)
    ]
    figures = ", ".join(f"{told} {best[name]:.4f}" for name, told in LINES.items() if name in best)
    return Lines(
        f"The detector's crops reach a mean IoU of {best['mean_iou']:.4f} in epoch {kept}",
        "epoch",
        "on held-out photos",
        f"In epoch {kept} of {len(curve)}: {figures}.",
        series,
        [Mark(kept, "kept")],
        point="epoch",
    )
