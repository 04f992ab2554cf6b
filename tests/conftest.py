"""What several test files share."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

# before numpy, torch and numba are loaded. Kernels of a few milliseconds follow each other, and threads that spin while
# they wait for the next take the cores from whatever else runs: twenty times the time, where all cores are taken
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ
if IS_WORKER:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest  # noqa: E402
from examples import load_profile  # noqa: E402
from small import Small  # noqa: E402

load_profile()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Give a worker one thread, for another worker has the other core; kernels' own tests run on all threads."""
    numba = sys.modules.get("numba")
    if IS_WORKER and numba is not None:
        of_kernels = "postproc" in item.path.relative_to(Path(__file__).parent).parts
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS if of_kernels else 1)


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
