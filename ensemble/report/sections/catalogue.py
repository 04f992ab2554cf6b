"""The section on the catalogue: who is on how many photos, and how they lie in folds."""

from __future__ import annotations

from typing import Any

from cv.catalogue import NO_SPECIES
from ensemble.report.numbers import share
from ensemble.report.page.pieces import Figures, Piece, Section, Text, Warnings
from ensemble.report.sections.catalogue_charts import encounter_bars, fold_bars, long_tail, species_bars, species_mix
from ensemble.report.sections.catalogue_counts import Portrait
from ensemble.report.sections.catalogue_tables import (
    columns_table,
    folds_table,
    most_photographed,
    odd_table,
    repairs_table,
    species_table,
    straddling_table,
)
from ensemble.report.state import State

MEASURED = (
    "Counts over the catalogue as 'finblend init' wrote it, after repairs; nothing is estimated or weighted. A "
    "stranger is a train photo whose individual has no photo in another fold: out-of-fold it stands for somebody new."
)


def section(state: State) -> Section:
    """The catalogue's portrait; there is one at every stage."""
    portrait = Portrait(state.project)
    body: list[Piece | None] = [Figures(_figures(portrait)), _warnings(portrait)]
    if portrait.project.catalogue.species != [NO_SPECIES]:
        body += [species_bars(portrait), long_tail(portrait), fold_bars(portrait), species_mix(portrait)]
    else:
        body += [long_tail(portrait), fold_bars(portrait)]
    body += [Text(_how_folds(portrait)), species_table(portrait), folds_table(portrait), most_photographed(portrait)]
    body += [encounter_bars(portrait), straddling_table(portrait)]
    body += [repairs_table(portrait), odd_table(portrait), columns_table(portrait)]
    return Section("catalogue", "Catalogue", MEASURED, [piece for piece in body if piece is not None])


def _figures(portrait: Portrait) -> list[tuple[str, str]]:
    catalogue, individuals = portrait.project.catalogue, portrait.per_individual
    singles = int((individuals["photos"] == 1).sum())
    strangers = int(portrait.photos["stranger"].sum())
    found = [
        ("train photos", f"{portrait.photos.height:,}"),
        ("test photos to be named", f"{catalogue.test.height:,}"),
        ("individuals", f"{individuals.height:,}"),
        ("individuals with one photo", share(singles / individuals.height)),
        ("species", f"{portrait.per_species.height:,}"),
        ("folds", f"{len(catalogue.fold_ids)}"),
        ("strangers out-of-fold", share(strangers / portrait.photos.height)),
        ("photos of an individual, median", f"{float(individuals['photos'].median() or 0.0):g}"),  # type: ignore[arg-type]
    ]
    if portrait.encounters.height:
        found.append(("encounters", f"{portrait.encounters.height:,}"))
    unlabelled = portrait.init.get("unlabelled_images", 0)
    return found + ([("unlabelled photos, unused", f"{unlabelled:,}")] if unlabelled else [])


def _warnings(portrait: Portrait) -> Warnings | None:
    init: dict[str, Any] = portrait.init
    told = {
        "straddling_encounters": "encounters have photos in several folds: out-of-fold scores are too good",
        "individuals_of_several_species": "individuals have photos of several species; the most common one counts",
        "renamed_individuals": "individuals had spaces in their names; they are written with '_'",
        "unlabelled_images": "train rows have no known individual; they play no part",
        "photos_without_encounter": "photos have no encounter; each stands alone",
    }
    lines = [f"{init[key]:,} {text}." for key, text in told.items() if init.get(key)]
    if init.get("unused_encounters"):
        lines.append(
            "The train table has a column 'encounter' that is not used: with '--encounters encounter', photos of one "
            "sighting stay in one fold."
        )
    return Warnings(lines) if lines else None


def _how_folds(portrait: Portrait) -> str:
    settings, init = portrait.project.settings, portrait.init
    folds, held = settings.get("folds"), settings.get("hold_out", 0)
    text = f"Folds come from {folds}." if ":" in str(folds) else f"Folds are made by seed {settings.get('seed')}."
    text += f" {init.get('single_photo_individuals', 0):,} individuals have one photo"
    if portrait.encounters.height:
        text += f", {init.get('single_encounter_individuals', 0):,} more have one encounter"
    text += f", {held:,} are held out: all of these" if held else ": these"
    text += " are strangers in their own fold." + ("" if held else " Nobody is held out.")
    if portrait.encounters.height:
        torn = init.get("straddling_encounters", 0)
        text += f" {torn:,} encounters straddle folds." if torn else " No encounter straddles folds."
    return text
