"""Ray: worker processes on this machine, or on every machine of a cluster that `ray start`, KubeRay or `ray up` made.

Ray's own tasks do the work: it starts processes, sends items, and begins an item again whose worker, or whose whole
machine, was lost. Kept here is what makes a task the same work as in one process: its threads, its folder, its
refusals in one line, its progress told in the driver.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cv.errors import FinblendError
from cv.extras import load_extra
from ensemble.engine.contract import Item, Result, Work
from ensemble.project.progress import Progress

EXTRA = "ray"
# how often an item is begun again whose worker was killed
RETRIES = 3
# seconds between two looks at what workers tell
TOLD_EVERY = 0.5
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# what launchers tell their processes
LAUNCHED = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "JSM_NAMESPACE_RANK")


@dataclass(frozen=True)
class Refused:
    """The line of a `FinblendError` in a worker."""

    line: str


@dataclass(frozen=True)
class OnRay:
    """Workers of Ray.

    Attributes
    ----------
    address : str or None
        "local", "auto", HOST:PORT or as `ray.init` takes it; None for the cluster of this machine where there is one
        (`RAY_ADDRESS`, `ray start`), else for its own cores.
    cpus : int
        CPUs and threads that an item gets.
    """

    address: str | None = None
    cpus: int = 1

    @classmethod
    def installed(cls, address: str | None, cpus: int) -> OnRay:
        """Refuse at once where Ray is not installed; it is connected to when there is work."""
        load_extra("ray", EXTRA)
        return cls(address, cpus)

    def map(
        self,
        work: Work[Item, Result],
        items: Sequence[Item],
        *,
        name: str,
        folder: Path,
        gpus: int = 0,
        progress: Progress | None = None,
    ) -> Iterator[Result]:
        """See `Engine.map`."""
        ray = self._connected()
        if not items:
            return
        self._refuse_too_small(ray)
        told = None if progress is None else ray.remote(Told).options(num_cpus=0).remote()
        task = ray.remote(run_item).options(
            name=name,
            num_cpus=self.cpus,
            num_gpus=gpus if ray.cluster_resources().get("GPU", 0) else 0,
            max_retries=RETRIES,
        )
        where = Where(str(Path.cwd()), str(folder), self.cpus)
        # sent once to each machine, however many items there are
        sent = ray.put(work)
        pending = [task.remote(sent, item, where, told) for item in items]
        try:
            for place, future in enumerate(pending):
                while not ray.wait([future], timeout=TOLD_EVERY if told else None)[0]:
                    _pass_on(ray, told, progress)
                _pass_on(ray, told, progress)
                result = _result(ray, future, name)
                pending[place] = None
                yield result
        finally:
            for future in pending:
                if future is not None:
                    # by force, Ray 2.60 may end the driver: a task that is just done is not pending any more
                    ray.cancel(future)
            if told is not None:
                ray.kill(told)

    def _connected(self) -> Any:
        ray = load_extra("ray", EXTRA)
        if not ray.is_initialized():
            self._refuse_nobody_there()
            # nothing is told to anybody
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            try:
                ray.init(address=self.address, logging_level="ERROR", log_to_driver=False)
            except (OSError, ValueError, RuntimeError, ImportError, ray.exceptions.RayError) as error:
                reason = " ".join(str(error).split())
                name = f"ray:{self.address}" if self.address else "ray"
                hint = "" if "RAY_AUTH_MODE" in os.environ else "; where it asks for a token, set RAY_AUTH_MODE=token"
                raise FinblendError(f"--engine {name}: cannot be reached ({reason}){hint}") from None
        return ray

    def _refuse_nobody_there(self) -> None:
        """Ray itself asks an address for minutes, and ends the process when nobody answers."""
        host, _, port = (self.address or "").rpartition(":")
        if host and port.isdecimal() and "/" not in host:
            try:
                socket.create_connection((host, int(port)), timeout=5).close()
            except (OSError, OverflowError) as error:
                raise FinblendError(f"--engine ray:{self.address}: cannot be reached ({error})") from None

    def _refuse_too_small(self, ray: Any) -> None:
        """Refuse what no machine of the cluster could ever do; one without CPUs may yet start machines that have."""
        have = max((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=0)
        if 0 < have < self.cpus:
            raise FinblendError(
                f"--engine ray: no machine of the cluster has the {self.cpus} CPUs that OMP_NUM_THREADS={self.cpus} "
                f"asks for an item; the largest has {have:.0f}"
            )


class Told:
    """What workers have told of their progress since it was last asked for: an actor, in a process of its own."""

    def __init__(self) -> None:
        self.done: dict[tuple[str, int], int] = {}

    def add(self, what: str, done: int, total: int) -> None:
        """A worker tells."""
        self.done[what, total] = self.done.get((what, total), 0) + done

    def taken(self) -> list[tuple[str, int, int]]:
        """The driver asks."""
        told, self.done = [(what, done, total) for (what, total), done in self.done.items()], {}
        return told


def _pass_on(ray: Any, told: Any, progress: Progress | None) -> None:
    if told is not None and progress is not None:
        for what, done, total in ray.get(told.taken.remote()):
            progress(what, done, total)


def _result(ray: Any, future: Any, name: str) -> Any:
    try:
        result = ray.get(future)
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError, ray.exceptions.NodeDiedError):
        raise FinblendError(
            f"{name}: its worker ended before its work did, {RETRIES + 1} times (memory?); what is done is kept, and "
            "the same command goes on"
        ) from None
    except ray.exceptions.RayTaskError as error:
        if not isinstance(error.cause, ray.exceptions.RaySystemError):
            raise
        reason = str(error.cause).strip().splitlines()[-1]
        raise FinblendError(
            f"{name}: a worker cannot load its work ({reason}); every machine needs the same finblend, with its extras"
        ) from None
    except ray.exceptions.RayError as error:
        raise FinblendError(f"{name}: Ray gave it up ({' '.join(str(error).split())})") from None
    if isinstance(result, Refused):
        raise FinblendError(result.line)
    return result


@dataclass(frozen=True)
class Where:
    """Where the driver runs, as a worker is to know it: its folder, the project's, and the threads of an item."""

    driver: str
    folder: str
    cpus: int


def run_item(work: Work[Any, Any], item: Any, where: Where, told: Any) -> Any:
    """One item, in a worker process."""
    # paths that were typed start where the driver was started; workers that have no such folder need whole paths
    with contextlib.suppress(OSError):
        os.chdir(where.driver)
    if not Path(where.folder).is_dir():
        return _not_seen(where.folder)
    limit_threads(where.cpus)
    # what SLURM told the process that started Ray here is not told to an item: lightning would take it for its own
    for variable in [each for each in os.environ if each.startswith("SLURM_") or each in LAUNCHED]:
        del os.environ[variable]
    try:
        if told is None:
            return work(item, None)
        with _telling(told) as progress:
            return work(item, progress)
    except FinblendError as error:
        return Refused(str(error))
    except FileNotFoundError as error:
        return _not_seen(str(error.filename))


def _not_seen(path: str) -> Refused:
    return Refused(
        f"{path}: cannot be seen by a worker on {socket.gethostname()}; with --engine ray the project and its photos "
        "lie in storage that all machines share, under the same path"
    )


def limit_threads(threads: int) -> None:
    """Give this process so many threads in numba, torch and the matrix products, loaded already or not yet."""
    os.environ |= dict.fromkeys(THREADS, str(threads))
    import numba
    from threadpoolctl import threadpool_limits

    most: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    numba.set_num_threads(min(threads, most))
    threadpool_limits(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


@contextlib.contextmanager
def _telling(told: Any) -> Iterator[Progress]:
    """A progress that tells an actor, now and then."""
    done: dict[tuple[str, int], int] = {}
    last = time.monotonic()

    def tell() -> list[Any]:
        sent = [told.add.remote(what, n, total) for (what, total), n in done.items()]
        done.clear()
        return sent

    def progress(what: str, n: int, total: int) -> None:
        nonlocal last
        done[what, total] = done.get((what, total), 0) + n
        if time.monotonic() - last > TOLD_EVERY:
            tell()
            last = time.monotonic()

    yield progress
    # until it is there: the driver asks for the last time when it has the result
    load_extra("ray", EXTRA).get(tell())
