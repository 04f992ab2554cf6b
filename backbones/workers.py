"""Worker processes of loaders that end when their run does, however it ended."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time

_SECONDS = 1.0


def end_with_run(worker: int) -> None:
    """Watch over a worker's run from a thread: `worker_init_fn` of every `DataLoader`.

    torch's own watchdog asks for the parent when the worker's loop begins. If the run is killed before, it takes the
    process that adopted the worker for the run, and the worker stays for ever. The parent that `multiprocessing` notes
    when it starts the process is the right one.

    Parameters
    ----------
    worker : int
        Number of the worker; not used.
    """
    run = multiprocessing.parent_process()
    if run is not None:
        threading.Thread(target=_watch, args=(run.pid,), daemon=True).start()


def _watch(run: int) -> None:
    while os.getppid() == run:
        time.sleep(_SECONDS)
    os._exit(1)
