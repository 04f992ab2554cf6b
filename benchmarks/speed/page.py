"""docs/benchmarks.md from what was measured."""

from __future__ import annotations

from typing import Any

from benchmarks.speed.growth import STEPS, numbers_of


def page(runs: list[dict[str, Any]]) -> str:
    """The page: a section a machine, the last that was measured on first."""
    return (
        "# Benchmarks\n\nWritten by `make bench`. Times differ from machine to machine and from minute to minute; "
        "the ratios are measured in one run.\n" + "".join(map(_section, runs))
    )


def _section(results: dict[str, Any]) -> str:
    """What was measured on a machine; parts that were not are left out."""
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
    text = f"""
## {results["machine"]}

Measured on {results["date"]}.

| figure | finblend | peer | ratio |
|---|---|---|---|
{table}

{chr(10).join(f"- {note}" for note in notes)}
"""
    return text + (_growth(results["growth"]) if "growth" in results else "")


def _growth(growth: dict[str, Any]) -> str:
    steps = {step: step.replace("_", " ") for step in STEPS}
    lines = "\n".join(
        f"| {row['photos']:,} | {row['test_photos']:,} | {row['individuals']:,} | {row['models']} "
        f"| {row['numbers'] / row['models']:,.0f}{'' if row['width'] else ' (own)'} | "
        + " | ".join(f"{_seconds(row[step]['seconds'])}, {row[step]['gib']:.2f}" for step in STEPS)
        + f" | {row['rate']:,.0f} |"
        for row in growth["rows"]
    )
    fitted = "\n".join(
        f"| {numbers_of(each['width'])} | {told} | {_power(each[step]['seconds'])} | {_power(each[step]['gib'])} |"
        for each in growth["exponents"]
        for step, told in steps.items()
    )
    header = " | ".join(f"{told}, s, GiB" for told in steps.values())
    return f"""
### How it grows

Drawn worlds, each step in a process of its own: seconds, and GiB of anonymous memory at most. The dimension is that of
each model's embeddings (the mean where they keep their own widths); where it was reduced, to make a large world fit,
all times of evidence are those of fewer numbers. The last column is comparable over dimensions: 10^9 multiplications a
second, counted as every pair of train photos once and every test photo with every train photo, in the numbers of all
models. One trial is the quickest of five.

![seconds and memory over photos](benchmarks-growth.svg)

| train photos | test photos | individuals | models | dimension | {header} | rate |
|---|---|---|---|---|{"---|" * len(STEPS)}---|
{lines}

Exponents by least squares, over the sizes of one width. Every process needs some seconds and memory to begin with,
which makes small worlds look as if they grew less.

| dimension | step | seconds | memory |
|---|---|---|---|
{fitted}
"""


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f}" if seconds < 1 else f"{seconds:.1f}"


def _power(exponents: dict[str, float]) -> str:
    """The exponents as a formula.

    >>> _power({"photos": 1.9, "models": 0.8})
    'photos^1.90 x models^0.80'
    """
    return " x ".join(f"{what}^{exponent:.2f}" for what, exponent in exponents.items())
