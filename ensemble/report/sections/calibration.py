"""The section on calibration, `trust` on the page: do probabilities hold, and what can be taken without a look."""

from __future__ import annotations

import numpy as np

from cv.errors import FinblendError
from ensemble.evaluation.reliability import Bin, reliability
from ensemble.identification.posteriors import Posteriors
from ensemble.outputs.bands import BANDS, CrossFittedAnswers, first_name, kept_from
from ensemble.outputs.decide import HOW
from ensemble.protocol.evaluation_set import EvaluationSet
from ensemble.registry.left_out import how_asked
from ensemble.report.charts.charts import Lines, Mark, Series
from ensemble.report.numbers import share
from ensemble.report.page.pieces import Cell, Piece, Section, Table, Text, Warnings
from ensemble.report.page.words import format_mix
from ensemble.report.state import State
from postproc import NEW
from postproc.calibration.calibration import BINS, calibration_error

TITLE = "Trust"
# points of a curve
POINTS = 120
MEANINGS = {"auto": "the first name may be taken", "review": "a person should look", "new": "it is somebody new"}


def section(state: State) -> Section | None:
    """How far probabilities and bands can be trusted; None before there is a blend that can be scored."""
    if not state.is_tuned:
        return None
    try:
        posteriors, cross_fitted, scored = state.posteriors, state.cross_fitted, state.scored
    except FinblendError as error:
        return Section("trust", TITLE, "Nothing could be measured.", [Warnings([str(error)])])
    if posteriors is None or cross_fitted is None or scored is None:
        return None
    evaluation_set = scored.setup.evaluation_set
    how = how_asked(HOW, scored.blend.leave_out)
    measured = f"Out-of-fold, {how}. Mix: {format_mix(state.mix, evaluation_set.new_share)}."
    body: list[Piece] = [
        *calibration(posteriors, evaluation_set),
        *coverage(cross_fitted, state.precision),
        _bands(cross_fitted, state.precision),
    ]
    return Section("trust", TITLE, measured, body)


def calibration(posteriors: Posteriors, evaluation_set: EvaluationSet) -> list[Piece]:
    """A reliability diagram of the likeliest name, and one of somebody new, with a table of their bins."""
    charts: list[Piece] = []
    tables: list[Piece] = []
    statements = (
        ("P(same) of the likeliest name", "the name is right", *first_name(posteriors, evaluation_set.truth)),
        ("P(somebody new)", "it was somebody new", posteriors.somebody_new, evaluation_set.is_new),
    )
    header = ["told, mean", "came true", "from", "to", "share of the mix"]
    for what, came, probability, right in statements:
        bins = reliability(probability, right, evaluation_set.weights, evaluation_set.owner)
        error = calibration_error(probability, right, evaluation_set.weights)
        charts.append(_diagram(what, came, bins, error))
        rows: list[list[Cell]] = [[each.probability, each.right, each.low, each.high, each.share] for each in bins]
        tables.append(Table(f"{what}: told, and what came true", header, rows, "", ("share of the mix",)))
    note = (
        "Bands of the charts, 'from' and 'to' of the tables hold 95 % (Wilson), all photos of an individual in a bin "
        f"counted as one. Errors in the titles are expected calibration errors over {BINS} bins of equal weight, as of "
        "'finblend decide'."
    )
    return [*charts, *tables, Text(note)]


def _diagram(what: str, came: str, bins: list[Bin], error: float) -> Lines:
    inside = sum(each.low <= each.probability <= each.high for each in bins)
    title = f"{what}: off by {100 * error:.1f} points on average; {inside} of {len(bins)} bins agree within 95 %"
    x = [each.probability for each in bins]
    series = Series(
        "out-of-fold",
        x,
        [each.right for each in bins],
        ([each.low for each in bins], [each.high for each in bins]),
        points=True,
    )
    figures = ", ".join(f"{each.probability:.2f} told and {each.right:.2f} true" for each in bins)
    alt = f"{what} against how often {came}, in bins of equal weight: {figures}."
    return Lines(title, f"{what}, mean of the bin", f"share of photos where {came}", alt, [series], diagonal=True)


def coverage(cross_fitted: CrossFittedAnswers, precision: float) -> list[Piece]:
    """How often first answers are right when only the surest are taken; bands at the wanted precision marked."""
    first, sure = cross_fitted.answers.labels[:, 0], cross_fitted.answers.probability[:, 0]
    every, bands = float(cross_fitted.weights.sum()), cross_fitted.bands(precision)
    series, marks = list[Series](), list[Mark]()
    for name, begins_so, cut, band in (
        ("a name comes first", first >= 0, bands.auto, "auto"),
        ("somebody new comes first", first == NEW, bands.new, "new"),
    ):
        right, weights = cross_fitted.right[begins_so], cross_fitted.weights[begins_so]
        threshold, total, good, _ = kept_from(sure[begins_so], right, weights)
        filled = np.flatnonzero(total > 0)
        if not len(filled):
            continue
        # few photos tell little: the curve begins where it has one hundredth of what it ends with
        filled = filled[total[filled] >= 0.01 * total[-1]]
        at = filled[np.unique(np.linspace(0, len(filled) - 1, POINTS).astype(int))]
        series.append(Series(name, (total[at] / every).tolist(), (good[at] / total[at]).tolist()))
        if np.isfinite(cut):
            taken = float(total[np.flatnonzero(threshold >= cut)[-1]]) / every
            marks.append(Mark(taken, f"{band}: {share(taken)} from {cut:.3f}"))
    if not series:
        return []
    expected = cross_fitted.expected(precision)
    (auto, auto_right), (new, _) = expected["auto"], expected["new"]
    title = f"No name can be taken without a look at a precision of {share(precision)}"
    if auto_right is not None and auto > 0:
        title = f"{share(auto)} of photos can take their first name as it is, right in {share(auto_right)}"
    title += f"; {share(new)} are told to be new" if new > 0 else "; no 'somebody new' is sure enough to be taken"
    ends = "; ".join(f"{line.name}: all {share(line.x[-1])} of photos, {share(line.y[-1])} right" for line in series)
    chart = Lines(
        title, "share of all photos, surest first", "share of these that are right", f"{ends}.", series, marks
    )
    note = (
        f"Marks stand where the surest first answers are right in {share(precision)}, over all photos. The bands below "
        "are stricter: each fold's thresholds are chosen on the other folds."
    )
    return [chart, Text(note)]


def _bands(cross_fitted: CrossFittedAnswers, precision: float) -> Table:
    expected, bands = cross_fitted.expected(precision), cross_fitted.bands(precision)
    cuts = {"auto": bands.auto, "new": bands.new}
    rows: list[list[Cell]] = []
    for name in BANDS:
        cut = cuts.get(name)
        from_cut = None if cut is None or not np.isfinite(cut) else float(cut)
        rows.append([name, MEANINGS[name], from_cut, *expected[name]])
    header = ["band", "meaning", "from probability", "share of photos", "first answers right"]
    note = f"Wanted precision {share(precision)}, as of 'finblend decide'; '-' where no probability keeps it."
    return Table("Bands", header, rows, note, ("share of photos", "first answers right"))
