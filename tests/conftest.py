"""What several test files share."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings
from small import Small

# the same examples on every machine, and no deadline: these machines are noisy and numba compiles on first use
settings.register_profile("finblend", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("finblend")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data, or a skip that says so."""
    folder = Path(os.environ.get("FINBLEND_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (folder / "happywhale" / "train.csv").is_file():
        pytest.skip(f"no real data in {folder}; set FINBLEND_DATA")
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """A small catalogue on disk."""
    return Small(tmp_path / "data")


@pytest.fixture(scope="session")
def tuned_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`planted.tuned_pair`; to be copied, not changed."""
    from planted import tuned_pair

    return tuned_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def project(tuned_template: Path, tmp_path: Path) -> Path:
    """A copy of the tuned pair; files whose tests need another project have a fixture of this name."""
    shutil.copytree(tuned_template, tmp_path / "P")
    return tmp_path / "P"


@pytest.fixture
def sets(project: Path, tmp_path: Path) -> Path:
    """Pseudo-labels of that project, a set for each fold."""
    from planted import plain, sets_by_hand

    return sets_by_hand(project, tmp_path / "p.csv", plain)
