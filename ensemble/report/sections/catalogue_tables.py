"""The catalogue's tables."""

from __future__ import annotations

from difflib import SequenceMatcher
from itertools import combinations

import polars as pl

from ensemble.report.page.pieces import Cell, Table
from ensemble.report.sections.catalogue_counts import CatalogueCounts

MOST_ROWS = 50
# names of species so much alike may be one species written in two ways
ALIKE = 0.9
# texts that say that there is nothing
NOTHING = ("", "nan", "null", "none", "na", "n/a")


def species_table(counts: CatalogueCounts) -> Table:
    """Everything per species."""
    table, total = counts.per_species, counts.photos.height
    known_in_test = table["test"].null_count() < table.height
    rows: list[list[Cell]] = []
    for row in table[:MOST_ROWS].iter_rows(named=True):
        cells = [row["species"], row["photos"], row["photos"] / total, row["individuals"], row["singles"] or 0]
        cells += [row["most"], row["strangers"], row["strangers"] / row["photos"]]
        rows.append(cells + ([row["test"] or 0] if known_in_test else []))
    header = ["species", "photos", "share", "individuals", "with one photo", "most photos", "strangers"]
    header += ["strangers' share", *(["test photos"] if known_in_test else [])]
    note = "Strangers: photos whose individual has no photo in another fold, so that out-of-fold it is somebody new."
    return Table("Species", header, rows, _rest(table, note), shares=("share", "strangers' share"))


def folds_table(counts: CatalogueCounts) -> Table:
    """Everything per fold."""
    table, kinds = counts.per_fold, counts.per_species.height
    rows: list[list[Cell]] = [
        [
            row["fold"],
            row["photos"],
            row["individuals"],
            row["strangers"],
            row["strangers"] / row["photos"],
            row["species"],
            kinds - row["species"],
        ]
        for row in table[:MOST_ROWS].iter_rows(named=True)
    ]
    header = ["fold", "photos", "individuals", "strangers", "strangers' share", "species", "species absent"]
    return Table("Folds", header, rows, _rest(table), shares=("strangers' share",))


def most_photographed(counts: CatalogueCounts) -> Table:
    """Who fills the gallery."""
    top = counts.per_individual[:10]
    rows: list[list[Cell]] = [list(row) for row in top.rows()]
    part = top["photos"].sum() / counts.photos.height
    return Table(
        "The most photographed individuals",
        ["individual", "species", "photos"],
        rows,
        f"These {top.height} of {counts.per_individual.height:,} individuals have {100 * part:.1f} % of the photos.",
    )


def repairs_table(counts: CatalogueCounts) -> Table | None:
    """Which species' names were replaced."""
    rows: list[list[Cell]] = [
        [repair["raw"], repair["repaired"], repair["photos"]] for repair in counts.init.get("repairs", [])
    ]
    before, after = counts.init.get("raw_species", 0), counts.per_species.height
    note = f"{before} names in the table are {after} species." if before else ""
    return Table("Repaired species names", ["as written", "repaired", "photos"], rows, note) if rows else None


def straddling_table(counts: CatalogueCounts) -> Table | None:
    """Encounters with photos in several folds."""
    torn = counts.encounters.filter(pl.col("folds") > 1)
    rows: list[list[Cell]] = [list(row) for row in torn[:10].rows()]
    header = ["encounter", "photos", "individuals", "folds"]
    return Table("Encounters in several folds", header, rows, _rest(torn, most=10)) if rows else None


def columns_table(counts: CatalogueCounts) -> Table:
    """What every column holds: missing values, distinct ones, the range."""
    catalogue = counts.project.catalogue
    # columns that `init` added
    added = {"split", "row", "fold"}
    names = [name for name in catalogue.frame.columns if name not in added]
    rows: list[list[Cell]] = []
    for name in names[:MOST_ROWS]:
        train, test = _present(catalogue.train[name]), _present(catalogue.test[name])
        missing = catalogue.train.height - len(train), catalogue.test.height - len(test)
        rows.append([name, _kind(train), *missing, train.n_unique(), _range(train)])
    header = ["column", "kind", "missing in train", "missing in test", "distinct in train", "in train"]
    note = "Empty text, 'nan', 'null', 'none' and 'n/a' count as missing; test photos have no individual, and species "
    note += "only where they were told."
    if len(names) > MOST_ROWS:
        note += f" {len(names) - MOST_ROWS} more columns are left out."
    return Table("Columns of the catalogue, and what is missing", header, rows, note)


def odd_table(counts: CatalogueCounts) -> Table | None:
    """What looks like a mistake and was not repaired."""
    rows: list[list[Cell]] = []
    kinds = counts.photos.group_by("individual_id").agg(pl.col("species").unique().sort(), photos=pl.len())
    mixed = kinds.filter(pl.col("species").list.len() > 1).sort("photos", "individual_id", descending=[True, False])
    rows += [
        ["an individual of several species", name, ", ".join(species), photos]
        for name, species, photos in mixed[:10].rows()
    ]
    photos_of = dict(counts.per_species.select("species", "photos").rows())
    for first, second in combinations(sorted(photos_of)[:200], 2):
        if _alike(first, second):
            rows.append(["species with names alike", first, second, min(photos_of[first], photos_of[second])])
    single = [name for name, photos in photos_of.items() if photos == 1]
    rows += [["a species with one photo", name, "", 1] for name in single[:10]]
    left_out = max(mixed.height - 10, 0) + max(len(single) - 10, 0)
    note = f"{left_out} more of these are left out." if left_out else ""
    return Table("Odd values", ["what", "where", "beside", "photos"], rows[:MOST_ROWS], note) if rows else None


def _alike(first: str, second: str) -> bool:
    first, second = (name.lower().replace("_", " ").replace("-", " ").strip() for name in (first, second))
    matcher = SequenceMatcher(None, first, second)
    return first == second or (matcher.quick_ratio() >= ALIKE and matcher.ratio() >= ALIKE)


def _present(values: pl.Series) -> pl.Series:
    """The values that are not missing; as numbers where all of them are."""
    values = values.drop_nulls()
    if values.dtype == pl.String:
        values = values.filter(~values.str.strip_chars().str.to_lowercase().is_in(NOTHING))
        numbers = values.cast(pl.Float64, strict=False)
        return values if numbers.null_count() else numbers
    return values.filter(values.is_not_nan()) if values.dtype.is_float() else values


def _kind(values: pl.Series) -> str:
    if not len(values):
        return "-"
    if values.dtype.is_numeric():
        return "number"
    return "text" if values.dtype == pl.String else str(values.dtype).lower()


def _range(values: pl.Series) -> str:
    if not len(values) or values.dtype == pl.Boolean:
        return "-"
    ends = [f"{end:g}" if isinstance(end, float) else str(end) for end in (values.min(), values.max())]
    low, high = ends
    return f"{low[:30]} to {high[:30]}" if low != high else low[:60]


def _rest(table: pl.DataFrame, note: str = "", most: int = MOST_ROWS) -> str:
    left = table.height - most
    return f"{note} The {left:,} with the fewest photos are left out.".strip() if left > 0 else note
