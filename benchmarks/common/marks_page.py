"""docs/benchmarks-marks.md from what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks-marks.md"


def add(path: Path, key: str, results: dict[str, Any]) -> str:
    """Keep results beside the earlier ones and write the page; returns it."""
    everything = json.loads(path.read_text()) if path.is_file() else {}
    everything[key] = {**everything.get(key, {}), **results}
    path.write_text(json.dumps(everything, indent=1) + "\n")
    text = page(everything)
    PAGE.write_text(text)
    return text


def page(results: dict[str, Any]) -> str:
    """The page; parts that were not measured are left out."""
    return "\n".join(
        [
            "# Marks: benchmark",
            "",
            "Written by `make bench-marks` and `make bench-marks-accuracy`.",
            "",
            *(_speed(results["speed"]) if "speed" in results else []),
            *(_accuracy(results["accuracy"]) if "accuracy" in results else []),
        ]
    )


def _speed(speed: dict[str, Any]) -> list[str]:
    lines = [
        "## Speed",
        "",
        f"{speed['machine']}. Each ratio was measured in one run; photos and pairs on one thread.",
        "",
        "| | finblend | peer | ratio |",
        "|---|---|---|---|",
    ]
    rows = {
        "features": "features of a photo | OpenCV's SIFT on photos enlarged alike, square roots",
        "pairs": "match and verify a pair | BFMatcher, ratio, estimateAffine2D (RANSAC)",
    }
    for key, words in rows.items():
        if key in speed:
            r, (what, peer) = speed[key], words.split(" | ")
            ours = f"{1000 * r['seconds']:.2f} ms"
            lines.append(f"| {what} | {ours} | {peer}: {1000 * r['peer_seconds']:.2f} ms | {r['ratio']:.2f}x |")
    if "votes" in speed:
        first = speed["votes"][0]
        lines += [
            "",
            f"Votes of a query photo, every descriptor compared and by the inverted index ({first['cell']} descriptors "
            f"a cell, {first['probes']} cells looked into). Recall: of the exact vote's 20 best individuals.",
            "",
            "| descriptors | exact, ms | index, ms | ratio | index made, s | recall |",
            "|---|---|---|---|---|---|",
            *(
                f"| {r['descriptors']:,} | {1000 * r['exact']:.0f} | {1000 * r['index']:.0f} | {r['ratio']:.2f}x "
                f"| {r['index_made']:.1f} | {r['recall']:.3f} |"
                for r in speed["votes"]
            ),
        ]
    return [*lines, ""]


def _accuracy(accuracy: dict[str, Any]) -> list[str]:
    lines = ["## Accuracy", ""]
    for case, r in accuracy.items():
        lines += [
            f"### {case}",
            "",
            r["told"],
            "",
            "| | MAP@5 | finblend's gain, with 95 % interval |",
            "|---|---|---|",
        ]
        for name, score in r["scores"].items():
            low_high = (
                f"{score['gain'][0]:+.4f} ({score['gain'][1]:+.4f} to {score['gain'][2]:+.4f})"
                if "gain" in score
                else "-"
            )
            lines.append(f"| {name} | {score['map5']:.4f} | {low_high} |")
        lines.append("")
        if r.get("species"):
            lines += ["| species | share | without pairs | pairs add |", "|---|---|---|---|"]
            for name, each in r["species"].items():
                low, high = each["interval"]
                gain = f"{each['gain']:+.4f} ({low:+.4f} to {high:+.4f})"
                lines.append(f"| {name} | {each['share']:.3f} | {each['without']:.4f} | {gain} |")
            lines.append("")
        lines += [f"- {note}" for note in r.get("notes", [])] + ([""] if r.get("notes") else [])
    return lines
