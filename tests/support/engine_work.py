"""Work for engines, in a module that workers can import, and one small cluster of Ray for the tests of a process."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from backbones.extraction.run import Run
from cv.errors import FinblendError
from ensemble.engine.engines import engine_of
from ensemble.engine.on_ray import OnRay
from ensemble.networks.extraction import Extraction
from ensemble.networks.shards import Job
from ensemble.project.progress import Progress


def cluster() -> OnRay:
    """Two workers on this machine; started once, for it takes seconds."""
    ray = pytest.importorskip("ray", reason="the extra ray is not installed")
    if not ray.is_initialized():
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # what workers find this module by
        here = str(Path(__file__).parent)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), here]))
        ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    engine = engine_of("ray:local")
    assert isinstance(engine, OnRay)
    return OnRay(engine.address, cpus=1)


def squared(item: int, progress: Progress | None) -> tuple[int, int]:
    """The square, and the process; earlier items take longer."""
    time.sleep(0.02 * (3 - item % 4))
    if progress is not None:
        progress("squares", 1, 8)
    return item * item, os.getpid()


def threads(item: int, _progress: Progress | None) -> tuple[bool, str, str]:
    """Whether numba has so many threads, or all there are; what libraries are told; and the folder."""
    import numba

    as_many = numba.get_num_threads() == min(item, numba.config.NUMBA_NUM_THREADS)
    return as_many, os.environ["OMP_NUM_THREADS"], str(Path.cwd())


def refusing(item: int, _progress: Progress | None) -> int:
    """Refuses 2."""
    if item == 2:
        raise FinblendError("photo 2: is no photo")
    return item


def opened(item: Path, _progress: Progress | None) -> int:
    """Bytes of a file."""
    return len(item.read_bytes())


def killed_once(item: Path, _progress: Progress | None) -> int:
    """Its process is killed in its first try; in the second it writes down which process did it."""
    if not item.exists():
        item.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    item.write_text(item.read_text() + "done ")
    return os.getpid()


def killed_always(_item: int, _progress: Progress | None) -> None:
    """Its process is killed in every try."""
    os.kill(os.getpid(), signal.SIGKILL)


class KillingOnce(OnRay):
    """Ray, one of whose workers is killed when it has done its first item, before anybody knows."""

    def map(self, work: Any, items: Any, **options: Any) -> Any:
        """See `Engine.map`."""
        return super().map(partial(killed_when_done, options["folder"] / "killed", work), items, **options)


def killed_when_done(marker: Path, work: Any, item: Any, progress: Progress | None) -> Any:
    """What work gives; its process is killed the first time."""
    done = work(item, progress)
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return done


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobKilledOnce(Job):
    """An extraction whose worker is killed when it has embedded its first batch."""

    def extraction(self) -> Extraction:
        """Of a run that ends its process once."""
        marker = self.folder / "killed"
        keep = Run._keep

        def kept(run: Run, index: int, embedded: Any, facts: Any) -> None:
            keep(run, index, embedded, facts)
            if not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)

        Run._keep = kept  # type: ignore[method-assign]
        return super().extraction()
