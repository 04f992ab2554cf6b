"""faiss at its best: its wheels bundle an old OpenBLAS that takes its slowest code on processors it does not know.

Import faiss from here, before anything else does: OpenBLAS reads the variable once.
"""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np  # noqa: F401 - loads numpy's own OpenBLAS, which is asked below
from threadpoolctl import threadpool_info

# newer processors than the bundled OpenBLAS has code for, and the code of its own that suits them
_KNOWN_AS = {"Cooperlake": "SkylakeX", "SapphireRapids": "SkylakeX"}


def _kernel() -> str:
    for library in threadpool_info():
        if library["internal_api"] == "openblas":
            name = str(library["architecture"])
            return _KNOWN_AS.get(name, name)
    return ""


if "OPENBLAS_CORETYPE" not in os.environ and _kernel():
    os.environ["OPENBLAS_CORETYPE"] = _kernel()

import faiss  # noqa: E402

__all__ = ["faiss", "faiss_kernel", "seconds_as_installed"]

_AS_INSTALLED = """
import sys, time, faiss, numpy as np
threads, m, n, d, k = map(int, sys.argv[1:])
faiss.omp_set_num_threads(threads)
rng = np.random.default_rng(0)
index = faiss.IndexFlatIP(d)
index.add(rng.standard_normal((m, d), dtype=np.float32))
query = rng.standard_normal((n, d), dtype=np.float32)
index.search(query[:64], k)
start = time.perf_counter()
index.search(query, k)
print(time.perf_counter() - start)
"""


def faiss_kernel() -> str:
    """Which code faiss's OpenBLAS runs."""
    for library in threadpool_info():
        if "faiss" in library["filepath"] and library["internal_api"] == "openblas":
            return str(library["architecture"])
    return "unknown"


def seconds_as_installed(threads: int, gallery: int, queries: int, width: int, k: int) -> float:
    """Seconds of a flat search in a process of its own, without any help, over vectors at random."""
    plain = {key: value for key, value in os.environ.items() if key != "OPENBLAS_CORETYPE"}
    sizes = [str(number) for number in (threads, gallery, queries, width, k)]
    command = [sys.executable, "-c", _AS_INSTALLED, *sizes]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, env=plain).stdout)
