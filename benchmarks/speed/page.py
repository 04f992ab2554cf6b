"""docs/benchmarks.md from what was measured."""

from __future__ import annotations

from typing import Any


def page(results: dict[str, Any]) -> str:
    """The page; parts that were not measured are left out."""
    rows: list[tuple[str, str, str, str]] = []
    notes: list[str] = []
    if "knn" in results:
        r = results["knn"]
        rows.append(
            (
                f"exact neighbours, {r['sizes']}",
                f"{r['seconds']:.1f} s ({r['gflops']:.0f} GFLOP/s)",
                f"faiss `IndexFlatIP` {r['faiss_seconds']:.1f} s ({r['faiss_gflops']:.0f} GFLOP/s)",
                f"{r['faiss_ratio']:.2f}x",
            )
        )
        rows.append(
            (
                "the same",
                "",
                f"faiss as its wheel installs {r['faiss_as_installed_seconds']:.1f} s",
                f"{r['faiss_as_installed_ratio']:.2f}x",
            )
        )
        rows.append(
            (
                "the same",
                "",
                f"plain bfloat16 product {r['product_seconds']:.1f} s ({r['product_gflops']:.0f} GFLOP/s)",
                f"{100 * r['product_share']:.0f} % of its rate",
            )
        )
        notes.append(
            f"Neighbours ({r['world']}): {100 * r['same_place']:.3f} % stand in the same place as faiss's; "
            f"{r['differ_beyond_ties']} of the others are no ties within 1e-6. faiss and the plain product were "
            f"measured on {r['sample']:,} queries and scaled; faiss's OpenBLAS was told to run its "
            f"code for {r['faiss_kernel']}, which it does not find by itself on newer processors."
        )
    if "trial" in results:
        r = results["trial"]
        rows.append(
            (
                f"one trial, {r['sources']} sources, {r['photos']:,} photos out-of-fold, with bounds and threshold",
                f"{1000 * r['seconds']:.0f} ms",
                f"concatenate, faiss flat, best photo per individual {r['peer_seconds']:.0f} s",
                f"{r['ratio']:,.0f}x",
            )
        )
        notes.append(
            f"Trials ({r['world']}): MAP@5 of the sample {r['map5']:.6f}, by concatenation {r['peer_map5']:.6f}; "
            f"{r['differ']} photos differ, {r['differ_beyond_ties']} of them with scores further apart than 1e-6. The "
            f"candidates decide {100 * r['certified']:.3f} % of the weighted photos; MAP@5's interval is "
            f"{r['width']:.6f} wide. After pruning {r['candidates_per_photo']:.0f} candidates a photo are left. The "
            f"peer was measured on {r['sample']:,} photos of one fold and scaled to all."
        )
    for key, kind in (("whole", "frozen"), ("whole_per_fold", "per fold")):
        if key in results:
            r = results[key]
            rows.append(
                (
                    f"evidence + {r['trials']} trials + nested score ({r['nested_trials']} a fold) + submission, "
                    f"{r['models']} models ({kind}), {r['photos']:,} photos",
                    f"{r['seconds'] / 60:.1f} min, {r['anonymous_gib']:.1f} GiB anonymous memory",
                    "-",
                    "-",
                )
            )
            low, high = r["prediction"] or (float("nan"), float("nan"))
            notes.append(
                f"The whole job ({r['world']}): evidence and single models {r['evidence_seconds']:.0f} s, tuning with "
                f"the nested score {r['tune_seconds']:.0f} s, submission {r['submit_seconds']:.0f} s. In-sample "
                f"{r['in_sample']:.4f}, nested {r['nested'] or float('nan'):.4f}, predicted for the test {low:.4f} to "
                f"{high:.4f}, reached on its answers {r['test']:.4f}. The candidates decided "
                f"{100 * r['certified']['share']:.3f} % of the tuned blend's photos, which leaves its MAP@5 an "
                f"interval {r['certified']['most'] - r['certified']['least']:.6f} wide; "
                f"{r['certified']['recomputed']} photos out-of-fold and {r['recomputed_test']} of test were compared "
                f"with the whole gallery. After trial {r['enough']['trial']} of "
                f"{r['enough']['trials']} all others gained less than {r['enough']['gain']}."
            )
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    text = f"""# Benchmarks

Written by `make bench`: {results["machine"]}.
Times differ from machine to machine and from minute to minute; the ratios are measured in one run.

| figure | finblend | peer | ratio |
|---|---|---|---|
{table}

{chr(10).join(f"- {note}" for note in notes)}
"""
    return text + (_growth(results["growth"]) if "growth" in results else "")


def _growth(growth: dict[str, Any]) -> str:
    lines = "\n".join(
        f"| {row['photos']:,} | {row['models']} | {row['evidence']:.1f} | {1000 * row['trial']:.1f} |"
        for row in growth["rows"]
    )
    e, t = growth["exponents"]["evidence"], growth["exponents"]["trial"]
    return f"""
## How it grows

Evidence grows like photos^{e["photos"]:.2f} x models^{e["models"]:.2f}, a trial like photos^{t["photos"]:.2f} x
models^{t["models"]:.2f} (least squares over the table; drawn worlds).

![seconds over photos](benchmarks-growth.svg)

| train photos | models | evidence, s | one trial, ms |
|---|---|---|---|
{lines}
"""
