"""The blend's search, its threshold, its score over shares of strangers and per species."""

from __future__ import annotations

import numpy as np

from ensemble.blend.blend import Blend
from ensemble.identification.scored_blend import ScoredBlend
from ensemble.protocol.scores import SpeciesScore, over_shares, per_species
from ensemble.report.charts.charts import Lines, Mark, Series
from ensemble.report.numbers import share
from ensemble.report.page.pieces import Cell, Piece, Table, Text
from ensemble.report.state import State
from ensemble.tuning.convergence import GAIN, converged_after
from ensemble.tuning.study import scores_so_far

POINTS = 100
FINE = 40
MOST = 50
# what a threshold may cost before it counts as another one
COST = 0.001


def trials_chart(state: State, blend: Blend, scored: ScoredBlend) -> list[Piece]:
    """Every trial of the study and the best so far; nothing where the study's journal is gone."""
    scores = scores_so_far(scored.setup)
    if not scores:
        return [Text("The study's journal has no trials of this blend's sources and mix: no history is shown.")]
    best = np.maximum.accumulate(scores)
    at = converged_after(scores)
    title = f"{len(scores):,} trials reached {best[-1]:.4f}; "
    if at < len(scores):
        title += f"after trial {at:,} all others gained less than {GAIN}"
    else:
        title += "the last was clearly the best so far: more may help"
    kept = np.unique(np.linspace(0, len(scores) - 1, min(len(scores), 5 * POINTS)).astype(int)).tolist()
    numbers = [n + 1 for n in kept]
    series = [
        Series("best so far", numbers, [float(best[n]) for n in kept]),
        Series("trial", numbers, [float(scores[n]) for n in kept], points=True, line=False),
    ]
    alt = f"Scores of {len(scores):,} trials from {min(scores):.4f} to {max(scores):.4f}."
    chart = Lines(
        title,
        "trial",
        "MAP@5 in-sample, over the candidates",
        alt,
        series,
        [Mark(float(at), "enough")] if at < len(scores) else [],
        point="trial",
    )
    tuned = blend.measured.get("trials")
    if tuned is not None and len(scores) > tuned:
        note = f"The blend was chosen among the first {tuned:,} trials; {len(scores) - tuned:,} came later."
        return [chart, Text(note)]
    return [chart]


def threshold_charts(blend: Blend, scored: ScoredBlend, new_share: float) -> list[Piece]:
    """MAP@5 and the share of `new` over the threshold of the blend's rule."""
    evaluation_set = scored.setup.evaluation_set
    best = evaluation_set.lists(scored.ranking, blend.background).score[:, 0].astype(np.float64)
    best = best[np.isfinite(best)]
    if not len(best):
        return []
    low, high = np.quantile(best, [0.005, 0.995])
    ends = min(low, blend.threshold), max(high, blend.threshold)
    # fine enough to tell what another threshold costs; fewer points are drawn
    at = np.unique(np.append(np.linspace(*ends, FINE * POINTS), blend.threshold))
    ranking = scored.ranking.take(evaluation_set.queries)
    scores, new = evaluation_set.scorer.over_thresholds(ranking, blend.background, blend.rule, at)
    chosen = int(np.flatnonzero(at == blend.threshold)[0])
    low, high = around(at, scores, chosen)
    drawn = np.unique(np.append(np.arange(0, len(at), FINE), [chosen, len(at) - 1]))
    at, scores, new, reached, first = at[drawn], scores[drawn], new[drawn], scores[chosen], float(new[chosen])
    subject = "Without its second stage, the blend" if blend.second_stage else "The blend"
    title = (
        f"{subject} reaches {reached:.4f} at its threshold {blend.threshold:.4f}; "
        f"any from {low:.4f} to {high:.4f} costs less than {COST}"
    )
    x = f"threshold of rule {blend.rule}, less the background"
    marks = [Mark(blend.threshold, "chosen")]
    alt = f"MAP@5 from {scores.min():.4f} to {scores.max():.4f}; at the chosen threshold {reached:.4f}."
    curve = Lines(title, x, "MAP@5 in-sample", alt, [Series("MAP@5", at.tolist(), scores.tolist())], marks)
    assumed = Series("strangers assumed", [float(at[0]), float(at[-1])], [new_share] * 2)
    condition = "Without its second stage, " if blend.second_stage else ""
    share_of_new = Lines(
        f"{condition}{share(first)} of answers begin with somebody new; {share(new_share)} strangers are assumed",
        x,
        "share of photos",
        f"Share of answers with somebody new first, from {share(float(new[0]))} to {share(float(new[-1]))}.",
        [Series("somebody new first", at.tolist(), new.tolist()), assumed],
        marks,
    )
    return [curve, share_of_new]


def around(thresholds: np.ndarray, scores: np.ndarray, chosen: int) -> tuple[float, float]:
    """The thresholds next to the chosen one, on both sides, that cost less than `COST` all the way.

    >>> around(np.array([0.1, 0.2, 0.3, 0.4, 0.5]), np.array([0.7, 0.5, 0.7, 0.6995, 0.6]), 2)
    (0.3, 0.4)
    """
    worse = np.flatnonzero(scores <= scores[chosen] - COST)
    below, above = worse[worse < chosen], worse[worse > chosen]
    first, last = below[-1] + 1 if len(below) else 0, above[0] - 1 if len(above) else len(scores) - 1
    return float(thresholds[first]), float(thresholds[last])


def over_shares_chart(state: State, scored: ScoredBlend, new_share: float) -> list[Piece]:
    """How the score moves with the share of strangers; the blend stays as it is."""
    scores = over_shares(scored.setup, scored.answers)
    if len(scores) < 2:
        return []
    series = []
    for name, values in (
        ("all", [score.map5 for score in scores]),
        ("known", [score.known for score in scores]),
        ("strangers", [score.new for score in scores]),
    ):
        points = [(score.new_share, y) for score, y in zip(scores, values, strict=True) if y is not None]
        if points:
            series.append(Series(name, [x for x, _ in points], [y for _, y in points], points=True))
    first, last = scores[0], scores[-1]
    title = (
        f"The same blend would reach {first.map5:.4f} with {share(first.new_share)} strangers "
        f"and {last.map5:.4f} with {share(last.new_share)}"
    )
    alt = "; ".join(f"{share(score.new_share)} strangers: MAP@5 {score.map5:.4f}" for score in scores)
    marks = [Mark(new_share, "assumed")]
    return [Lines(title, "share of strangers, assumed", "MAP@5 out-of-fold", f"{alt}.", series, marks)]


def species_table(state: State, scored: ScoredBlend) -> list[Piece]:
    """Figures of each species, most photos first; nothing where there is one species only."""
    scores = per_species(scored.setup.evaluation_set, scored.precision, scored.labels)
    if len(scores) < 2:
        return []
    scores.sort(key=lambda score: -score.photos)
    rows = [_species_row(row) for row in scores[:MOST]]
    if len(scores) > MOST:
        rows.append(_rest(scores[MOST:]))
    header = ["species", "photos", "strangers", "share of the mix", "new first", "MAP@5", "from", "to", "known", "new"]
    note = (
        "'strangers' are out-of-fold; 'new first' is the share of answers with somebody new first; 'from' and 'to' "
        "hold 95 %, by drawing individuals anew; 'known' and 'new' are MAP@5 of known photos and of strangers."
    )
    return [Table("Species", header, rows, note, ("share of the mix", "new first"))]


def _species_row(score: SpeciesScore) -> list[Cell]:
    low, high = score.interval or (None, None)
    numbers = [score.photos, score.strangers, score.share, score.new_first, score.map5, low, high]
    return [score.species, *numbers, score.known, score.new]


def _rest(scores: list[SpeciesScore]) -> list[Cell]:
    weight = sum(score.share for score in scores)

    def mean(values: list[float | None]) -> float | None:
        pairs = zip(scores, values, strict=True)
        return sum(score.share * value for score, value in pairs if value is not None) / weight if weight > 0 else None

    photos, strangers = sum(score.photos for score in scores), sum(score.strangers for score in scores)
    new_first, map5 = mean([score.new_first for score in scores]), mean([score.map5 for score in scores])
    return [f"{len(scores)} more", photos, strangers, weight, new_first, map5, None, None, None, None]
