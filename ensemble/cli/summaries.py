"""What tune and evaluate print.

The headline, and the end of `tune`, is the score of what is submitted on photos that no choice was made on (nested).
In-sample figures are too good, and the blend alone is not what is submitted where there is a second stage: both are
named for what they are, and come before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ensemble.cli.terminal import print_table, say, shown_value

if TYPE_CHECKING:
    from ensemble.evaluation.evaluate import EvaluateResult
    from ensemble.protocol.approximation import Approximation
    from ensemble.protocol.larger_gallery import LargerGallery
    from ensemble.protocol.new_share import NewShareEstimate
    from ensemble.tuning.nested_result import NestedResult
    from ensemble.tuning.result import Certificate, StageTest, TuneResult


def print_tuned(result: TuneResult) -> None:
    """The end of `tune`."""
    contributions, alone = result.contributions, result.single_models
    rows = []
    for name, weight in sorted(result.weights.items(), key=lambda item: -item[1]):
        part = contributions.get(name)
        brought = (None, None) if part is None else (part.left_out, part.shapley)
        rows.append([name, weight, result.whitening[name], alone[name], *brought])
    print_table("Blend", ["model", "weight", "whitening", "MAP@5 alone", "loss without it", "Shapley"], rows)
    say("Recipe")
    say(
        f"rule {result.rule}, threshold {result.threshold:.4f} against {result.background:.2f} of the "
        f"background, best {result.top_photos} photo(s) per individual, species penalty "
        f"{result.species_penalty:.3f}",
        "  ",
    )
    if result.species_weights:
        species = ", ".join(result.species_weights)
        say(f"weights of their own (shrunk, kappa {result.kappa:.0f}): {species}", "  ")
    say(f"somebody new comes first in {100 * result.new_first:.1f} % of the answers", "  ")
    say("Search")
    say(
        f"{result.trials} trials ({result.new_trials} new) in {result.seconds:.1f} s; after trial "
        f"{result.enough.trial} all others together gained less than {result.enough.gain}",
        "  ",
    )
    say(format_certified(result.certified), "  ")
    if result.approximation:
        say(format_approximation(result.approximation), "  ")
    errors = [part.error for part in contributions.values() if part.error is not None]
    if errors:
        say(f"Shapley values are sampled; standard error up to {max(errors):.4f}", "  ")
    print_estimate(result.estimate)
    print()
    _print_in_sample(result)
    # last, since the end is what a terminal shows
    if result.second_stage:
        say(format_second_stage(result.second_stage))
        for name, test in result.pairs.items():
            say(format_pair_source(name, test))
        print()
    print_nested(result.nested)
    print_larger_gallery(result.larger_gallery, result.nested)


def print_nested(nested: NestedResult | None) -> None:
    """The honest score and what it is compared with."""
    if nested is None:
        say("No honest score: nothing was tuned without the photos it is scored on (--nested-trials)")
        return
    against = nested.against
    staged = any(fold.second_stage for fold in nested.folds)
    baselines = [("best single model", "single"), ("equal weights", "equal")]
    baselines += [("the blend without its second stage", "plain")] if staged else []
    baselines += [("the blend without pair sources", "without_pairs")] if "without_pairs" in against else []
    rows = [["the blend, as submitted", nested.map5, *nested.interval]]
    rows += [[name, against[key].map5, None, None] for name, key in baselines]
    print_table("Honest score (nested)", ["", "MAP@5", "95 % from", "to"], rows)
    gains = [[name, *map(signed, (against[key].difference, *against[key].interval))] for name, key in baselines]
    note = f"{nested.measured}; intervals over individuals, gains paired"
    print_table("What the blend gains", ["over", "gain", "95 % from", "to"], gains, note)
    if nested.gain_of_pairs:
        species = sorted(nested.gain_of_pairs.items(), key=lambda item: -item[1].share)
        rows = [[name, g.share, g.without, signed(g.gain), *map(signed, g.interval)] for name, g in species]
        columns = ["species", "share", "MAP@5 without", "gain", "95 % from", "to"]
        print_table("What pair sources gain (nested)", columns, rows)
    low, high = nested.prediction
    say(f"MAP@5 {nested.map5:.4f}; a test of {nested.test_photos} photos: {low:.4f} to {high:.4f} with 95 %")
    say(format_gains(nested))


def print_larger_gallery(larger: LargerGallery | None, nested: NestedResult | None) -> None:
    """What the whole gallery is expected to change; nothing where photos met it but for their encounter."""
    if larger is None:
        return
    (now, _), (less, _) = ((float(share), score) for share, score in larger.map5.items())
    line = (
        f"Test meets all photos, these met {100 * now:.0f} % of them: expect {larger.change:+.4f} by it "
        f"(standard error {larger.error:.4f}; from galleries of {100 * less:.0f} and {100 * now:.0f} %, "
        "along the logarithm)"
    )
    if nested is not None:
        line += f", that is {nested.map5 + larger.change:.4f}; no score above contains it"
    say(line)


def format_gains(nested: NestedResult) -> str:
    """Whether blending pays, in words: better or worse only where the interval leaves no doubt."""
    judgements = []
    for name, key in (("the best single model", "single"), ("equal weights", "equal")):
        low, high = nested.against[key].interval
        relation = "better than" if low > 0 else "worse than" if high < 0 else "not clearly other than"
        judgements.append(f"{relation} {name}")
    return f"Blending is {' and '.join(judgements)}"


def _print_in_sample(result: TuneResult) -> None:
    """What was reached on the photos that all choices were made on."""
    stage = result.second_stage
    rows = [
        ["this blend alone", result.map5],
        ["equal weights", result.equal_weights],
        ["greedy selection", result.greedy],
        ["best single model", max(result.single_models.values())],
    ]
    if (stage and stage.used) or any(test.used for test in result.pairs.values()):
        rows.insert(0, ["with the second stage (cross-fitted), as submitted", result.map5_of_answers])
    optimism = f"; optimism of what is submitted {result.nested.optimism:+.4f}" if result.nested else ""
    print_table(
        "In-sample, too good: on the photos it was tuned on", ["", "MAP@5"], rows, f"{result.measured}{optimism}"
    )


def format_certified(certified: Certificate) -> str:
    """What the candidates alone decide, in one line."""
    return (
        f"the candidates decide {100 * certified.share:.2f} % of the photos (MAP@5 between "
        f"{certified.least:.4f} and {certified.most:.4f}); {certified.recomputed} photos were compared with "
        "the whole gallery"
    )


def format_approximation(found: Approximation) -> str:
    """What approximate neighbours were found to miss, in one line."""
    return (
        f"approximate neighbours: of {found.drawn} photos drawn by weight and compared with the whole gallery "
        f"{found.changed} score otherwise, so exact ones could move MAP@5 by {found.at_most:.4f} (97.5 % upper limit), "
        f"by which intervals are wider on either side; lists have {100 * found.recall:.2f} % of the nearest photos, "
        f"{100 * found.recall_first:.2f} % of the very nearest"
    )


def format_second_stage(test: StageTest) -> str:
    """Whether there is a second stage, and why, in one line."""
    return (
        f"Second stage {'used' if test.used else 'not used'}: MAP@5 {test.map5:.4f} cross-fitted, "
        f"{test.gain:+.4f} against the blend alone, a gain in {100 * test.sure:.1f} % of drawn catalogues"
    )


def format_pair_source(name: str, test: StageTest) -> str:
    """Whether the second stage weighs a pair source, and why, in one line."""
    return (
        f"Pair source {name} {'used' if test.used else 'not used'}: MAP@5 {test.map5:.4f} cross-fitted, "
        f"{test.gain:+.4f} against the same without it, a gain in {100 * test.sure:.1f} % of drawn catalogues"
    )


def print_evaluated(result: EvaluateResult) -> None:
    """The end of `evaluate`."""
    rows = [
        [row.species, row.photos, row.strangers, row.map5, row.known, row.new]
        for row in sorted(result.species, key=lambda row: -row.photos)
    ]
    print_table("Species", ["species", "photos", "strangers", "MAP@5", "known", "new"], rows)
    shares = [[row.new_share, row.map5, row.known, row.new] for row in result.shares]
    print_table("If the share of strangers were", ["share", "MAP@5", "known", "new"], shares)
    low, high = result.interval
    say(f"MAP@5 {result.map5:.4f}, 95 % interval over individuals {low:.4f} to {high:.4f}")
    say(f"known individuals {shown_value(result.known)}, strangers {shown_value(result.new)}", "  ")
    say(
        f"share of strangers {result.new_share:.3f}; "
        f"somebody new comes first in {100 * result.new_first:.1f} %\n"
        f"{result.measured}\n"
        f"raw MAP@5 {result.raw.map5:.4f} ({result.raw.how})\n"
        f"{format_certified(result.certified)}",
        "  ",
    )
    if result.approximation:
        say(format_approximation(result.approximation), "  ")
    print_estimate(result.estimate)
    if result.nested:
        print()
        print_nested(result.nested)
    print_larger_gallery(result.larger_gallery, result.nested)


def print_estimate(estimate: NewShareEstimate | None) -> None:
    """Print an estimated share of strangers; nothing where it was stated."""
    if estimate is not None:
        rounds = ", ".join(f"{share:.3f}" for share in estimate.rounds)
        say(
            f"share of strangers estimated from the test photos' own scores: {estimate.share:.3f} "
            f"(standard error {estimate.error:.3f}; round by round {rounds})"
        )


def signed(value: float | None) -> str | None:
    """A difference with its sign."""
    return None if value is None else f"{value:+.4f}"
