"""The section on the blend: its recipe, its score in-sample and nested, and what that is compared with."""

from __future__ import annotations

import numpy as np

from cv.errors import FinblendError
from ensemble.blend.blend import Blend
from ensemble.identification.scored_blend import ScoredBlend
from ensemble.protocol.approximation import Approximation, widened
from ensemble.protocol.bootstrap import Bootstrap, interval_of
from ensemble.protocol.scores import Summary, summary
from ensemble.report.charts.charts import Bars
from ensemble.report.numbers import share
from ensemble.report.page.pieces import Cell, Figures, Piece, Section, Table, Text, Warnings
from ensemble.report.page.words import against, format_mix, interval
from ensemble.report.sections.blend_charts import over_shares_chart, species_table, threshold_charts, trials_chart
from ensemble.report.state import State
from ensemble.tuning.baselines import equal_weights
from ensemble.tuning.nested_result import HOW as HOW_NESTED

TITLE = "Blend"
MOST = 50


def section(state: State) -> Section | None:
    """What is known of the tuned blend; None before there is one."""
    blend = state.blend
    if blend is None:
        return None
    why = state.stale
    if why is None:
        try:
            scored = state.scored
            if scored is not None:
                return _section(state, blend, scored)
        except FinblendError as error:
            why = str(error)
    name = state.project.blend_path.name
    warnings = [*([why] if why else []), *(blend.changed(name) or ["The figures are those that 'finblend tune' kept."])]
    measured = f"As it stands in {name}; nothing could be measured again."
    return Section("blend", TITLE, measured, [Warnings(warnings), *_kept(blend)])


def _section(state: State, blend: Blend, scored: ScoredBlend) -> Section:
    evaluation_set = scored.setup.evaluation_set
    scores = summary(evaluation_set, scored.precision)
    measured = f"Out-of-fold, {scored.measured}. Mix: {format_mix(state.mix, scores.new_share)}."
    if blend.measured.get("nested"):
        # an older blend's file says less
        how = str(blend.measured["nested"].get("measured") or HOW_NESTED)
        measured += f" {how[0].upper()}{how[1:]}."
    measured += " Intervals hold 95 %, by drawing individuals anew."
    changed = blend.changed(state.project.blend_path.name)
    body: list[Piece] = [Warnings(changed)] if changed else []
    body.append(Figures(_figures(state, blend, scored, scores)))
    body += [_scores(state, blend, scored), _weights(blend), *_recipe(blend), *_nested_folds(blend)]
    body += trials_chart(state, blend, scored)
    body += threshold_charts(blend, scored, scores.new_share)
    body += over_shares_chart(state, scored, scores.new_share)
    body += species_table(state, scored)
    return Section("blend", TITLE, measured, body)


def _kept(blend: Blend) -> list[Piece]:
    measured, nested = blend.measured, blend.measured.get("nested")
    pairs = [("MAP@5 of the blend in-sample, as tuned", f"{measured['map5']:.4f}")] if "map5" in measured else []
    if nested:
        pairs += [("nested MAP@5", f"{nested['map5']:.4f}"), ("95 % interval", interval(nested["interval"]))]
    return [*([Figures(pairs)] if pairs else []), _weights(blend), *_recipe(blend)]


def _figures(state: State, blend: Blend, scored: ScoredBlend, scores: Summary) -> list[tuple[str, str]]:
    evaluation_set = scored.setup.evaluation_set
    approximation = Approximation.kept_in(blend)
    low, high = widened(Bootstrap(evaluation_set).interval(scored.precision), approximation)
    name = "MAP@5, second stage cross-fitted" if blend.second_stage else "MAP@5 in-sample"
    pairs = [(name, f"{scores.map5:.4f}"), ("its 95 % interval", interval([low, high]))]
    nested = blend.measured.get("nested")
    if nested:
        pairs += [
            ("MAP@5 nested", f"{nested['map5']:.4f}"),
            ("its 95 % interval", interval(nested["interval"])),
            (f"expected of a test of {nested['test_photos']:,} photos, with 95 %", interval(nested["prediction"])),
        ]
    else:
        pairs.append(("MAP@5 nested", "not measured"))
    if approximation:
        pairs.append(("what approximate neighbours could move, in these intervals", f"{approximation.at_most:.4f}"))
    larger = blend.measured.get("larger_gallery")
    if larger:
        change = f"{larger['change']:+.4f} (standard error {larger['error']:.4f})"
        pairs.append(("expected besides, of test's larger gallery", change))
    pairs += [
        ("known photos", "-" if scores.known is None else f"{scores.known:.4f}"),
        ("strangers", "-" if scores.new is None else f"{scores.new:.4f}"),
        ("share of strangers assumed", share(scores.new_share)),
        ("answers with somebody new first", share(evaluation_set.share_of_new(scored.labels))),
        ("certain without the whole gallery", share(1 - scored.over_candidates.undecided)),
    ]
    return pairs


def _scores(state: State, blend: Blend, scored: ScoredBlend) -> Bars:
    """The blend against what it must beat, all on the same photos and drawn catalogues."""
    evaluation_set, nested = scored.setup.evaluation_set, blend.measured.get("nested")
    best = max(state.baselines, key=lambda name: state.baselines[name].map5)
    staged = blend.second_stage
    in_sample: list[tuple[str, np.ndarray]] = []
    if len(blend.weights) > 1:
        in_sample.append((f"{best} alone, in-sample", state.baselines[best].precision))
        in_sample.append(("equal weights, in-sample", equal_weights(scored.setup).precision))
    in_sample.append(("no 2nd stage, in-sample" if staged else "blend, in-sample", scored.precision_alone))
    if staged:
        in_sample.append(("blend, cross-fitted", scored.precision))
    stacked = np.stack([precision for _, precision in in_sample])
    draws = Bootstrap(evaluation_set).draws(stacked)
    rows = [
        (name, float(evaluation_set.weights @ precision), widened(interval_of(drawn), Approximation.kept_in(blend)))
        for (name, precision), drawn in zip(in_sample, draws.T, strict=True)
    ]
    reached = rows[-1][1]
    title = f"Blend {reached:.4f} {'cross-fitted' if staged else 'in-sample'}"
    others = (nested or {}).get("against", {})
    if len(blend.weights) > 1 and not nested:
        difference, drawn = reached - rows[0][1], draws[:, -1] - draws[:, 0]
        title += f": it {against(difference, 'its best model')} there (95 % {interval(interval_of(drawn))})"
        title += "; no nested score"
    if nested:
        title += f", {nested['map5']:.4f} nested"
        names = {"single": "best alone, nested", "equal": "equal weights, nested"}
        if staged or any(fold.get("second_stage") for fold in nested.get("folds", [])):
            names["plain"] = "no 2nd stage, nested"
        if len(blend.weights) > 1:
            for key, name in names.items():
                if "own_interval" in others.get(key, {}):
                    rows.append((name, others[key]["map5"], others[key]["own_interval"]))
            if "single" in others:
                single = others["single"]
                title += f": nested it {against(single['difference'], 'its best model')} "
                title += f"(95 % {interval(single['interval'])})"
        rows.append(("blend, nested", nested["map5"], nested["interval"]))
    chosen = [n for n, (name, _, _) in enumerate(rows) if name.startswith("blend, ")]
    alt = "; ".join(f"{name} {score:.4f} ({interval(ends)})" for name, score, ends in rows)
    return Bars(
        title,
        "MAP@5, with 95 % intervals",
        "recipe",
        f"{alt}.",
        [name for name, _, _ in rows],
        [score for _, score, _ in rows],
        [(ends[0], ends[1]) for _, _, ends in rows],
        chosen,
    )


def _weights(blend: Blend) -> Bars:
    names = sorted(blend.weights, key=lambda name: -blend.weights[name])[:MOST]
    first = names[0]
    title = f"{first} carries {share(blend.weights[first])} of the blend"
    if len(blend.weights) > 1:
        used = sum(weight > 0 for weight in blend.weights.values())
        title += f"; {used} of {len(blend.weights)} models have weight"
    weights = ", ".join(f"{name} {blend.weights[name]:.4f}" for name in names)
    values = [blend.weights[name] for name in names]
    return Bars(title, "weight (all sum to 1)", "model", f"Weights: {weights}.", names, values)


def _recipe(blend: Blend) -> list[Piece]:
    rows: list[list[Cell]] = [
        ["rule for somebody new", blend.rule],
        ["threshold", f"{blend.threshold:.4f}"],
        ["of the query's background taken off", f"{blend.background:.2f}"],
        ["best photos per individual", str(blend.top_photos)],
        ["penalty for an unlikely species", f"{blend.species_penalty:.4f}"],
        ["second stage", _format_stage(blend)],
    ]
    rows += [[f"whitening of {name}", kind] for name, kind in blend.whitening.items() if kind != "none"]
    pieces: list[Piece] = [Table("The recipe", ["what", "value"], rows[:MOST])]
    if blend.second_stage:
        pieces.append(Text("Where there is a second stage, it answers instead of rule and threshold."))
    if blend.species_weights:
        names = list(blend.weights)[:12]
        species_rows: list[list[Cell]] = [
            [species, *(weights.get(name, 0.0) for name in names)] for species, weights in blend.species_weights.items()
        ]
        caption = "Species with weights of their own"
        pieces.append(Table(caption, ["species", *names], species_rows[:MOST]))
    return pieces


def _format_stage(blend: Blend) -> str:
    verdict = blend.measured.get("second_stage")
    if not verdict:
        return "used" if blend.second_stage else "none"
    return (
        f"{'used' if verdict['used'] else 'not used'}: {verdict['gain']:+.4f} against the blend alone, "
        f"a gain in {share(verdict['sure'])} of drawn catalogues"
    )


def _nested_folds(blend: Blend) -> list[Piece]:
    nested = blend.measured.get("nested") or {}
    folds = nested.get("folds") or []
    if not folds:
        return []
    names = list(blend.weights)[:12]
    rows: list[list[Cell]] = [
        [
            str(row["fold"]),
            row["map5"],
            "yes" if row["second_stage"] else "no",
            *(row["weights"].get(n, 0.0) for n in names),
        ]
        for row in folds
    ]
    header = ["fold", "MAP@5", "second stage", *names]
    note = (
        "What was tuned without each fold, and how it did there. Below the models' names stand their weights; those "
        "that swing are not known well."
    )
    return [Table("Nested: tuned without each fold", header, rows[:MOST], note)]
