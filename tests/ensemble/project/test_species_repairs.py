"""Species names from elsewhere are repaired as the project's own tables were, with the map that `init` was given."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from small import Small

from backbones import Embeddings
from ensemble import Project, init, merge, register

# as a team writes them; the catalogue has beluga and fin_whale
TEAM = {"weisswal": "beluga", "finnwal": "fin_whale"}
HAPPYWHALE = {"bottlenose_dolpin", "kiler_whale", "pilot_whale", "globis"}


def made(small: Small, folder: Path) -> Project:
    """A project whose train table writes species as the team does."""
    names = {repaired: raw for raw, repaired in TEAM.items()}
    raw = pl.read_csv(small.train_csv).with_columns(pl.col("species").replace(names))
    init(folder, train=raw, test=small.sample_csv, species_map=TEAM)
    return Project.open(folder)


def registered(project: Project, small: Small, species: list[str]) -> list[str]:
    """The warnings of a model whose head writes these species."""
    train, test = small.noisy(1)
    return register(
        project.folder,
        "m",
        frozen=True,
        train=Embeddings({"orig": train}, small.train_images, predictions={"pred_species": np.array(species)}),
        test=Embeddings({"orig": test}, small.test_images, predictions={"pred_species": np.array(["weisswal"] * 12)}),
    ).warnings


def without_the_map(project: Project) -> Project:
    """The project as it was made before `init` kept the map."""
    settings = json.loads(project.settings_path.read_text())
    del settings["species_repairs"]
    project.settings_path.write_text(json.dumps(settings))
    return Project.open(project.folder)


def test_predicted_species_are_read_with_the_projects_map(small: Small, tmp_path: Path) -> None:
    project = made(small, tmp_path / "P")
    assert project.catalogue.species == ["beluga", "fin_whale"]
    raw = {repaired: name for name, repaired in TEAM.items()}
    assert registered(project, small, [raw[name] for name in small.species]) == []


def test_merged_rows_are_counted_with_the_projects_map(small: Small, tmp_path: Path) -> None:
    project = made(small, tmp_path / "P")
    species_of = dict(zip(project.catalogue.individuals, project.catalogue.species_of_individual, strict=True))
    beluga = next(name for name, index in species_of.items() if index == 0)
    table = {"image": small.test_images[:2], "individual_id": [beluga] * 2, "conf": [0.9] * 2}
    pl.DataFrame({**table, "species": ["weisswal", "finnwal"]}).write_csv(tmp_path / "elsewhere.csv")
    assert merge(project.folder, tmp_path / "elsewhere.csv")["other_species"] == 1


@pytest.mark.parametrize("species_map", [None, TEAM, "none"])
def test_the_map_is_kept_whole(small: Small, tmp_path: Path, species_map: object) -> None:
    init(tmp_path / "P", train=small.train_csv, test=small.sample_csv, species_map=species_map)
    names = {None: HAPPYWHALE, "none": set()}.get(species_map if isinstance(species_map, str) else None, set())
    wanted = TEAM.keys() if species_map is TEAM else names
    assert Project.open(tmp_path / "P").species_repairs.keys() == set(wanted)


def test_older_projects_repair_as_happywhale_and_as_init_did(small: Small, tmp_path: Path) -> None:
    project = without_the_map(made(small, tmp_path / "P"))
    assert project.species_repairs.keys() == HAPPYWHALE | TEAM.keys()
    init(tmp_path / "Q", train=small.train_csv, test=small.sample_csv)
    assert without_the_map(Project.open(tmp_path / "Q")).species_repairs.keys() == HAPPYWHALE


def test_a_name_that_the_catalogue_uses_is_never_repaired(tmp_path: Path) -> None:
    train = pl.DataFrame(
        {
            "image": ["a", "b", "c", "d"],
            "individual_id": ["i", "i", "j", "j"],
            "species": ["pilot_whale", "pilot_whale", "short_finned_pilot_whale", "short_finned_pilot_whale"],
        }
    )
    init(tmp_path / "P", train=train, test=pl.DataFrame({"image": ["t"]}), folds=2, species_map="none")
    assert "pilot_whale" not in without_the_map(Project.open(tmp_path / "P")).species_repairs
