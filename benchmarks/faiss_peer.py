"""faiss at its best: its wheels bundle an old OpenBLAS that takes its slowest code on processors it does not know.

Import faiss from here, before anything else does: OpenBLAS reads the variable once.
"""

from __future__ import annotations

import os

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

__all__ = ["faiss", "faiss_kernel"]


def faiss_kernel() -> str:
    """Which code faiss's OpenBLAS runs."""
    for library in threadpool_info():
        if "faiss" in library["filepath"] and library["internal_api"] == "openblas":
            return str(library["architecture"])
    return "unknown"
