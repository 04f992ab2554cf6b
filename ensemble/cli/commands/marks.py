"""match."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ensemble.cli import photo_options as photo
from ensemble.cli.app import app
from ensemble.cli.options import AsJson, Engine, ProjectFolder
from ensemble.cli.terminal import counted, print_json, print_table, progress_bars, say, warn

if TYPE_CHECKING:
    from ensemble.marks.plan_result import MatchPlan, PlannedGallery
    from ensemble.marks.result import MatchResult

Name = Annotated[str, typer.Argument(metavar="NAME", help="The pair source's name.")]


@app.command()
def match(
    folder: ProjectFolder,
    name: Name,
    images: photo.Images,
    features: Annotated[
        str, typer.Option(metavar="NAME", help="Local features: sift, disk, aliked, or an installed package's.")
    ] = "sift",
    boxes: photo.Boxes = None,
    box_form: photo.BoxForm = "auto",
    keypoints: Annotated[int, typer.Option(metavar="N", help="Keypoints a photo, at most.")] = 400,
    matcher: Annotated[
        str, typer.Option(metavar="ratio|lightglue", help="How keypoints are paired; lightglue: disk and aliked only.")
    ] = "ratio",
    verify: Annotated[
        str,
        typer.Option(metavar="affine|homography|none", help="The map that the matches of one animal have in common."),
    ] = "affine",
    shortlist: Annotated[
        int, typer.Option(metavar="N", help="Photos to verify that the models bring up, and as many by their marks.")
    ] = 30,
    per_species: Annotated[
        bool,
        typer.Option("--per-species/--all-species", help="Look for marks among the likely species' photos, or all."),
    ] = True,
    max_rotation: Annotated[
        float, typer.Option(metavar="DEGREES", help="How far an animal may be turned; photos from above: 180.")
    ] = 30.0,
    mirrored: Annotated[bool, typer.Option("--mirrored", help="Match mirrored photos, too: the other flank.")] = False,
    workers: photo.Workers = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the pair source that is there.")] = False,
    engine: Engine = "here",
    sample: Annotated[
        int | None,
        typer.Option(metavar="N", help="Only plan: time, memory and disk, extrapolated from N random train photos."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Compare photos by their marks: notches, scars, spots, stripes. A call that was killed goes on.

    Example: finblend match P marks --features sift --images photos
    """
    from ensemble.marks.match import match as run
    from ensemble.marks.plan import plan_match

    options: dict[str, Any] = {
        **{"images": images, "features": features, "boxes": boxes or [], "box_form": box_form, "keypoints": keypoints},
        **{"matcher": matcher, "verify": verify, "shortlist": shortlist, "per_species": per_species},
        **{"max_rotation": max_rotation, "mirrored": mirrored, "workers": workers},
    }
    if sample is not None:
        plan = plan_match(folder, sample, **options)
        print_json(plan) if json else _print_plan(plan)
        return
    with progress_bars() as progress:
        result = run(folder, name, **options, replace=replace, engine=engine, progress=progress)
    warn(result.warnings)
    if json:
        print_json(result)
        return
    _print_matched(result, str(folder))


def _print_matched(result: MatchResult, folder: str) -> None:
    """What was compared, how long it took, and what to do next."""
    if result.unreadable:
        shown = [f"  {image}: {note}" for image, note in list(result.unreadable.items())[: photo.SHOWN]]
        photos = counted(len(result.unreadable), "photo has", "photos have")
        warn([f"{photos} no local features; nothing is known of their marks:", *shown])
    rows = [[step, seconds] for step, seconds in result.seconds.items()]
    print_table("Time", ["step", "seconds"], rows)
    say(f"{result.features}: {result.keypoints:.0f} keypoints a photo")
    for split, pairs in result.pairs.items():
        say(f"{split}: {counted(pairs, 'pair')}, {result.verified[split]} of them verified ({result.verify})")
    say(f"{result.name} is a pair source now; 'finblend tune {folder}' finds out what it is worth")


def _print_plan(plan: MatchPlan) -> None:
    """Time, memory and disk of a whole matching."""
    rows = [
        [each.step, f"{each.work:.3g} {each.unit}", f"{each.rate:.3g}", f"{each.seconds:.0f}"] for each in plan.steps
    ]
    print_table("Time", ["step", "work", "a second", "seconds"], rows)
    galleries = [
        [each.species, each.photos, each.descriptors, _how(each), _size(each.peak), _size(each.memory)]
        for each in plan.galleries
    ]
    header = ["species", "photos", "descriptors", "votes", "memory at most", "then"]
    print_table("Descriptors of one species at a time", header, galleries)
    say(f"on disk: features {_size(plan.disk['features'])}, pairs at most {_size(plan.disk['pairs'])}")
    photos = counted(sum(plan.photos.values()), "photo")
    say(f"{plan.hours:.2f} hours on {counted(plan.workers, 'core')} for {photos}, {plan.keypoints:.0f} keypoints each")
    say(f"this is an extrapolation from {counted(plan.sample, 'photo')}; nothing was written")


def _how(gallery: PlannedGallery) -> str:
    return "exact" if gallery.exact else "index"


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.2f} GiB"
