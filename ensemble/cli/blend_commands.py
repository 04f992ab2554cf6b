"""tune, evaluate."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ensemble.cli.app import app
from ensemble.cli.options import AsJson, GalleryMix, NewShare, ProjectFolder, gallery_exponent, print_estimate
from ensemble.cli.terminal import print_json, print_table, progress_bars, warn


@app.command()
def tune(
    folder: ProjectFolder,
    trials: Annotated[int, typer.Option(metavar="N", help="How many more trials.")] = 100,
    new_share: NewShare = None,
    gallery_mix: GalleryMix = "0.9",
    sampler: Annotated[str, typer.Option(metavar="tpe|cmaes|gp|random", help="Who proposes trials.")] = "tpe",
    seed: Annotated[int, typer.Option(metavar="N", help="Of the sampler.")] = 0,
    timeout: Annotated[float | None, typer.Option(metavar="S", help="Stop drawing trials after S seconds.")] = None,
    model: Annotated[
        list[str] | None, typer.Option(metavar="MODEL", help="Blend only these models (repeat it); default: all.")
    ] = None,
    nested_trials: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Trials per fold for the nested score; default: --trials, at most 100; 0: none."
        ),
    ] = None,
    operators: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="May be chosen per model: database-augmentation,query-expansion,reciprocal (commas); default: none.",
        ),
    ] = "",
    json: AsJson = False,
) -> None:
    """Tune the blend on out-of-fold MAP@5: weights, photos per individual, species penalty, background, threshold.

    Several processes may tune one project at the same time: they share their trials.

    Example: finblend tune P --trials 200 --new-share 0.112
    """
    from ensemble.tuning import tune as run

    with progress_bars() as progress:
        report = run(
            folder,
            trials=trials,
            new_share=new_share,
            gallery_exponent=gallery_exponent(gallery_mix),
            sampler=sampler,
            seed=seed,
            timeout=timeout,
            models=model or None,
            nested_trials=nested_trials,
            operators=operators.split(","),
            progress=progress,
        )
    warn(report["warnings"])
    if report["interrupted"]:
        warn(["interrupted: the best blend so far is written; the next 'finblend tune' goes on"])
    if json:
        print_json(report)
        return
    print_estimate(report["estimate"])
    parts = report["contributions"]
    rows = [
        [
            name,
            weight,
            report["whitening"][name],
            report["single_models"][name],
            parts[name]["left_out"] if name in parts else None,
            parts[name]["shapley"] if name in parts else None,
        ]
        for name, weight in sorted(report["weights"].items(), key=lambda item: -item[1])
    ]
    print_table("Blend", ["model", "weight", "whitening", "MAP@5 alone", "loss without it", "Shapley"], rows)
    errors = [part["error"] for part in parts.values() if part["error"] is not None]
    if errors:
        print(f"Shapley values are sampled; standard error up to {max(errors):.4f}")
    for name, own in report["operators"].items():
        told = "; ".join(f"{what} {', '.join(f'{k} {v:g}' for k, v in how.items())}" for what, how in own.items())
        print(f"operators of {name}: {told}")
    if report["species_weights"]:
        print(f"weights of their own (shrunk, kappa {report['kappa']:.0f}): {', '.join(report['species_weights'])}")
    if report["nested"]:
        print_nested(report["nested"])
    if report["second_stage"]:
        print(told_second_stage(report["second_stage"]))
    print(
        f"in-sample MAP@5 of the blend {report['map5']:.4f} (equal weights {report['equal_weights']:.4f}, "
        f"greedy selection {report['greedy']:.4f}, "
        f"best single model {max(report['single_models'].values()):.4f})\n"
        f"{told_certified(report['certified'])}\n"
        f"rule {report['rule']}, threshold {report['threshold']:.4f} "
        f"against {report['background']:.2f} of the background, "
        f"best {report['top_photos']} photo(s) per individual, species penalty {report['species_penalty']:.3f}\n"
        f"somebody new comes first in {100 * report['new_first']:.1f} % of the answers\n"
        f"{report['trials']} trials ({report['new_trials']} new) in {report['seconds']:.1f} s; after trial "
        f"{report['enough']['trial']} all others together gained less than {report['enough']['gain']}\n"
        f"{report['measured']}"
    )


def told_certified(found: dict[str, Any]) -> str:
    """What the candidates alone decide, in one line."""
    return (
        f"the candidates decide {100 * found['share']:.2f} % of the photos (MAP@5 between {found['least']:.4f} and "
        f"{found['most']:.4f}); {found['recomputed']} photos were compared with the whole gallery"
    )


def told_second_stage(found: dict[str, Any]) -> str:
    """Whether there is a second stage, and why, in one line."""
    return (
        f"second stage {'used' if found['used'] else 'not used'}: MAP@5 {found['map5']:.4f} cross-fitted, "
        f"{found['gain']:+.4f} against the blend alone, a gain in {100 * found['sure']:.1f} % of drawn catalogues"
    )


def print_nested(nested: dict[str, Any]) -> None:
    """The honest score and what it is compared with."""
    low, high = nested["interval"]
    print(f"nested MAP@5 {nested['map5']:.4f}, 95 % interval over individuals {low:.4f} to {high:.4f}")
    low, high = nested["prediction"]
    print(
        f"  a test of {nested['test_photos']} photos: {low:.4f} to {high:.4f} with 95 %\n"
        f"  in-sample {nested['in_sample']:.4f}: optimism {nested['optimism']:+.4f}"
    )
    baselines = [("the best single model", "single"), ("equal weights", "equal")]
    if any(fold["second_stage"] for fold in nested["folds"]):
        baselines.append(("the blend without its second stage", "plain"))
    for who, key in baselines:
        other = nested["against"][key]
        low, high = other["interval"]
        print(
            f"  against {who}, nested {other['map5']:.4f}: {other['difference']:+.4f} "
            f"(paired, 95 % {low:+.4f} to {high:+.4f})"
        )
    print(f"  {nested['measured']}")


@app.command()
def evaluate(
    folder: ProjectFolder,
    new_share: NewShare = None,
    gallery_mix: Annotated[
        str | None, typer.Option(metavar="E|raw", help="Another gallery mix than the blend's.")
    ] = None,
    nested: Annotated[
        bool, typer.Option("--nested", help="Also tune without each fold in turn and score that fold.")
    ] = False,
    nested_trials: Annotated[int, typer.Option(metavar="N", help="Trials per fold, for --nested.")] = 100,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the nested trials.")] = 0,
    json: AsJson = False,
) -> None:
    """Score the tuned blend out-of-fold: overall, known and new, per species; with --nested, honestly.

    Example: finblend evaluate P --nested
    """
    from ensemble.evaluation import evaluate as score

    exponent = gallery_exponent(gallery_mix) if gallery_mix is not None else "blend"
    with progress_bars() as progress:
        report = score(
            folder,
            new_share=new_share,
            gallery_exponent=exponent,
            nested=nested,
            nested_trials=nested_trials,
            seed=seed,
            progress=progress,
        )
    warn(report["warnings"])
    if json:
        print_json(report)
        return
    rows = [
        [row["species"], row["photos"], row["strangers"], row["map5"], row["known"], row["new"]]
        for row in sorted(report["species"], key=lambda row: -row["photos"])
    ]
    print_table("Species", ["species", "photos", "strangers", "MAP@5", "known", "new"], rows)
    shares = [[row["new_share"], row["map5"], row["known"], row["new"]] for row in report["shares"]]
    print_table("If the share of strangers were", ["share", "MAP@5", "known", "new"], shares)
    print_estimate(report["estimate"])
    low, high = report["interval"]
    print(f"MAP@5 {report['map5']:.4f}, 95 % interval over individuals {low:.4f} to {high:.4f}")
    for who, key in (("known individuals", "known"), ("strangers", "new")):
        print(f"  {who}: {'-' if report[key] is None else format(report[key], '.4f')}")
    print(
        f"  share of strangers {report['new_share']:.3f}; "
        f"somebody new comes first in {100 * report['new_first']:.1f} %\n"
        f"raw MAP@5 {report['raw']['map5']:.4f} ({report['raw']['how']})\n"
        f"{told_certified(report['certified'])}\n"
        f"{report['measured']}"
    )
    if report["nested"]:
        print_nested(report["nested"])
