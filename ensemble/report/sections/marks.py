"""The section on marks: how pair sources came about, whether they are used, for whom they help, what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from backbones.pair_store import PairStore
from ensemble.registry.pair_sources import told
from ensemble.report.charts.charts import Bars
from ensemble.report.numbers import share
from ensemble.report.page.pieces import Cell, Piece, Section, Table, Text, Warnings
from ensemble.report.page.words import interval
from ensemble.report.state import State

TITLE = "Marks"
MEASURED = (
    "A pair source's gain is cross-fitted: over what answers without it, on the same photos and drawn catalogues. "
    "Gains per species are nested: each fold is answered by what was chosen on the other folds alone, with and without "
    "pair sources. Intervals hold 95 %, by drawing individuals anew."
)
VERDICTS = HELPS, HURTS, UNCLEAR = "clearly helps", "clearly hurts", "not clear"
MOST = 50
MAPS = {"affine": "an affine map", "homography": "a homography"}


def section(state: State) -> Section | None:
    """What is known of pair sources; None where there is none."""
    stores = state.project.pair_stores()
    if not stores:
        return None
    measured = {} if state.blend is None else state.blend.measured
    used = [] if state.blend is None else list(state.blend.pair_sources)
    body: list[Piece] = [Warnings([state.stale])] if state.stale is not None else []
    body += [Text(f"{name}: {how(store.manifest.made)}.") for name, store in stores.items()]
    body += [_sources(stores, used, measured.get("pairs") or {}), *_gains(measured)]
    body += [piece for name, store in stores.items() if (piece := _cost(name, store.manifest.made)) is not None]
    return Section("marks", TITLE, MEASURED, body)


def _sources(stores: Mapping[str, PairStore], used: list[str], tests: Mapping[str, Any]) -> Table:
    header = ["pair source", "pairs out-of-fold", "pairs of test", "verified", "used", "gain in MAP@5", "sure"]
    rows: list[list[Cell]] = []
    for name, store in stores.items():
        manifest, test = store.manifest, tests.get(name)
        answer = "yes" if name in used else "not known" if test is None else "no"
        rows.append(
            [
                *(name, manifest.pairs["train"], manifest.pairs["test"], _verified(store)),
                *(answer, test and test["gain"], test and test["sure"]),
            ]
        )
    note = (
        "'verified' is the share of pairs whose matched keypoints were compared by geometry; of the others there are "
        "votes alone. A pair that is not there was not compared, which is not 0. 'sure' is the share of drawn "
        "catalogues with a gain; a source is used where it is clearly better."
    )
    return Table("Pair sources", header, rows, note, ("verified", "sure"))


def how(made: Mapping[str, Any]) -> str:
    """How pairs came about, in words.

    >>> how({"how": "match", "features": "sift", "keypoints": 400, "matcher": "ratio-0.95", "verify": "none"})
    'up to 400 keypoints a photo (sift) vote for gallery photos; nothing is verified'
    """
    if made.get("how") != "match":
        return told(made)
    text = f"up to {made.get('keypoints')} keypoints a photo ({made.get('features')}"
    text += ", mirrored too)" if made.get("mirrored") else ")"
    text += " vote for gallery photos"
    if made.get("verify") not in MAPS:
        return f"{text}; nothing is verified"
    return (
        f"{text}; the first {made.get('shortlist')} of the models and of the votes are matched by "
        f"{made.get('matcher')} and verified by {MAPS[made['verify']]}"
    )


def _verified(store: PairStore) -> float | None:
    """Share of pairs that matching compared keypoint by keypoint; None where the second number is another one's."""
    if store.manifest.made.get("how") != "match":
        return None
    seconds = [store.pairs(split).second for split in ("train", "test")]
    known = sum(0 if second is None else int(np.isfinite(second).sum()) for second in seconds)
    return known / max(sum(store.manifest.pairs.values()), 1)


def _gains(measured: Mapping[str, Any]) -> list[Piece]:
    """For which species pair sources help, and by how much."""
    nested = measured.get("nested") or {}
    gains: Mapping[str, Any] = nested.get("gain_of_pairs") or {}
    if not gains:
        return [Text("No gain per species is known: 'finblend tune' measured no nested score with these pair sources.")]
    names = sorted(gains, key=lambda name: -gains[name]["share"])[:MOST]
    drawn = [(name, gains[name]["gain"], gains[name]["interval"]) for name in names]
    rows: list[list[Cell]] = [
        [name, gains[name]["share"], gains[name]["without"], gain, *ends, verdict(*ends)] for name, gain, ends in drawn
    ]
    whole = nested.get("against", {}).get("without_pairs")
    if whole is not None and len(names) > 1:
        gain, ends = whole["difference"], whole["interval"]
        drawn.insert(0, ("all photos", gain, ends))
        rows.insert(0, ["all photos", 1.0, whole["map5"], gain, *ends, verdict(*ends)])
    called = {what: [name for name in names if verdict(*gains[name]["interval"]) == what] for what in VERDICTS}
    finding = "; ".join(f"{what}: {_listed(of)}" for what, of in called.items() if of)
    chart = Bars(
        f"With pair sources {drawn[0][1]:+.4f} in MAP@5, nested; {finding}",
        "gain in MAP@5 by pair sources, with 95 % intervals",
        "photos of",
        "; ".join(f"{name} {gain:+.4f} ({interval(ends)})" for name, gain, ends in drawn) + ".",
        [name for name, _, _ in drawn],
        [gain for _, gain, _ in drawn],
        [(low, high) for _, _, (low, high) in drawn],
        [n for n, (_, _, ends) in enumerate(drawn) if verdict(*ends) == HELPS],
    )
    header = ["photos of", "share of the mix", "MAP@5 without", "gain", "from", "to", "pair sources"]
    note = "'from' and 'to' hold 95 %, paired; an interval with 0 in it is not clear."
    if len(gains) > MOST:
        note += f" {len(gains) - MOST} rarer species are left out."
    return [chart, Table("For whom they help", header, rows, note, ("share of the mix",))]


def verdict(low: float, high: float) -> str:
    """What an interval of a gain says.

    >>> verdict(0.01, 0.05), verdict(-0.05, -0.01), verdict(-0.01, 0.02)
    ('clearly helps', 'clearly hurts', 'not clear')
    """
    return HELPS if low > 0 else HURTS if high < 0 else UNCLEAR


def _listed(names: list[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _cost(name: str, made: Mapping[str, Any]) -> Table | None:
    """Seconds of each step, where the manifest holds them."""
    seconds = made.get("seconds")
    if not isinstance(seconds, Mapping) or not seconds:
        return None
    whole = seconds.get("all", sum(seconds.values())) or 1.0
    rows: list[list[Cell]] = [[step, f"{taken:,.1f}", share(taken / whole)] for step, taken in seconds.items()]
    note = "Of the call that wrote the pairs: what earlier calls had finished took it no time."
    return Table(f"What {name} cost", ["step", "seconds", "of all"], rows, note)
