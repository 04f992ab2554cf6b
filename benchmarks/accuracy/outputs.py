"""Everything the main job writes and prints on fixed inputs, to be compared between two versions of finblend.

    python -m benchmarks.accuracy.outputs OUT [--photoid DIR] [--whaleworld FILE] [--only demo,photoid,...]

Runs the installed `finblend` on the demo, on the six models of photoid and on two drawn worlds (frozen, trained per
fold), and leaves in OUT, a folder a scenario, what came out without dates, durations and places: blend.json,
submissions, decisions, pseudo-labels, and what `tune`, `evaluate`, `models`, `decide`, `pseudo` and `merge` print with
--json. Two versions give the same answers where `diff -r OUT_BEFORE OUT_AFTER` prints nothing.

photoid and the worlds are left out where DIR or FILE (whaleworld.py) is not given. On another machine figures may
differ in their last digits. Projects are made by the command line, too, so that it is one version that does
everything, whichever is on the path.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.common.photoid import LAYOUTS
from benchmarks.common.world import run_whaleworld

# keys of printed figures and of blend.json that differ from run to run, or from version to version
UNSTABLE = {"seconds", "date", "created", "photos_per_second", "finblend", "seal", "version"}
SCALE, MODELS, SEED = 0.04, 3, 31


class Recorder:
    """Calls finblend and keeps what it prints with --json, without what may differ.

    Parameters
    ----------
    scratch : Path
        Where projects are made.
    out : Path
        Where what came out is kept.
    """

    def __init__(self, scratch: Path, out: Path) -> None:
        self.scratch, self.out = scratch, out

    def call(self, *words: object, keep: str | None = None) -> None:
        """Run one command, and keep its figures under a name."""
        command = [str(Path(sys.executable).parent / "finblend"), *map(str, words)]
        if keep is not None:
            command.append("--json")
        environment = os.environ | {"NO_COLOR": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}\n{done.stderr[-3000:]}")
        if keep is not None:
            self.keep(f"{keep}.json", json.loads(done.stdout))

    def keep(self, name: str, figures: Any) -> None:
        """Write figures as JSON, in an order and without places of their own."""
        text = json.dumps(stable(figures), indent=1, sort_keys=True)
        (self.out / name).write_text(text.replace(str(self.scratch), "FOLDER").replace(str(self.out), "OUT") + "\n")

    def tuned(self, project: Path, trials: int) -> None:
        """Everything that a tuned project gives."""
        out = self.out
        self.call("evaluate", project, keep="evaluate")
        self.call("evaluate", project, "--nested", "--nested-trials", trials, keep="evaluate-nested")
        self.call("evaluate", project, "--new-share", "0.3", keep="evaluate-at-0.3")
        self.call("models", project, "--new-share", "0.12", keep="models")
        self.call("submit", project, "-o", out / "submission.csv")
        self.call("submit", project, "-o", out / "submission-new-first.csv", "--new-first", "0.2")
        self.call("decide", project, "-o", out / "decisions.csv", keep="decide")
        words = ["-o", out / "pseudo.csv", "--min-prob", "0.5", "--trials", trials]
        self.call("pseudo", project, *words, keep="pseudo")
        self.keep("blend.json", json.loads((project / "blend.json").read_text()))


def stable(value: Any) -> Any:
    """Figures without what differs from run to run."""
    if isinstance(value, dict):
        return {key: stable(inner) for key, inner in value.items() if key not in UNSTABLE}
    return [stable(inner) for inner in value] if isinstance(value, list) else value


def demo(recorder: Recorder) -> None:
    """Painted photos, two real networks."""
    folder = recorder.scratch / "demo"
    recorder.call("demo", folder, "--json")
    recorder.tuned(folder / "project", 10)


def photoid(recorder: Recorder, data: Path) -> None:
    """A real catalogue with encounters, six models in six layouts."""
    project, encounters = recorder.scratch / "project", f"{data / 'encounters.csv'}:encounter"
    tables = ["--train", data / "train.csv", "--test", data / "sample_submission.csv"]
    recorder.call("init", project, *tables, "--folds", 5, "--encounters", encounters)
    flags = ("--train", "--test", "--train-names", "--test-names")
    for name, files in LAYOUTS.items():
        words = [
            word
            for flag, file in zip(flags, files, strict=True)
            if file is not None
            for word in (flag, data / "embeddings" / file)
        ]
        recorder.call("register", project, name, "--frozen", *words)
    recorder.call("tune", project, "--trials", 60, "--new-share", 0.12, "--nested-trials", 20, keep="tune")
    recorder.tuned(project, 10)


def drawn_world(recorder: Recorder, whaleworld: Path, per_fold: bool = False) -> None:
    """A drawn world; also what is merged into its gallery, and the submission of that."""
    world = run_whaleworld(whaleworld, recorder.scratch / "world", SCALE, MODELS, SEED, per_fold)
    project, out = recorder.scratch / "project", recorder.out
    tables = ["--train", world.folder / "train.csv", "--test", world.folder / "sample_submission.csv"]
    recorder.call("init", project, *tables, "--folds", f"{world.folder}/folds.csv:fold" if per_fold else 5)
    for name, files in world.models.items():
        for file in files:
            fold = file.stem.partition("-fold")[2]
            seen = ["--fold", fold] if fold else ["--frozen"]
            recorder.call("register", project, name, *seen, "--train", file, "--test", file)
    recorder.call("tune", project, "--trials", 30, "--new-share", 0.112, "--nested-trials", 10, keep="tune")
    recorder.tuned(project, 10)
    recorder.call("merge", project, out / "pseudo.csv", "--as", "gallery", "--force", keep="merge")
    recorder.call("tune", project, "--trials", 10, "--nested-trials", 0, keep="tune-merged")
    recorder.call("submit", project, "-o", out / "submission-merged.csv")


def scenarios(photoid_folder: Path | None, whaleworld: Path | None) -> dict[str, Callable[[Recorder], None]]:
    """What can be run with the files that are given, in this order."""
    runs: dict[str, Callable[[Recorder], None]] = {"demo": demo}
    if photoid_folder is not None:
        runs["photoid"] = lambda recorder: photoid(recorder, photoid_folder)
    if whaleworld is not None:
        runs["frozen"] = lambda recorder: drawn_world(recorder, whaleworld)
        runs["per-fold"] = lambda recorder: drawn_world(recorder, whaleworld, per_fold=True)
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--photoid", type=Path, metavar="DIR")
    parser.add_argument("--whaleworld", type=Path, metavar="FILE")
    parser.add_argument("--only", default="demo,photoid,frozen,per-fold")
    options = parser.parse_args()
    only = options.only.split(",")
    with tempfile.TemporaryDirectory() as scratch:
        for name, run in scenarios(options.photoid, options.whaleworld).items():
            if name not in only:
                continue
            folder, out = Path(scratch) / name, options.out / name
            folder.mkdir()
            out.mkdir(parents=True, exist_ok=True)
            run(Recorder(folder, out))
            print(f"{name}: {len(list(out.iterdir()))} files in {out}", flush=True)


if __name__ == "__main__":
    main()
