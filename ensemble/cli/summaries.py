"""What tune and evaluate print.

The headline, and the end of `tune`, is the score of what is submitted on photos that no choice was made on (nested).
In-sample figures are too good, and the blend alone is not what is submitted where there is a second stage: both are
named for what they are, and come before it.
"""

from __future__ import annotations

from typing import Any

from ensemble.cli.terminal import Figures, print_table, say, shown_value
from ensemble.report.numbers import format_operators


def print_tuned(report: Figures) -> None:
    """The end of `tune`."""
    contributions, alone = report["contributions"], report["single_models"]
    rows = []
    for name, weight in sorted(report["weights"].items(), key=lambda item: -item[1]):
        brought = contributions.get(name, {"left_out": None, "shapley": None})
        rows.append([name, weight, report["whitening"][name], alone[name], brought["left_out"], brought["shapley"]])
    print_table("Blend", ["model", "weight", "whitening", "MAP@5 alone", "loss without it", "Shapley"], rows)
    say("Recipe")
    say(
        f"rule {report['rule']}, threshold {report['threshold']:.4f} against {report['background']:.2f} of the "
        f"background, best {report['top_photos']} photo(s) per individual, species penalty "
        f"{report['species_penalty']:.3f}",
        "  ",
    )
    for name, operators in report["operators"].items():
        say(f"operators of {name}: {format_operators(operators)}", "  ")
    if report["species_weights"]:
        species = ", ".join(report["species_weights"])
        say(f"weights of their own (shrunk, kappa {report['kappa']:.0f}): {species}", "  ")
    say(f"somebody new comes first in {100 * report['new_first']:.1f} % of the answers", "  ")
    say("Search")
    say(
        f"{report['trials']} trials ({report['new_trials']} new) in {report['seconds']:.1f} s; after trial "
        f"{report['enough']['trial']} all others together gained less than {report['enough']['gain']}",
        "  ",
    )
    say(format_certified(report["certified"]), "  ")
    errors = [brought["error"] for brought in contributions.values() if brought["error"] is not None]
    if errors:
        say(f"Shapley values are sampled; standard error up to {max(errors):.4f}", "  ")
    print_estimate(report["estimate"])
    print()
    _print_in_sample(report)
    # last, since the end is what a terminal shows
    if report["second_stage"]:
        say(format_second_stage(report["second_stage"]))
        print()
    print_nested(report["nested"])


def print_nested(nested: dict[str, Any] | None) -> None:
    """The honest score and what it is compared with."""
    if nested is None:
        say("No honest score: nothing was tuned without the photos it is scored on (--nested-trials)")
        return
    against = nested["against"]
    staged = any(fold["second_stage"] for fold in nested["folds"])
    baselines = [("best single model", "single"), ("equal weights", "equal")]
    baselines += [("the blend without its second stage", "plain")] if staged else []
    rows = [["the blend, as submitted", nested["map5"], *nested["interval"]]]
    rows += [[name, against[key]["map5"], None, None] for name, key in baselines]
    print_table("Honest score (nested)", ["", "MAP@5", "95 % from", "to"], rows)
    rows = [[name, *map(signed, (against[key]["difference"], *against[key]["interval"]))] for name, key in baselines]
    note = f"{nested['measured']}; intervals over individuals, gains paired"
    print_table("What the blend gains", ["over", "gain", "95 % from", "to"], rows, note)
    low, high = nested["prediction"]
    say(f"MAP@5 {nested['map5']:.4f}; a test of {nested['test_photos']} photos: {low:.4f} to {high:.4f} with 95 %")
    say(format_gains(nested))


def format_gains(nested: dict[str, Any]) -> str:
    """Whether blending pays, in words: better or worse only where the interval leaves no doubt."""
    judgements = []
    for name, key in (("the best single model", "single"), ("equal weights", "equal")):
        low, high = nested["against"][key]["interval"]
        relation = "better than" if low > 0 else "worse than" if high < 0 else "not clearly other than"
        judgements.append(f"{relation} {name}")
    return f"Blending is {' and '.join(judgements)}"


def _print_in_sample(report: Figures) -> None:
    """What was reached on the photos that all choices were made on."""
    stage = report["second_stage"]
    rows = [
        ["this blend alone", report["map5"]],
        ["equal weights", report["equal_weights"]],
        ["greedy selection", report["greedy"]],
        ["best single model", max(report["single_models"].values())],
    ]
    if stage and stage["used"]:
        rows.insert(0, ["with the second stage (cross-fitted), as submitted", stage["map5"]])
    optimism = f"; optimism of what is submitted {report['nested']['optimism']:+.4f}" if report["nested"] else ""
    print_table(
        "In-sample, too good: on the photos it was tuned on", ["", "MAP@5"], rows, f"{report['measured']}{optimism}"
    )


def format_certified(certified: dict[str, Any]) -> str:
    """What the candidates alone decide, in one line."""
    return (
        f"the candidates decide {100 * certified['share']:.2f} % of the photos (MAP@5 between "
        f"{certified['least']:.4f} and {certified['most']:.4f}); {certified['recomputed']} photos were compared with "
        "the whole gallery"
    )


def format_second_stage(test: dict[str, Any]) -> str:
    """Whether there is a second stage, and why, in one line."""
    return (
        f"Second stage {'used' if test['used'] else 'not used'}: MAP@5 {test['map5']:.4f} cross-fitted, "
        f"{test['gain']:+.4f} against the blend alone, a gain in {100 * test['sure']:.1f} % of drawn catalogues"
    )


def print_evaluated(report: Figures) -> None:
    """The end of `evaluate`."""
    rows = [
        [row["species"], row["photos"], row["strangers"], row["map5"], row["known"], row["new"]]
        for row in sorted(report["species"], key=lambda row: -row["photos"])
    ]
    print_table("Species", ["species", "photos", "strangers", "MAP@5", "known", "new"], rows)
    shares = [[row["new_share"], row["map5"], row["known"], row["new"]] for row in report["shares"]]
    print_table("If the share of strangers were", ["share", "MAP@5", "known", "new"], shares)
    low, high = report["interval"]
    say(f"MAP@5 {report['map5']:.4f}, 95 % interval over individuals {low:.4f} to {high:.4f}")
    say(f"known individuals {shown_value(report['known'])}, strangers {shown_value(report['new'])}", "  ")
    say(
        f"share of strangers {report['new_share']:.3f}; "
        f"somebody new comes first in {100 * report['new_first']:.1f} %\n"
        f"{report['measured']}\n"
        f"raw MAP@5 {report['raw']['map5']:.4f} ({report['raw']['how']})\n"
        f"{format_certified(report['certified'])}",
        "  ",
    )
    print_estimate(report["estimate"])
    if report["nested"]:
        print()
        print_nested(report["nested"])


def print_estimate(estimate: dict[str, Any] | None) -> None:
    """Print an estimated share of strangers; nothing where it was stated."""
    if estimate is not None:
        rounds = ", ".join(f"{share:.3f}" for share in estimate["rounds"])
        say(
            f"share of strangers estimated from the test photos' own scores: {estimate['share']:.3f} "
            f"(standard error {estimate['error']:.3f}; round by round {rounds})"
        )


def signed(value: float | None) -> str | None:
    """A difference with its sign."""
    return None if value is None else f"{value:+.4f}"
