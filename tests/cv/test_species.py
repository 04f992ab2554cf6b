"""Species repair: an explicit map, one step, every replacement counted."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cv import HAPPYWHALE_REPAIRS, FinblendError, repair_species
from cv.species import Repair, read_species_map

RAW_SPECIES = [
    "beluga",
    "blue_whale",
    "bottlenose_dolphin",
    "bottlenose_dolpin",
    "brydes_whale",
    "commersons_dolphin",
    "common_dolphin",
    "cuviers_beaked_whale",
    "dusky_dolphin",
    "false_killer_whale",
    "fin_whale",
    "frasiers_dolphin",
    "globis",
    "gray_whale",
    "humpback_whale",
    "kiler_whale",
    "killer_whale",
    "long_finned_pilot_whale",
    "melon_headed_whale",
    "minke_whale",
    "pantropic_spotted_dolphin",
    "pilot_whale",
    "pygmy_killer_whale",
    "rough_toothed_dolphin",
    "sei_whale",
    "short_finned_pilot_whale",
    "southern_right_whale",
    "spinner_dolphin",
    "spotted_dolphin",
    "white_sided_dolphin",
]


def test_happywhales_30_names_become_26_and_the_right_ones() -> None:
    assert len(set(RAW_SPECIES)) == 30
    repaired, _ = repair_species(pl.Series(RAW_SPECIES))
    gone = {"bottlenose_dolpin", "kiler_whale", "pilot_whale", "globis"}
    assert set(repaired) == set(RAW_SPECIES) - gone
    assert repaired.n_unique() == 26
    by_raw = dict(zip(RAW_SPECIES, repaired, strict=True))
    assert {raw: by_raw[raw] for raw in gone} == {
        "bottlenose_dolpin": "bottlenose_dolphin",
        "kiler_whale": "killer_whale",
        "pilot_whale": "short_finned_pilot_whale",
        "globis": "short_finned_pilot_whale",
    }


@pytest.mark.realdata
def test_happywhales_own_table_has_30_names_and_26_after_repair(real_data: Path) -> None:
    species = pl.read_csv(real_data / "happywhale" / "train.csv", columns=["species"])["species"]
    repaired, report = repair_species(species)
    assert (species.n_unique(), repaired.n_unique()) == (30, 26)
    assert {repair.raw for repair in report} == set(HAPPYWHALE_REPAIRS)
    assert sum(repair.photos for repair in report) == int((species != repaired).sum())


def test_the_report_counts_photos_and_is_sorted_by_raw_name() -> None:
    raw = ["kiler_whale", "beluga", "globis", "kiler_whale", "killer_whale"]
    repaired, report = repair_species(pl.Series(raw))
    assert repaired.to_list() == ["killer_whale", "beluga", "short_finned_pilot_whale", "killer_whale", "killer_whale"]
    assert report == [
        Repair("globis", "short_finned_pilot_whale", 1),
        Repair("kiler_whale", "killer_whale", 2),
    ]


def test_names_that_do_not_occur_and_names_mapped_to_themselves_are_not_reported() -> None:
    repaired, report = repair_species(pl.Series(["lion", "puma"]), {"lion": "lion", "tiger": "big_cat"})
    assert repaired.to_list() == ["lion", "puma"]
    assert report == []


def test_an_own_map_replaces_happywhales() -> None:
    repaired, report = repair_species(pl.Series(["kiler_whale", "orca"]), {"orca": "killer_whale"})
    assert repaired.to_list() == ["kiler_whale", "killer_whale"]
    assert report == [Repair("orca", "killer_whale", 1)]


def test_an_empty_map_repairs_nothing_and_missing_species_stay_missing() -> None:
    repaired, report = repair_species(pl.Series(["globis", None]), {})
    assert repaired.to_list() == ["globis", None]
    assert report == []
    repaired, report = repair_species(pl.Series(["globis", None]))
    assert repaired.to_list() == ["short_finned_pilot_whale", None]
    assert [repair.photos for repair in report] == [1]


def test_a_chained_map_is_refused_and_the_name_in_the_middle_told() -> None:
    with pytest.raises(FinblendError, match="'pilot_whale' is both repaired and a result"):
        repair_species(pl.Series(["globis"]), {"globis": "pilot_whale", "pilot_whale": "short_finned_pilot_whale"})


def test_a_map_may_list_right_names_as_themselves_beside_the_wrong_ones() -> None:
    # nothing is chained here: "lion" is only ever a result
    repaired, report = repair_species(pl.Series(["lion", "loin"]), {"lion": "lion", "loin": "lion"})
    assert repaired.to_list() == ["lion", "lion"]
    assert report == [Repair("loin", "lion", 1)]


@given(
    names=st.lists(st.sampled_from("abcdef"), max_size=20),
    repairs=st.dictionaries(st.sampled_from("abc"), st.sampled_from("def"), max_size=3),
)
def test_repair_equals_a_lookup_name_by_name_and_is_complete_after_one_step(
    names: list[str], repairs: dict[str, str]
) -> None:
    repaired, report = repair_species(pl.Series(names, dtype=pl.String), repairs)
    assert repaired.to_list() == [repairs.get(name, name) for name in names]
    assert report == [Repair(raw, repairs[raw], names.count(raw)) for raw in sorted(set(names) & set(repairs))]
    assert repair_species(repaired, repairs)[1] == []


def test_a_species_map_is_read_from_json_and_from_csv(tmp_path: Path) -> None:
    wanted = {"orca": "killer_whale", "globis": "pilot whale, short-finned"}
    (tmp_path / "map.json").write_text(json.dumps(wanted))
    (tmp_path / "map.csv").write_text('raw,repaired\norca,killer_whale\nglobis,"pilot whale, short-finned"\n')
    assert read_species_map(tmp_path / "map.json") == wanted
    assert read_species_map(tmp_path / "map.csv") == wanted


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("list.json", '["orca"]', "a species map is"),
        ("number.json", '{"orca": 1}', "a species map is"),
        ("broken.json", '{"orca"', "cannot be read as JSON"),
        ("columns.csv", "old,new\norca,killer_whale\n", "it has old,new"),
        ("more.csv", "raw,repaired,why\na,b,c\n", "it has raw,repaired,why"),
        ("empty.csv", "", "is empty"),
        ("hole.csv", "raw,repaired\nglobis,\n", "globis|row 1"),
    ],
)
def test_a_file_that_is_no_species_map_is_refused_by_name(tmp_path: Path, file: str, text: str, message: str) -> None:
    (tmp_path / file).write_text(text)
    with pytest.raises(FinblendError, match=message) as caught:
        read_species_map(tmp_path / file)
    assert str(tmp_path / file) in str(caught.value)


@pytest.mark.parametrize("file", ["absent.json", "absent.csv"])
def test_a_missing_species_map_is_refused_by_name(tmp_path: Path, file: str) -> None:
    with pytest.raises(FinblendError, match=file):
        read_species_map(tmp_path / file)
