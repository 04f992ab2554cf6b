"""The catalogue's charts."""

from __future__ import annotations

import polars as pl

from ensemble.report.charts.charts import Bars, Lines, Series
from ensemble.report.numbers import share
from ensemble.report.sections.catalogue_counts import CatalogueCounts

# more bars are not read one by one: the rest is one bar
MOST_SPECIES = 25
MOST_FOLDS = 12
# species with a colour of their own
MIXED = 5


def species_bars(counts: CatalogueCounts) -> Bars:
    """Photos per species, strangers apart."""
    table, total = counts.per_species, counts.photos.height
    first = table.row(0, named=True)
    title = f"{first['species']} makes up {share(first['photos'] / total)} of the {total:,} train photos"
    if table.height > 3:
        half = int((table["photos"].cum_sum() < total / 2).sum()) + 1
        alone = f"{first['species']} alone {share(first['photos'] / total)}"
        title = f"{half} of {table.height} species make up half of the photos; {alone}"
    if table.height > MOST_SPECIES:
        rest = table[MOST_SPECIES - 1 :]
        summed = rest.select(
            pl.lit(f"{rest.height} more species").alias("species"), pl.col("photos", "strangers").sum()
        )
        table = pl.concat([table.select("species", "photos", "strangers")[: MOST_SPECIES - 1], summed])
    photos, strangers = table["photos"].to_list(), table["strangers"].to_list()
    return Bars(
        title=title,
        x="train photos",
        y="species",
        alt=f"Bars of train photos per species, most first: {_listed(table['species'].to_list()[:5], photos)}.",
        labels=table["species"].to_list(),
        values=[float(n) for n in photos],
        stacked={
            "known: the individual is in another fold too": [
                float(p - s) for p, s in zip(photos, strangers, strict=True)
            ],
            "strangers to the other folds": [float(n) for n in strangers],
        },
    )


def long_tail(counts: CatalogueCounts) -> Lines:
    """How many individuals have at least so many photos."""
    photos_of_each = counts.per_individual["photos"]
    n, singles, most = len(photos_of_each), int((photos_of_each == 1).sum()), int(photos_of_each[0])
    table = (
        photos_of_each.alias("photos").to_frame().group_by("photos").len("individuals").sort("photos", descending=True)
    )
    table = table.with_columns(at_least=pl.col("individuals").cum_sum()).sort("photos")
    ten = int((photos_of_each >= 10).sum())
    return Lines(
        title=f"{share(singles / n)} of the individuals have one photo; the most photographed has {most:,}",
        x="photos of an individual, at least (log)",
        y="individuals (log)",
        alt=f"A falling line on two log axes: all {n:,} individuals have at least 1 photo, {n - singles:,} at least 2, "
        f"{ten:,} at least 10; the most is {most:,}.",
        series=[
            Series(
                "individuals with at least so many photos",
                table["photos"].to_list(),
                table["at_least"].to_list(),
                points=True,
            )
        ],
        log_x=True,
        log_y=True,
    )


def fold_bars(counts: CatalogueCounts) -> Bars:
    """Photos per fold, strangers apart."""
    table = counts.per_fold[:MOST_FOLDS]
    photos, strangers = table["photos"].to_list(), table["strangers"].to_list()
    spread = (max(photos) - min(photos)) / (sum(photos) / len(photos))
    shares = [s / p for s, p in zip(strangers, photos, strict=True)]
    low, high = share(min(shares)), share(max(shares))
    strange = f"strangers are {low} of each" if low == high else f"strangers are {low} to {high}"
    size = "Folds are of one size" if spread < 0.005 else f"Folds differ in size by {share(spread)}"
    return Bars(
        title=f"{size}; {strange}",
        x="train photos",
        y="fold",
        alt=f"Bars of train photos per fold: {_listed([f'fold {k}' for k in table['fold']], photos)}; {strange}.",
        labels=[f"fold {fold}" for fold in table["fold"]],
        values=[float(n) for n in photos],
        stacked={
            "known": [float(p - s) for p, s in zip(photos, strangers, strict=True)],
            "strangers": [float(n) for n in strangers],
        },
    )


def species_mix(counts: CatalogueCounts) -> Bars | None:
    """What each fold is made of; None where there is one species."""
    names = counts.per_species["species"].to_list()
    if len(names) < 2:
        return None
    table = counts.species_by_fold
    folds = counts.per_fold["fold"].to_list()[:MOST_FOLDS]
    share_of = {(row["species"], row["fold"]): row["share"] for row in table.iter_rows(named=True)}
    spans = {name: [share_of.get((name, fold), 0.0) for fold in folds] for name in names}
    widest = max(names, key=lambda name: max(spans[name]) - min(spans[name]))
    span = 100 * (max(spans[widest]) - min(spans[widest]))
    most_frequent = names[:MIXED]
    parts = {name: [100 * value for value in spans[name]] for name in most_frequent}
    if len(names) > MIXED:
        parts[f"{len(names) - MIXED} more"] = [
            100 * sum(spans[name][k] for name in names[MIXED:]) for k in range(len(folds))
        ]
    return Bars(
        title=f"No species' share differs between folds by more than {span:.2g} points ({widest})",
        x="share of the fold's photos (%)",
        y="fold",
        alt=f"Bars of 100 % a fold, made of the {len(most_frequent)} most frequent species and the rest; the widest "
        f"difference between two folds is {span:.2g} points, in {widest}.",
        labels=[f"fold {fold}" for fold in folds],
        values=[100.0 for _ in folds],
        stacked=parts,
    )


def encounter_bars(counts: CatalogueCounts) -> Bars | None:
    """How many photos encounters have; None where there are no encounters."""
    sizes = counts.encounters["photos"]
    if not len(sizes):
        return None
    edges = [(1, 1), (2, 2), (3, 5), (6, 10), (11, 20), (21, 50), (51, None)]
    encounters = [int(((sizes >= low) & (sizes <= (high or sizes.max()))).sum()) for low, high in edges]
    labels = [f"{low}" if low == high else f"{low} to {high}" if high else f"{low} or more" for low, high in edges]
    top = int(sizes.max() or 0)  # type: ignore[arg-type]
    while not encounters[-1]:
        encounters.pop()
    labels = labels[: len(encounters)]
    typical = float(sizes.median() or 0.0)  # type: ignore[arg-type]
    plural = "" if typical == 1 else "s"
    return Bars(
        title=f"Half of the encounters have at most {typical:g} photo{plural}; the largest has {top:,}",
        x="encounters",
        y="photos of the encounter",
        alt=f"Bars of encounters by their number of photos: {_listed(labels, encounters)}.",
        labels=labels,
        values=[float(n) for n in encounters],
    )


def _listed(names: list[str], counts: list[int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in zip(names, counts, strict=False))
