"""The stated budget holds: resident memory of a process of its own, while it searches."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

# what allocators and libraries keep for themselves
_MARGIN = 24

PROGRAM = """
import sys
import numpy as np
from postproc import Space, top_k

backend, memory_mb, case = sys.argv[1], int(sys.argv[2]), sys.argv[3]
rng = np.random.default_rng(0)
n, width, k = 30_000, 64, 100
# as few queries as show it: candidates of all of them, held at once, or a tile as wide as the gallery exceed the bound
asked = {"any": 8_000 if memory_mb < 64 else 16_000, "equal": 2_000, "k": 100, "classes": 14_000}[case]
gallery = rng.standard_normal((n, width), dtype=np.float32)
if case == "equal":
    gallery[:] = gallery[0]
query, kwargs = gallery[:asked], {}
if case == "k":
    k = 20_000
if case == "classes":
    kwargs = {"query_class": np.arange(asked) % 7, "gallery_class": np.arange(n) % 7}
def status(field):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024
few = slice(0, 300)
for some in (gallery, gallery[few]):
    top_k(Space(((query[:40],),), ((some,),)), min(k, 500), backend=backend, memory_mb=8)
with open("/proc/self/clear_refs", "w") as reset:
    reset.write("5")
before = status("VmRSS:")
near = top_k(Space(((query,),), ((gallery,),)), k, backend=backend, memory_mb=memory_mb, **kwargs)
answer = (near.index.nbytes + near.similarity.nbytes) / 2**20
print(status("VmHWM:") - before - answer)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks of memory are read from Linux's /proc")
@pytest.mark.parametrize("backend", ["float32", "bfloat16"])
@pytest.mark.parametrize(("case", "memory_mb"), [("any", 16), ("any", 64), ("equal", 16), ("k", 16), ("classes", 16)])
def test_memory_stays_within_the_budget(tmp_path: Path, backend: str, case: str, memory_mb: int) -> None:
    if backend == "bfloat16" and importlib.util.find_spec("torch") is None:
        pytest.skip("no torch")
    command = [sys.executable, "-c", PROGRAM, backend, str(memory_mb), case]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < memory_mb + _MARGIN
