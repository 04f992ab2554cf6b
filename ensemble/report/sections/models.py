"""The section on models: how good each is alone, how alike their mistakes are, what each brings to the blend."""

from __future__ import annotations

from typing import Any

import numpy as np

from cv.errors import FinblendError
from ensemble.evaluation.models import seems_to_know
from ensemble.project.result import plain
from ensemble.protocol.bootstrap import Bootstrap, interval_of
from ensemble.protocol.scores import over_folds, summary
from ensemble.protocol.setup import Setup, mix_warnings
from ensemble.registry.left_out import how_asked
from ensemble.report.charts.charts import Bars, Heatmap, Lines, Series
from ensemble.report.page.pieces import Cell, Piece, Section, Table, Text, Warnings
from ensemble.report.page.words import format_mix
from ensemble.report.state import State
from ensemble.tuning.baselines import HOW_ALONE, Baseline
from ensemble.tuning.shapley import shapley

TITLE = "Models"
# rows of a table, labels of a heatmap
MOST = 50
MOST_ALIKE = 24
# colours of a chart
MOST_LINES = 7


def section(state: State) -> Section | None:
    """What is known of the registered models; None before there is one."""
    if not state.stores:
        return None
    try:
        return _section(state)
    except FinblendError as error:
        return Section("models", TITLE, "Nothing could be measured.", [Warnings([str(error)])])


def _section(state: State) -> Section:
    warnings = [state.stale] if state.stale else []
    setup, baselines = state.setup, state.baselines
    if setup is None:
        return Section("models", TITLE, "No model can be scored yet.", [_models_table(state, [], {})])
    warnings += mix_warnings(setup)
    share_of_new = setup.evaluation_set.new_share
    how = how_asked(HOW_ALONE, setup.retriever.leave_out)
    measured = f"{how[0].upper()}{how[1:]}: {format_mix(state.mix, share_of_new)}"
    if not state.is_tuned:
        why = "the blend there cannot be scored" if state.stale else "nothing is tuned yet"
        measured += f", as 'finblend models' does by default, for {why}"
    measured += "."
    precisions = np.stack([baseline.precision for baseline in baselines.values()])
    intervals = [interval_of(row) for row in Bootstrap(setup.evaluation_set).draws(precisions).T]
    for name, baseline in baselines.items():
        warnings += seems_to_know(name, setup.models[name], summary(setup.evaluation_set, baseline.precision).known)
    body: list[Piece] = [Warnings(warnings)] if warnings else []
    body += [_alone(baselines, intervals), _models_table(state, intervals, baselines)]
    body += _over_folds(setup, baselines, precisions)
    if len(baselines) > 1:
        body.append(_alike(setup, baselines))
    if state.is_tuned:
        body += _contributions(state, setup)
    return Section("models", TITLE, measured, body)


def _alone(baselines: dict[str, Baseline], intervals: list[list[float]]) -> Bars:
    order = sorted(range(len(baselines)), key=lambda n: -list(baselines.values())[n].map5)[:MOST]
    names, scores = list(baselines), [baseline.map5 for baseline in baselines.values()]
    best, last = order[0], order[-1]
    title = f"{names[best]} alone reaches MAP@5 {scores[best]:.4f}"
    if len(order) > 1:
        title = (
            f"{names[best]} is the best model alone, MAP@5 {scores[best]:.4f}; the weakest reaches {scores[last]:.4f}"
        )
    figures = ", ".join(
        f"{names[n]} {scores[n]:.4f} ({intervals[n][0]:.4f} to {intervals[n][1]:.4f})" for n in order[:MOST_ALIKE]
    )
    return Bars(
        title,
        "MAP@5 out-of-fold, with 95 % intervals",
        "model",
        f"MAP@5 of each model alone: {figures}.",
        [names[n] for n in order],
        [scores[n] for n in order],
        [(intervals[n][0], intervals[n][1]) for n in order],
        [0],
    )


def _models_table(state: State, intervals: list[list[float]], baselines: dict[str, Baseline]) -> Table:
    header = ["model", "MAP@5", "from", "to", "known", "new", "whitening", "views", "stores", "use"]
    rows: list[list[Cell]] = []
    usable, refused = state.models
    for (name, baseline), (low, high) in zip(baselines.items(), intervals, strict=True):
        assert state.setup is not None  # noqa: S101 - it gave the baselines
        scores = summary(state.setup.evaluation_set, baseline.precision)
        whitening = baseline.blend.whitening.get(name, "none")
        figures = [baseline.map5, low, high, scores.known, scores.new]
        rows.append([name, *figures, whitening, *_held(state, name), "scored"])
    for name in usable.keys() - baselines.keys():
        rows.append([name, *[None] * 5, None, *_held(state, name), "not in the blend: 'finblend models' scores it"])
    rows += [[name, *[None] * 5, None, *_held(state, name), reason] for name, reason in refused.items()]
    left_out = f" {len(rows) - MOST} more models are left out." if len(rows) > MOST else ""
    note = (
        "'known' and 'new' are MAP@5 over photos of known individuals and of strangers; 'from' and 'to' hold 95 %, by "
    )
    note += "drawing individuals anew."
    return Table("Registered models", header, rows[:MOST], note + left_out)


def _held(state: State, name: str) -> list[Cell]:
    stores = state.stores[name]
    return [", ".join(next(iter(stores.values())).manifest.views), ", ".join(stores)]


def _over_folds(setup: Setup, baselines: dict[str, Baseline], precisions: np.ndarray) -> list[Piece]:
    folds = over_folds(setup.evaluation_set, precisions)
    if len(folds) < 2:
        return []
    names = list(baselines)
    rows: list[list[Cell]] = []
    lines, widest, which = list[Series](), -1.0, ""
    for k, name in enumerate(names):
        scored = [row for row in folds if row["map5"][k] is not None]
        scores = [float(row["map5"][k]) for row in scored]
        lines.append(Series(name, [int(row["fold"]) for row in scored], scores, points=True))
        if scores and max(scores) - min(scores) > widest:
            widest, which = max(scores) - min(scores), name
        for row in scored:
            low, high = row["interval"][k] or (None, None)
            rows.append([name, str(row["fold"]), row["map5"][k], low, high, row["known"][k], row["new"][k]])
    left_out = f"{len(rows) - MOST} more rows are left out." if len(rows) > MOST else ""
    best = sorted(range(len(names)), key=lambda k: -baselines[names[k]].map5)[:MOST_LINES]
    chart = Lines(
        f"From fold to fold {which} differs most: its folds lie up to {widest:.4f} apart",
        "fold",
        "MAP@5 out-of-fold",
        f"MAP@5 of {'the best' if len(lines) > MOST_LINES else 'each of'} {len(best)} models alone in each fold; the "
        "figures are in the table below.",
        [lines[k] for k in best],
        point="fold",
    )
    header = ["model", "fold", "MAP@5", "from", "to", "known", "new"]
    note = f"'from' and 'to' hold 95 %, by drawing individuals anew. {left_out}".strip()
    return [chart, Table("Models per fold", header, rows[:MOST], note)]


def similarity(precisions: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(scores, scores) weighted correlation of average precisions; 0 beside a recipe that treats all photos alike.

    >>> similarity(np.array([[1.0, 0.0, 1.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]), np.ones(3)).round(6).tolist()[0]
    [1.0, 1.0, -1.0]
    """
    share = weights / weights.sum()
    centred = precisions - (precisions @ share)[:, None]
    spread = np.sqrt(centred**2 @ share)
    scale = np.where(spread > 1e-12, spread, np.inf)
    correlation = np.clip((centred * share) @ centred.T / np.outer(scale, scale), -1.0, 1.0)
    np.fill_diagonal(correlation, 1.0)
    return np.asarray(correlation)


def _alike(setup: Setup, baselines: dict[str, Baseline]) -> Heatmap:
    names = sorted(baselines, key=lambda name: -baselines[name].map5)[:MOST_ALIKE]
    correlation = similarity(np.stack([baselines[name].precision for name in names]), setup.evaluation_set.weights)
    pairs = [(float(correlation[a, b]), names[a], names[b]) for a in range(len(names)) for b in range(a)]
    (most, a, b), (least, c, d) = max(pairs), min(pairs)
    title = f"The mistakes of {a} and {b} correlate by {most:.2f}"
    if len(pairs) > 1:
        title = (
            f"{a} and {b} make the most alike mistakes (correlation {most:.2f}), {c} and {d} the least ({least:.2f})"
        )
    alt = f"Correlation of each pair's average precision per photo, from {least:.2f} to {most:.2f}."
    return Heatmap(title, "model", "model", alt, names, correlation.tolist())


def _brings(parts: dict[str, dict[str, Any]]) -> str:
    """Who brings most, and whom the blend would miss most: often, but not always, the same.

    >>> _brings({"a": {"shapley": 0.2, "left_out": 0.01}, "b": {"shapley": 0.1, "left_out": 0.02}})
    'a brings most, 0.2000 of 0.3000; the blend would miss b most, it loses 0.0200 without it'
    """
    first = max(parts, key=lambda name: parts[name]["shapley"])
    missed = max(parts, key=lambda name: parts[name]["left_out"])
    loss, total = parts[missed]["left_out"], sum(part["shapley"] for part in parts.values())
    text = f"{first} brings most, {parts[first]['shapley']:.4f} of {total:.4f}; "
    if missed == first:
        return text + f"without it the blend {'loses' if loss >= 0 else 'gains'} {abs(loss):.4f}"
    if loss <= 0:
        return text + "without any one model the blend loses nothing"
    return text + f"the blend would miss {missed} most, it loses {loss:.4f} without it"


def _contributions(state: State, setup: Setup) -> list[Piece]:
    blend = state.blend
    if blend is None or len(blend.used) < 2:
        return []
    parts: dict[str, dict[str, Any]] = blend.measured.get("contributions") or plain(
        shapley(setup.evaluation_set, blend)
    )
    names = sorted(parts, key=lambda name: -parts[name]["shapley"])[:MOST]
    figures = ", ".join(f"{name} {parts[name]['shapley']:+.4f}" for name in names[:MOST_ALIKE])
    sampled = any(part["error"] is not None for part in parts.values())
    spread = [1.96 * (parts[name]["error"] or 0.0) for name in names]
    values = [float(parts[name]["shapley"]) for name in names]
    ends = [(value - wide, value + wide) for value, wide in zip(values, spread, strict=True)]
    chart = Bars(
        _brings(parts),
        "Shapley value, in MAP@5" + (", with 95 % intervals of its sampling" if sampled else ""),
        "model",
        f"Shapley values: {figures}.",
        names,
        values,
        ends if sampled else None,
        [0],
    )
    header, keys = ["model", "weight", "loss without it", "Shapley value"], ["left_out", "shapley"]
    note = "Shapley values are exact, over all coalitions."
    if sampled:
        header, keys = [*header, "standard error"], [*keys, "error"]
        note = "Shapley values are sampled; a standard error of '-' means that the value is exact."
    rows: list[list[Cell]] = [[name, blend.weights[name], *(parts[name][key] for key in keys)] for name in names]
    explanation = (
        "Contributions are in-sample MAP@5 of the blend without its second stage, over its candidates: weights of "
        "models that are left out are 0 and its threshold is solved anew. Shapley values add up to its MAP@5 less that "
        "of calling everybody new. A model of little weight may matter, and one of much weight may be replaceable."
    )
    return [chart, Table("What each model brings", header, rows, note), Text(explanation)]
