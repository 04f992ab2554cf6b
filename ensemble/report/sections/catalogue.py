"""The section on the catalogue: who is on how many photos, and how they lie in folds."""

from __future__ import annotations

from cv.catalogue import NO_SPECIES
from ensemble.project.init_warnings import init_warnings
from ensemble.report.numbers import share
from ensemble.report.page.pieces import Figures, Piece, Section, Text, Warnings
from ensemble.report.sections.catalogue_charts import encounter_bars, fold_bars, long_tail, species_bars, species_mix
from ensemble.report.sections.catalogue_counts import CatalogueCounts
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
    "stranger is a train photo whose individual has no photo in another fold: asked against them it is somebody new."
)


def section(state: State) -> Section:
    """The catalogue's counts; there is one at every stage."""
    counts = CatalogueCounts(state.project)
    body: list[Piece | None] = [Figures(_figures(counts)), _warnings(counts)]
    if counts.project.catalogue.species != [NO_SPECIES]:
        body += [species_bars(counts), long_tail(counts), fold_bars(counts), species_mix(counts)]
    else:
        body += [long_tail(counts), fold_bars(counts)]
    body += [Text(_how_folds(counts)), species_table(counts), folds_table(counts), most_photographed(counts)]
    body += [encounter_bars(counts), straddling_table(counts)]
    body += [repairs_table(counts), odd_table(counts), columns_table(counts)]
    return Section("catalogue", "Catalogue", MEASURED, [piece for piece in body if piece is not None])


def _figures(counts: CatalogueCounts) -> list[tuple[str, str]]:
    catalogue, individuals = counts.project.catalogue, counts.per_individual
    singles = int((individuals["photos"] == 1).sum())
    strangers = int(counts.photos["stranger"].sum())
    figures = [
        ("train photos", f"{counts.photos.height:,}"),
        ("test photos to be named", f"{catalogue.test.height:,}"),
        ("individuals", f"{individuals.height:,}"),
        ("individuals with one photo", share(singles / individuals.height)),
        ("species", f"{counts.per_species.height:,}"),
        ("folds", f"{len(catalogue.fold_ids)}"),
        ("strangers out-of-fold", share(strangers / counts.photos.height)),
        ("photos of an individual, median", f"{float(individuals['photos'].median() or 0.0):g}"),  # type: ignore[arg-type]
    ]
    if counts.encounters.height:
        figures.append(("encounters", f"{counts.encounters.height:,}"))
    unlabelled = counts.init.get("unlabelled_images", 0)
    return figures + ([("unlabelled photos, unused", f"{unlabelled:,}")] if unlabelled else [])


def _warnings(counts: CatalogueCounts) -> Warnings | None:
    lines = [f"{line[0].upper()}{line[1:]}." for line in init_warnings(counts.init)]
    return Warnings(lines) if lines else None


def _how_folds(counts: CatalogueCounts) -> str:
    settings, init = counts.project.settings, counts.init
    folds, held = settings.get("folds"), settings.get("hold_out", 0)
    text = f"Folds come from {folds}." if ":" in str(folds) else f"Folds are made by seed {settings.get('seed')}."
    text += f" {init.get('single_photo_individuals', 0):,} individuals have one photo"
    if counts.encounters.height:
        text += f", {init.get('single_encounter_individuals', 0):,} more have one encounter"
    text += f", {held:,} are held out: all of these" if held else ": these"
    text += " are strangers in their own fold." + ("" if held else " Nobody is held out.")
    if counts.encounters.height:
        torn = init.get("straddling_encounters", 0)
        text += f" {torn:,} encounters straddle folds." if torn else " No encounter straddles folds."
    return text
