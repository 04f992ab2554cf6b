"""Wrong input on the command line: exit code 1, one line beginning with `finblend:`, no traceback, nothing written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from refusals import refusal

from cv.errors import FinblendError
from ensemble import Blend
from ensemble.cli import main
from ensemble.project.outputs import refuse_output

FINBLEND = Path(sys.executable).with_name("finblend")


@pytest.fixture
def folder(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(template, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def test_no_output_may_take_the_name_of_anything_that_a_project_holds(folder: Path) -> None:
    for name in ("features", "runs"):
        (folder / "P" / name).mkdir()
    held = list((folder / "P").iterdir())
    assert {path.name for path in held if path.is_file()} >= {"project.json", "blend.json", "study.journal"}
    for path in held:
        with pytest.raises(FinblendError, match="belongs to the project"):
            refuse_output(path if path.is_file() else path / "out.csv")
    refuse_output(folder / "P" / "submission.csv")


def test_a_project_without_models_has_nothing_to_show(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(folder / "P" / "stores")
    told = "finblend: P: no model is registered; use 'finblend register P NAME ...'"
    assert [refusal(folder, line, capsys) for line in ("models P", "models P --json", "tune P")] == [told] * 3


NEXT = "--train next.npz --test next.npz"
WRONG = {
    "init P --train train.csv --test sample_submission.csv": "P: already exists and is not empty",
    "init train.csv --train train.csv --test sample_submission.csv": "train.csv: already exists",
    "init Q --train gone.csv --test sample_submission.csv": "gone.csv: no such file",
    "init Q --train P --test sample_submission.csv": "P: is a folder; a table is a .csv or .parquet file",
    "init Q --train train.csv --test gone.csv": "gone.csv: no such file",
    "init Q --train semi.csv --test sample_submission.csv": "semi.csv: its header is parted by semicolons; columns",
    "init Q --train tabs.csv --test sample_submission.csv": "tabs.csv: its header is parted by tabs; columns must be",
    "tune P --new-share shares.csv": "shares.csv: its header is parted by semicolons; columns must be parted by commas",
    "init Q --train train.csv --test train.csv": "is a train photo too",
    "init Q --train train.csv": "no test photos",
    "init Q --train a.tfrec b.tfrec": "quote a pattern, or the shell takes it apart: 'records/*.tfrec'",
    "init Q --train train.csv --test sample_submission.csv --encounters train.csv": "say train.csv:COLUMN",
    "init Q --train m0.npz --test sample_submission.csv": "unknown kind of table '.npz'",
    "init Q --train sample_submission.csv --test train.csv": "individual_id",
    "init Q --train train.csv --test sample_submission.csv --folds 1": "n_folds=1",
    "init Q --train train.csv --test sample_submission.csv --folds -3": "n_folds=-3",
    "init Q --train train.csv --test sample_submission.csv --folds train.csv:fold": "no column 'fold'",
    "init Q --train train.csv --test sample_submission.csv --folds train.csv:species": "not a whole number",
    "init Q --train train.csv --test sample_submission.csv --folds gone.csv:fold": "gone.csv: no such file",
    "init Q --train train.csv --test sample_submission.csv --folds some": "train.csv: has no column 'some'",
    "init Q --train train.csv --test sample_submission.csv --encounters train.csv:sighting": "'sighting'",
    "init Q --train train.csv --test sample_submission.csv --seed many": "--seed: 'many' is no whole number",
    "init Q --train train.csv --test sample_submission.csv --hold-out 99": "--hold-out: 0 <= N < 10 must hold",
    "init Q --train train.csv --test sample_submission.csv --hold-out -1": "N=-1",
    "init Q --train train.csv --test sample_submission.csv --hold-out some": "--hold-out",
    "init Q --train train.csv --test sample_submission.csv --hold-out 2 --folds train.csv:image": "brings its own",
    f"register P m {NEXT}": "exactly one of --frozen, --fold K and --full",
    f"register P m --fold 5 {NEXT}": "the project's folds are 0, 1, 2, 3, 4",
    f"register P m --fold one {NEXT}": "--fold: 'one' is no whole number",
    f"register P frozen --frozen {NEXT}": "is already registered as frozen with the view orig; use --replace",
    f"register Q m --frozen {NEXT}": "Q: is not a finblend project",
    "register P m --frozen --train gone.npz --test next.npz": "gone.npz: no such file",
    "register P m --frozen --train next.npz:vectors --test next.npz": "no key 'vectors'",
    "register P m --frozen --train next.npz --test train.csv": "train.csv: row 1: ",
    f"register P m --frozen --train-names gone.txt {NEXT}": "gone.txt: no such file",
    f"register P m/n --frozen {NEXT}": "m/n",
    "register P m --frozen --train next.npz": "--test",
    "register P m --frozen --train text.npz --test next.npz": "text.npz: is no npz file (it begins with 'image,vec",
    "register P m --frozen --train P --test next.npz": "P: is a folder, and a file is wanted",
    f"register P m --frozen --labels P {NEXT}": "P: is a folder, and a file is wanted",
    "embed P m --frozen --backbone timm:resnet18 --images train.csv": "train.csv: is a file, and a folder of photos",
    "embed P m --frozen --backbone timm:resnet18 --images gone": "gone: no such folder",
    "models": "finblend: Missing argument 'P'; see 'finblend models --help'",
    "embed": "finblend: Missing argument 'P'; see 'finblend embed --help'",
    "embed P m --images P": "Missing option '--backbone'; see 'finblend embed --help'",
    "models Q": "Q: is not a finblend project",
    "models P --new-share 1.5": "--new-share: 0 <= new_share < 1 must hold, but got new_share=1.5",
    "tune P --new-share 12": "--new-share: 0 <= new_share < 1 must hold, but got new_share=12; did you mean 0.12?",
    "models P --new-share half": "--new-share",
    "models P --new-share gone.csv": "gone.csv: no such file",
    "models P --new-share sample_submission.csv": "sample_submission.csv: needs a column species",
    "models P --new-share train.csv": "train.csv: needs a column new_share",
    "tune P --trials 0 --new-share few.csv": "few.csv: gives no share for fin_whale; every species needs a row",
    "evaluate P --new-share orca.csv": "orca.csv: row 2: species 'orca' is not among the catalogue's",
    "models P --gallery-mix much": "--gallery-mix must be a number or 'raw', but got 'much'",
    "tune P --trials ten": "finblend: --trials: 'ten' is no whole number",
    "tune P --trials 1.5": "--trials: '1.5' is no whole number",
    "tune P --timeout soon": "finblend: --timeout: 'soon' is no number",
    "tune P --trials -1": "trials=-1",
    "tune P --sampler grid": "tpe, random, but got grid",
    "tune P --new-share -0.2": "new_share=-0.2",
    "tune P --new-share nan": "new_share=nan",
    "tune P --timeout 0": "timeout=0",
    "tune P --trials 3 --model gone": "gone: is not registered",
    "tune P --trials 3 --bogus": "--bogus",
    "tune P P2 --trials 3": "P2",
    "evaluate Q": "Q: is not a finblend project",
    "evaluate P --new-share 2": "new_share=2; did you mean 0.02?",
    "decide P": "output",
    "decide P -o no/where/d.csv": "the folder no/where does not exist",
    "decide P -o d.csv --precision 1": "precision=1.0",
    "decide P -o d.csv --use full": "no model of the blend has a --full store",
    "pseudo P": "output",
    "pseudo Q -o p.csv": "Q: is not a finblend project",
    "pseudo P -o p.parquet": "p.parquet: must end in .csv",
    "pseudo P -o no/where/p.csv": "the folder no/where does not exist",
    "pseudo P -o p.csv --rule luck": "--rule must be one of confidence, agreement, gap, but got luck",
    "pseudo P -o p.csv --precision 1": "precision=1.0",
    "pseudo P -o p.csv --min-prob 2": "min_prob=2.0",
    "pseudo P -o p.csv --trials 0 --precision 0.999": "no threshold of the rule confidence shows it out-of-fold",
    "merge P": "FILE",
    "merge Q p.csv": "Q: is not a finblend project",
    "merge P gone.csv": "gone.csv: no such file",
    "merge P train.csv": "train.csv: needs a column conf",
    "merge P train.csv --as both": "--as must be one of training, gallery, but got both",
    "merge P train.csv --min-prob 0": "min_prob=0.0",
    "submit P": "output",
    "submit P -o no/where/out.csv": "the folder no/where does not exist",
    "submit P -o P": "P: is a folder; -o names the file to write",
    "decide P -o P": "P: is a folder; -o names the file to write",
    "submit P -o out.csv --use some": "--use must be one of folds, full, both, but got some",
    "submit P -o out.csv --new-first 1.5": "0 <= new_first <= 1 must hold, but got new_first=1.5",
    "submit P -o out.csv --new-first nan": "0 <= new_first <= 1 must hold, but got new_first=nan",
    "submit P -o out.csv --use full": "no model of the blend has a --full store",
    "export P -o P": "P: already exists",
    "export P -o no/where": "the folder no does not exist",
    "report P": "output",
    "submit P -o P/blend.json": "P/blend.json: belongs to the project",
    "decide P -o P/cache/d.csv": "P/cache/d.csv: belongs to the project",
    "report P -o P/project.json": "P/project.json: belongs to the project",
    "compare P P -o P/commands.jsonl": "P/commands.jsonl: belongs to the project",
    "report P -o no/where/r.html": "no/where/r.html: the folder no/where does not exist",
    "report P -o P": "P: is a folder; -o names the file to write",
    "report P -o r.html --images gone": "gone: is no folder of photos",
    "report P -o r.html --images train.csv": "train.csv: is no folder of photos",
    "report Q -o r.html": "Q: is not a finblend project",
    "check gone.csv --sample sample_submission.csv": "gone.csv: cannot be read",
    "check sample_submission.csv --sample gone.csv": "gone.csv: no such file",
    "check sample_submission.csv": "--sample",
    "compare P": "compare it with another project ('finblend compare P P2')",
    "compare P Q": "Q: is not a finblend project",
    "compare P --blend gone.json": "gone.json: cannot be read",
    "compare P --blend P/project.json": "P/project.json: is not a blend (it has no key 'weights')",
    "compare P --blend empty.json": "empty.json: is not a blend (it has no key 'weights')",
    "compare P P -o no/where/c.html": "no/where/c.html: the folder no/where does not exist",
    "compare P P -o P": "P: is a folder; -o names the file to write",
    "compare P P -o c.html --images gone": "gone: is no folder of photos",
    "demo P": "P: already exists",
    "demo d --individuals 3": "individuals=3",
    "demo d --individuals 60 --trials -1": "trials=-1",
    "demo d --individuals 60 --seed -1": "seed",
    "demo d --individuals many": "--individuals",
    "tuna P": "tuna",
}


@pytest.mark.parametrize("line", WRONG)
def test_wrong_input_is_told_in_one_line(folder: Path, capsys: pytest.CaptureFixture[str], line: str) -> None:
    assert WRONG[line] in refusal(folder, line, capsys)


@pytest.mark.parametrize("line", ["tuna P", "tune", "tune P --trials x", "tune P --bogus", "models Q", "register P m"])
def test_the_console_script_exits_with_one_and_no_traceback(folder: Path, line: str) -> None:
    found = subprocess.run([FINBLEND, *line.split()], capture_output=True, text=True, check=False, cwd=folder)
    assert "Traceback" not in found.stderr
    assert found.returncode == 1
    assert found.stderr.startswith("finblend: ")
    assert found.stderr.count("\n") == 1


def test_an_old_submission_stays_when_a_new_one_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["submit", "P", "-o", "out.csv"]) == 0
    Blend({"gone": 1.0}).save(folder / "P" / "blend.json")
    capsys.readouterr()
    refusal(folder, "submit P -o out.csv", capsys)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "locked").mkdir(mode=0o500)
    assert "locked" in refusal(folder, "submit P -o locked/out.csv", capsys)
