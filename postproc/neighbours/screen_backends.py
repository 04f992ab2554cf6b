"""Which back end multiplies: numpy in float32, or torch in bfloat16 or int8 on the processor, or in bfloat16 on a GPU.

torch is imported when a search is big enough to pay for it, or a GPU is asked for, never before.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import Any

from llvmlite import binding  # type: ignore[import-untyped]

from cv.errors import FinblendError
from postproc.neighbours.screen_base import Products
from postproc.neighbours.screen_cpu import BFloat16, Float32, Int8
from postproc.neighbours.screen_gpu import OnDevice

BACKENDS = ("auto", "int8", "bfloat16", "float32")
DEVICES = ("cpu", "cuda")
# the environment variable that names one of them; the default is the processor, for on a GPU this has not run yet
DEVICE = "FINBLEND_DEVICE"
# multiplications from which bfloat16 pays: importing torch takes seconds, rounding and calling it milliseconds
_WORTH_IMPORTING = 5e11
_WORTH_ROUNDING = 2e9
# and from which it pays to measure which is faster
_WORTH_MEASURING = 2e11
_FAST_FLAGS = ("avx512bf16", "amx-bf16")
# without these, products of 8 bits are summed in 16, which can overflow
_EXACT_FLAGS = ("avx512vnni", "avxvnni", "amx-int8")


def choose(backend: str, multiplications: float) -> list[Products]:
    """The back ends by name.

    Parameters
    ----------
    backend : {"auto", "int8", "bfloat16", "float32"}
    multiplications : float
        Size of the work: "auto" thinks of torch where the hardware is fast at it and the work is worth importing it.

    Returns
    -------
    list of Products
        One, or those among which measuring decides (`postproc.neighbours.choice`).

    Raises
    ------
    FinblendError
        If there is no such back end or device, or what it needs is missing.
    """
    if backend not in BACKENDS:
        raise FinblendError(f"backend must be one of {', '.join(BACKENDS)}, but got {backend!r}")
    device = os.environ.get(DEVICE) or "cpu"
    if device not in DEVICES:
        raise FinblendError(f"{DEVICE} must be {' or '.join(DEVICES)}, but got {DEVICE}={device}")
    if backend == "float32":
        return [Float32()]
    # whoever asks for a GPU is told that there is none, however small the work
    gpu = _gpu() if device == "cuda" else None
    needed = _WORTH_ROUNDING if "torch" in sys.modules else _WORTH_IMPORTING
    if backend == "auto" and multiplications < needed:
        return [Float32()]
    if gpu is not None:
        return [gpu]
    try:
        import torch
    except (ImportError, OSError) as error:
        if backend == "auto":
            return [Float32()]
        raise _needs_torch(f"backend {backend!r}", error) from None
    is_fast, is_exact = _has(_FAST_FLAGS), _has(_EXACT_FLAGS) and _is_exact(torch)
    if backend == "bfloat16":
        return [BFloat16(torch)]
    if backend == "int8":
        if not is_exact:
            raise FinblendError("backend 'int8' needs a processor with VNNI or AMX: use 'bfloat16' or 'float32'")
        return [Int8(torch)]
    found: list[Products] = [BFloat16(torch) if is_fast else Float32()]
    return found + [Int8(torch)] * (is_exact and multiplications >= _WORTH_MEASURING)


def _has(flags: tuple[str, ...]) -> bool:
    features = binding.get_host_cpu_features()
    return any(features.get(flag, False) for flag in flags)


@cache
def _is_exact(torch: Any) -> bool:
    """Whether sums of the largest products are right: a library may have been told to do without the instructions."""
    if not hasattr(torch, "_int_mm"):
        return False
    largest = torch.full((32, 256), 127, dtype=torch.int8)
    left = torch.cat([largest, -largest])
    return bool((torch._int_mm(left, left.T) == left.int() @ left.int().T).all())


def _gpu() -> OnDevice:
    try:
        import torch
    except (ImportError, OSError) as error:
        raise _needs_torch(f"{DEVICE}=cuda", error) from None
    if not torch.cuda.is_available():
        raise FinblendError(f"{DEVICE}=cuda: torch {torch.__version__} finds no GPU here; without it the CPU screens")
    return OnDevice(torch, "cuda")


def _needs_torch(what: str, error: Any) -> FinblendError:
    return FinblendError(f"{what} needs torch: pip install 'finblend[backbones]' ({error})")
