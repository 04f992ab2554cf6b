"""tune, evaluate."""

from __future__ import annotations

from typing import Annotated

import typer

from ensemble.cli.app import app
from ensemble.cli.options import AsJson, GalleryMix, NewShare, ProjectFolder, gallery_exponent
from ensemble.cli.terminal import print_json, print_table, progress_bars, warn


@app.command()
def tune(
    folder: ProjectFolder,
    trials: Annotated[int, typer.Option(metavar="N", help="How many more trials.")] = 100,
    new_share: NewShare = None,
    gallery_mix: GalleryMix = "0.9",
    sampler: Annotated[str, typer.Option(metavar="tpe|cmaes|random", help="Who proposes trials.")] = "tpe",
    seed: Annotated[int, typer.Option(metavar="N", help="Of the sampler.")] = 0,
    timeout: Annotated[float | None, typer.Option(metavar="S", help="Stop drawing trials after S seconds.")] = None,
    model: Annotated[
        list[str] | None, typer.Option(metavar="MODEL", help="Blend only these models (repeat it); default: all.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Tune the blend on out-of-fold MAP@5: weights, photos per individual, species penalty, background, threshold.

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
            progress=progress,
        )
    warn(report["warnings"])
    if report["interrupted"]:
        warn(["interrupted: the best blend so far is written; the next 'finblend tune' goes on"])
    if json:
        print_json(report)
        return
    rows = [
        [name, weight, report["whitening"][name], report["single_models"][name]]
        for name, weight in sorted(report["weights"].items(), key=lambda item: -item[1])
    ]
    print_table("Blend", ["model", "weight", "whitening", "MAP@5 alone"], rows)
    print(
        f"MAP@5 {report['map5']:.4f} (equal weights {report['equal_weights']:.4f}, "
        f"best single model {max(report['single_models'].values()):.4f})\n"
        f"rule {report['rule']}, threshold {report['threshold']:.4f} "
        f"against {report['background']:.2f} of the background, "
        f"best {report['top_photos']} photo(s) per individual, species penalty {report['species_penalty']:.3f}\n"
        f"somebody new comes first in {100 * report['new_first']:.1f} % of the answers\n"
        f"{report['trials']} trials ({report['new_trials']} new) in {report['seconds']:.1f} s\n"
        f"{report['measured']}"
    )


@app.command()
def evaluate(
    folder: ProjectFolder,
    new_share: NewShare = None,
    gallery_mix: Annotated[
        str | None, typer.Option(metavar="E|raw", help="Another gallery mix than the blend's.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Score the tuned blend out-of-fold: overall, known and new, per species.

    Example: finblend evaluate P
    """
    from ensemble.evaluation import evaluate as score

    exponent = gallery_exponent(gallery_mix) if gallery_mix is not None else "blend"
    with progress_bars() as progress:
        report = score(folder, new_share=new_share, gallery_exponent=exponent, progress=progress)
    if json:
        print_json(report)
        return
    rows = [
        [row["species"], row["photos"], row["strangers"], row["map5"], row["known"], row["new"]]
        for row in sorted(report["species"], key=lambda row: -row["photos"])
    ]
    print_table("Species", ["species", "photos", "strangers", "MAP@5", "known", "new"], rows)
    low, high = report["interval"]
    print(f"MAP@5 {report['map5']:.4f}, 95 % interval over individuals {low:.4f} to {high:.4f}")
    for who, key in (("known individuals", "known"), ("strangers", "new")):
        print(f"  {who}: {'-' if report[key] is None else format(report[key], '.4f')}")
    print(
        f"  share of strangers {report['new_share']:.3f}; "
        f"somebody new comes first in {100 * report['new_first']:.1f} %\n"
        f"raw MAP@5 {report['raw']['map5']:.4f} ({report['raw']['how']})\n"
        f"{report['measured']}"
    )
