"""The log of command lines, and the recipe that makes a project again."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from small import Small

from ensemble import Blend, Project, init, register, tune
from ensemble.cli import main
from ensemble.project.command_log import log_command, logged_commands
from ensemble.report.page.pieces import Code, Table, Text, Warnings
from ensemble.report.sections.commands import recipe
from ensemble.report.sections.provenance import section
from ensemble.report.state import State


@pytest.fixture
def made(small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project made on the command line: a frozen model and one whose name needs quotes nowhere."""
    monkeypatch.chdir(tmp_path)
    assert main(["init", "P", "--train", str(small.train_csv), "--test", str(small.sample_csv), "--seed", "3"]) == 0
    path = str(small.write_npz("m 0.npz", *small.noisy(1)))
    assert main(["register", "P", "m0", "--frozen", "--train", path, "--test", path]) == 0
    return tmp_path / "P"


def lines_of(project: Path) -> tuple[list[str], str]:
    state = State(Project.open(project))
    text, told = recipe(state.project, state.stores, state.blend)
    return text.splitlines(), told


def test_what_was_typed_is_the_recipe_and_making_it_again_gives_the_same(made: Path, small: Small) -> None:
    lines, told = lines_of(made)
    assert "as they were typed" in told
    assert lines[0] == shlex.join(["cd", str(made.parent)])
    assert lines[1].startswith("finblend init P --train ")
    before = Project.open(made)
    contents = before.stores()["m0"]["frozen"].manifest.content_sha256
    made.rename(made.with_name("old"))
    for line in lines[1:]:
        assert main(shlex.split(line)[1:]) == 0
    again = Project.open(made)
    assert again.photos_hash == Project.open(made.with_name("old")).photos_hash
    assert again.stores()["m0"]["frozen"].manifest.content_sha256 == contents


def test_without_a_log_the_recipe_comes_from_the_files_and_works_too(made: Path, tmp_path: Path) -> None:
    (made / "commands.jsonl").unlink()
    tune(made, trials=0, new_share=0.15, nested_trials=0, seed=7)
    lines, told = lines_of(made)
    assert "Put together from project.json" in told
    assert [line.split()[1] for line in lines] == ["init", "register", "tune", "submit"]
    assert "--seed 7" in lines[2]
    assert "--new-share 0.15 --gallery-mix 0.9 --sampler tpe" in lines[2]
    old, hashed = Blend.load(made / "blend.json"), Project.open(made).photos_hash
    made.rename(made.with_name("old"))
    for line in lines:
        assert main(shlex.split(line)[1:]) == 0
    assert Project.open(made).photos_hash == hashed
    assert Blend.load(made / "blend.json").contents == old.contents
    assert Blend.load(made / "blend.json").mix == old.mix


def test_shares_per_species_are_written_out(made: Path) -> None:
    tune(made, trials=0, new_share={"beluga": 0.1, "*": 0.2}, nested_trials=0, gallery_exponent=None)
    (made / "commands.jsonl").unlink()
    lines, _ = lines_of(made)
    at = lines.index("cat > shares.csv <<'END'")
    assert lines[at + 1 : at + 5] == ["species,new_share", "*,0.2", "beluga,0.1", "END"]
    assert "--new-share shares.csv --gallery-mix raw" in lines[at + 5]


def test_steps_done_in_python_make_the_log_not_whole(made: Path, small: Small) -> None:
    train, test = small.noisy(2)
    given = {"train": (small.train_images, train), "test": (small.test_images, test)}
    register(made, "m1", frozen=True, **given)
    lines, told = lines_of(made)
    assert "not every step" in told
    assert lines[-1] == "# m1 frozen: arrays from Python"


def test_refused_and_reading_commands_are_not_logged(made: Path) -> None:
    before = logged_commands(made)
    assert [command.words[0] for command in before] == ["init", "register"]
    assert main(["register", "P", "m0", "--frozen", "--train", "gone.npz", "--test", "gone.npz"]) == 1
    assert main(["report", "P", "-o", "r.html"]) == 0
    assert logged_commands(made) == before


def test_a_log_that_cannot_be_kept_or_read_stops_nothing(made: Path) -> None:
    log = made / "commands.jsonl"
    log.write_text("garbage\n[]\n{}\n" + log.read_text() + "\xff\x00")
    assert [command.words[0] for command in logged_commands(made)] == ["init", "register"]
    log.unlink()
    log.mkdir()
    log_command(["tune", str(made)], made)
    assert logged_commands(made) == []
    log_command([], made)
    log_command(["tune"], made / "gone")
    log_command(["models", str(made)], made)


def test_the_log_is_of_the_project_that_is_worked_on(made: Path, tmp_path: Path) -> None:
    """And not of another one, though its folder is named before."""
    shutil.copytree(made, tmp_path / "3")
    words = ["tune", "--seed", "3", "--trials", "0", "--nested-trials", "0", "--new-share", "0.15", "P"]
    assert main(words) == 0
    assert [command.words for command in logged_commands(made)][2:] == [words]
    assert len(logged_commands(tmp_path / "3")) == 2


def test_the_section_tells_stores_files_versions_and_what_is_gone(made: Path, small: Small) -> None:
    tune(made, trials=0, new_share=0.15, nested_trials=0)
    found = section(State(Project.open(made)))
    tables = {piece.caption: piece for piece in found.body if isinstance(piece, Table)}
    stores = tables["Stores"]
    manifest = Project.open(made).stores()["m0"]["frozen"].manifest
    assert len(stores.rows) == 1
    assert stores.rows[0][:5] == ["m0", "frozen", "orig 24", 60, 12]
    assert str(stores.rows[0][6]) == manifest.content_sha256[:8]
    files = {row[0]: row[-1] for row in tables["Files of the project"].rows}
    assert {"project.json", "catalogue.parquet", "blend.json", "study.journal"} <= files.keys()
    assert all(len(str(digest)) == 64 for digest in files.values())
    assert {"python", "numpy", "jinja2"} <= {row[0] for row in tables["Versions"].rows}
    assert [row[1] for row in tables["When commands were done"].rows] == ["init", "register"]
    assert not [piece for piece in found.body if isinstance(piece, Warnings)]
    path = small.write_npz("other.npz", *small.noisy(9))
    register(made, "m0", frozen=True, train=path, test=path, replace=True)
    warned = [piece for piece in section(State(Project.open(made))).body if isinstance(piece, Warnings)]
    assert "tuned on embeddings of m0 that are registered no more" in warned[0].lines[0]


def test_a_project_of_frames_says_so(small: Small, tmp_path: Path) -> None:
    import polars as pl

    init(tmp_path / "F", train=pl.read_csv(small.train_csv), test=pl.read_csv(small.sample_csv), species_map={})
    body = section(State(Project.open(tmp_path / "F"))).body
    code = next(piece for piece in body if isinstance(piece, Code))
    assert code.text.startswith("# tables came from Python, not from files: finblend init P --train 'a frame'")
    assert any(isinstance(piece, Text) and "project.json" in piece.text for piece in body)
    settings = json.loads((tmp_path / "F" / "project.json").read_text())
    assert (settings["species_map"], settings["test_species"]) == ("a mapping", None)
    assert np.isfinite(settings["seed"])
