"""Scientific names of the species that catalogues call by common names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from cv.catalogue import NO_SPECIES
from cv.errors import FinblendError, shown
from cv.tables import as_text, pick_column, read_table, text_column

# Happywhale's species, but for white_sided_dolphin, which may be the Atlantic or the Pacific one. Names as of the
# Society for Marine Mammalogy's list of 2021; spotted_dolphin is the Atlantic one, for the other is listed beside it
HAPPYWHALE: Mapping[str, str] = {
    "beluga": "Delphinapterus leucas",
    "blue_whale": "Balaenoptera musculus",
    "bottlenose_dolphin": "Tursiops truncatus",
    "brydes_whale": "Balaenoptera edeni",
    "commersons_dolphin": "Cephalorhynchus commersonii",
    "common_dolphin": "Delphinus delphis",
    "cuviers_beaked_whale": "Ziphius cavirostris",
    "dusky_dolphin": "Lagenorhynchus obscurus",
    "false_killer_whale": "Pseudorca crassidens",
    "fin_whale": "Balaenoptera physalus",
    "frasiers_dolphin": "Lagenodelphis hosei",
    "gray_whale": "Eschrichtius robustus",
    "humpback_whale": "Megaptera novaeangliae",
    "killer_whale": "Orcinus orca",
    "long_finned_pilot_whale": "Globicephala melas",
    "melon_headed_whale": "Peponocephala electra",
    "minke_whale": "Balaenoptera acutorostrata",
    "pantropic_spotted_dolphin": "Stenella attenuata",
    "pygmy_killer_whale": "Feresa attenuata",
    "rough_toothed_dolphin": "Steno bredanensis",
    "sei_whale": "Balaenoptera borealis",
    "short_finned_pilot_whale": "Globicephala macrorhynchus",
    "southern_right_whale": "Eubalaena australis",
    "spinner_dolphin": "Stenella longirostris",
    "spotted_dolphin": "Stenella frontalis",
}
_BINOMIAL = re.compile(r"[A-Z][a-z-]+[ _][a-z-]+(?:[ _][a-z-]+)?")


def read_taxa(path: str | Path) -> dict[str, str]:
    """Read a table of species: common name, genus, epithet; `white_sided_dolphin,Lagenorhynchus,obliquidens`.

    Raises
    ------
    FinblendError
        If a column is missing, a cell empty, or a species stands twice.
    """
    table, name = read_table(path)
    epithet = pick_column(table, ("specificEpithet", "specific_epithet", "epithet"), name)
    columns = [text_column(table, pick_column(table, (c,), name), name) for c in ("species", "genus")]
    columns.append(text_column(table, epithet, name))
    taxa: dict[str, str] = {}
    cleaned = (as_text(column).str.strip_chars() for column in columns)
    for row, (species, genus, second) in enumerate(zip(*cleaned, strict=True), start=1):
        if species in taxa:
            raise FinblendError(f"{name}: row {row}: species {species} stands twice; every species stands once")
        taxa[species] = f"{genus} {second}"
    return taxa


def taxa_wanted(records: pl.DataFrame) -> str:
    """The flag that says the scientific names that records lack, and of which species; `unspecified` is for none."""
    lacking = records.filter(pl.col("scientific_name").is_null())["species"].fill_null(NO_SPECIES).unique().sort()
    return f"--taxa FILE (species,genus,specificEpithet) with {shown(lacking, 12)}"


def scientific_name(species: str, taxa: Mapping[str, str]) -> str | None:
    """Genus and epithet of a species; None where nobody has said.

    Examples
    --------
    >>> scientific_name("humpback_whale", HAPPYWHALE), scientific_name("Orcinus_orca", {}), scientific_name("nyala", {})
    ('Megaptera novaeangliae', 'Orcinus orca', None)
    """
    if species in taxa:
        return taxa[species]
    return species.replace("_", " ") if _BINOMIAL.fullmatch(species) else None
