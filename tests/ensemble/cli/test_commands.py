"""`finblend` from an empty folder to a checked submission, some of it by the real console script."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from small import Small

from ensemble.cli import main

FINBLEND = Path(sys.executable).with_name("finblend")
COMMANDS = ["init", "register", "models", "embed", "train", "register-pairs", "tune", "evaluate"]
COMMANDS += ["pseudo", "merge", "decide", "submit", "export", "check", "report", "compare", "demo"]


def finblend(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([FINBLEND, *map(str, arguments)], capture_output=True, text=True, check=False)


def done(*arguments: object) -> str:
    """Run a command that must succeed; its standard output."""
    found = finblend(*arguments)
    assert found.returncode == 0, found.stderr
    assert "Traceback" not in found.stderr
    return found.stdout


def done_here(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run a command that must succeed in this process, which is quicker; its standard output."""
    status = main([*map(str, arguments)])
    shown = capsys.readouterr()
    assert status == 0, shown.err
    return shown.out


def test_from_an_empty_folder_to_a_checked_submission(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    # every few commands one by the console script: a new process finds what others left
    made = json.loads(done("init", "P", "--train", small.train_csv, "--test", small.sample_csv, "--json"))
    assert {k: made[k] for k in ("train_images", "individuals", "species", "test_images")} == {
        "train_images": 60,
        "individuals": 14,
        "species": 2,
        "test_images": 12,
    }
    for i in range(3):
        path = small.write_npz(f"m{i}.npz", *small.noisy(i + 1, 1.0 + i))
        told = done_here(capsys, "register", "P", f"m{i}", "--frozen", "--train", path, "--test", path)
        assert f"m{i} frozen: 60 train and 12 test photos" in told
    scores = json.loads(done_here(capsys, "models", "P", "--new-share", "0.15", "--json"))
    assert [row["model"] for row in scores["models"]] == ["m0", "m1", "m2"]
    assert all(0 < row["map5"] <= 1 for row in scores["models"])
    tuned = json.loads(done("tune", "P", "--trials", "8", "--new-share", "0.15", "--json"))
    assert {"map5", "threshold", "weights", "trials", "seconds"} <= tuned.keys()
    assert tuned["trials"] == 8
    assert sum(tuned["weights"].values()) == pytest.approx(1.0)
    assert tuned["map5"] >= max(tuned["equal_weights"], *(row["map5"] for row in scores["models"]))
    scored = json.loads(done_here(capsys, "evaluate", "P", "--json"))
    assert scored["map5"] == pytest.approx(tuned["map5_of_answers"])
    assert {"known", "new", "species", "interval", "mix"} <= scored.keys()
    decided = json.loads(done_here(capsys, "decide", "P", "-o", "decisions.csv", "--json"))
    assert decided["rows"] == pl.read_csv(tmp_path / "decisions.csv").height == 12
    trusted = json.loads(
        done_here(capsys, "pseudo", "P", "-o", "trusted.csv", "--min-prob", "0.5", "--trials", "0", "--json")
    )
    assert trusted["rows"] == pl.read_csv(tmp_path / "trusted.csv").height > 0
    merged = json.loads(done("merge", "P", "trusted.csv", "--json"))
    assert (merged["round"], merged["sets"]["full"]["rows"]) == ("round-1", trusted["rows"])
    told = done_here(capsys, "merge", "P", "trusted.csv", "--as", "gallery", "--force")
    assert "out-of-fold MAP@5" in told
    assert "next: finblend tune P" in told
    assert finblend("submit", "P", "-o", "out.csv").returncode == 1
    done_here(capsys, "tune", "P", "--trials", "0", "--new-share", "0.15", "--nested-trials", "0")
    done("submit", "P", "-o", "out.csv")
    rows = pl.read_csv(tmp_path / "out.csv")
    assert rows.columns == ["image", "predictions"]
    assert rows["image"].to_list() == small.test_images
    told = done("check", "out.csv", "--sample", small.sample_csv)
    assert "12 rows, all rules kept" in told
    written = json.loads(done_here(capsys, "report", "P", "-o", "report.html", "--json"))
    assert (written["path"], written["sections"][0]) == ("report.html", "catalogue")
    assert written["bytes"] == (tmp_path / "report.html").stat().st_size
    (tmp_path / "report.html").unlink()
    logged = [json.loads(line)["words"][:2] for line in (tmp_path / "P" / "commands.jsonl").read_text().splitlines()]
    typed = ["init", *["register"] * 3, "tune", "decide", "pseudo", "merge", "merge", "tune", "submit"]
    assert logged == [[command, "P"] for command in typed]
    done_here(capsys, "export", "P", "-o", "vectors")
    with np.load(tmp_path / "vectors" / "frozen.npz", allow_pickle=False) as file:
        assert file["train_embedding"].shape[0] == 60
    left = sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("trusted"))
    assert left == ["P", "data", "decisions.csv", "out.csv", "vectors"]


def test_every_layout_of_the_issue_registers_through_the_same_flags(small: Small, tmp_path: Path) -> None:
    """Names in another order, shards, keys: as the lines of the issue write them."""
    project = tmp_path / "P"
    assert main(["init", str(project), "--train", str(small.train_csv), "--test", str(small.sample_csv)]) == 0
    e, order = small.folder, np.random.default_rng(0).permutation(60)
    names = {"train": [small.train_images[i] for i in order], "test": small.test_images}
    lines: list[tuple[str, ...]] = []
    spaces = {name: small.noisy(i, 1.0) for i, name in enumerate(["shards", "frame", "columns", "tensors"])}
    arrays = {name: {"train": train[order], "test": test} for name, (train, test) in spaces.items()}
    from safetensors.numpy import save_file

    save_file(arrays["tensors"], e / "t.safetensors")
    (e / "t_names.json").write_text(json.dumps(names))
    for split in ("train", "test"):
        for k, part in enumerate(np.array_split(arrays["shards"][split], 11)):
            np.save(e / f"s_{split}_{k}.npy", part)
        (e / f"s_{split}.txt").write_text("\n".join(names[split]))
        frame = pl.DataFrame({"image": names[split], "embedding": arrays["frame"][split]})
        frame.write_parquet(e / f"f_{split}.parquet")
        wide = pl.DataFrame(arrays["columns"][split], schema=[f"e{i}" for i in range(24)])
        pl.DataFrame({"image": names[split]}).hstack(wide).write_csv(e / f"c_{split}.csv")
    flags = {
        "shards": lambda s: (f"--{s}", f"{e}/s_{s}_*.npy", f"--{s}-names", f"{e}/s_{s}.txt"),
        "frame": lambda s: (f"--{s}", f"{e}/f_{s}.parquet"),
        "columns": lambda s: (f"--{s}", f"{e}/c_{s}.csv"),
        "tensors": lambda s: (f"--{s}", f"{e}/t.safetensors:{s}", f"--{s}-names", f"{e}/t_names.json:{s}"),
    }
    lines = [(name, "--frozen", *flag("train"), *flag("test")) for name, flag in flags.items()]
    from ensemble import Project

    for line in lines:
        assert main(["register", str(project), *line]) == 0
        store = Project.open(project).stores()[line[0]]["frozen"]
        np.testing.assert_allclose(store.embedding("train", "orig"), spaces[line[0]][0], rtol=1e-6)
        np.testing.assert_allclose(store.embedding("test", "orig"), spaces[line[0]][1], rtol=1e-6)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    told = capsys.readouterr().out
    assert f"Example: finblend {command}" in " ".join(told.split())
    if command not in {"register"}:
        assert "--json" in told


def test_help_lists_every_command_in_the_order_of_the_work() -> None:
    told = done("--help")
    at = [told.index(f"\n  {command} ") for command in COMMANDS]
    assert at == sorted(at)


def test_no_command_at_all_shows_the_help() -> None:
    found = finblend()
    assert "Traceback" not in found.stderr
    assert "Usage: finblend" in found.stdout + found.stderr


def test_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib.metadata import version

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"finblend {version('finblend')}\n"


def test_json_is_alone_on_standard_output_and_warnings_on_the_other(
    small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project, path = str(tmp_path / "P"), str(small.write_npz("m.npz", *small.noisy(1)))

    def report(*words: str) -> dict[str, Any]:
        assert main([*words, "--json"]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    report("init", project, "--train", str(small.train_csv), "--test", str(small.sample_csv))
    assert report("register", project, "m", "--frozen", "--train", path, "--test", path)["seen"] == "frozen"
    assert main(["tune", project, "--trials", "0", "--json"]) == 0
    found = capsys.readouterr()
    assert json.loads(found.out)["trials"] == 3  # what starts every study: the one model in three variants
    assert "warning" in found.err
    assert "--new-share" in found.err
    assert report("submit", project, "-o", str(tmp_path / "out.csv"))["rows"] == 12
    assert report("check", str(tmp_path / "out.csv"), "--sample", str(small.sample_csv))["rows"] == 12
    assert report("export", project, "-o", str(tmp_path / "vectors"))["files"] == ["frozen.npz"]


def test_ctrl_c_keeps_the_best_so_far_and_the_next_tune_goes_on(small: Small, tmp_path: Path) -> None:
    project, path = tmp_path / "P", small.write_npz("m.npz", *small.noisy(1))
    done("init", project, "--train", small.train_csv, "--test", small.sample_csv)
    done("register", project, "m", "--frozen", "--train", path, "--test", path)
    line = [FINBLEND, "tune", project, "--trials", "1000000", "--new-share", "0.15", "--json"]
    # a suite that was started in the background hands on that Ctrl-C is ignored
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    running = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    journal, deadline = project / "study.journal", time.monotonic() + 60
    while not (journal.is_file() and journal.read_bytes().count(b"\n") > 100):
        assert time.monotonic() < deadline
        assert running.poll() is None
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    out, error = running.communicate(timeout=60)
    assert running.returncode == 0, error
    report = json.loads(out)
    assert report["interrupted"] is True
    assert "Traceback" not in error
    again = json.loads(done("tune", project, "--trials", "2", "--new-share", "0.15", "--json"))
    assert (again["trials"], again["new_trials"]) == (report["trials"] + 2, 2)
    assert again["map5"] >= report["map5"]
