"""A world in which commands are refused, and what a refusal must look like."""

from __future__ import annotations

from pathlib import Path

import pytest
from small import Small

from ensemble import init, register, tune
from ensemble.cli import main


def world_to_refuse_in(folder: Path) -> Path:
    """A folder with data, a tuned project P of one frozen and one per-fold model, and a right submission."""
    small = Small(folder)
    init(folder / "P", train=small.train_csv, test=small.sample_csv)
    for seed, flags in enumerate([{"frozen": True}, *({"fold": fold} for fold in range(5))]):
        path = small.write_npz(f"m{seed}.npz", *small.noisy(seed + 1, 1.0))
        register(folder / "P", "frozen" if seed == 0 else "trained", **flags, train=path, test=path)
    small.write_npz("next.npz", *small.noisy(20))
    tune(folder / "P", trials=0, new_share=0.15)
    (folder / "few.csv").write_text("species,new_share\nbeluga,0.1\n")
    (folder / "shares.csv").write_text("species;new_share\nbeluga;0,1\n*;0,2\n")
    (folder / "semi.csv").write_text((folder / "train.csv").read_text().replace(",", ";"))
    (folder / "tabs.csv").write_text((folder / "train.csv").read_text().replace(",", "\t"))
    (folder / "text.npz").write_text("image,vector\ntr000.jpg,0.1\n")
    (folder / "empty.json").write_text("{}")
    (folder / "orca.csv").write_text("species,new_share\n*,0.1\norca,0.1\n")
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """Every file and its bytes, but for the cache, which may grow at any time."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and "cache" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def refusal(folder: Path, line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must be refused; its line on standard error."""
    before = tree(folder)
    assert main(line.split()) == 1
    found = capsys.readouterr()
    lines = [
        text for text in found.err.splitlines() if not text.startswith(("finblend: warning: ", "finblend: compiling "))
    ]
    assert len(lines) == 1, found.err
    assert lines[0].startswith("finblend: ")
    assert found.out == ""
    assert tree(folder) == before
    return lines[0]
