"""Which back end multiplies: numpy in float32, or torch in bfloat16 on the processor or, where asked for, on a GPU.

torch is imported when a search is big enough to pay for it, or a GPU is asked for, never before.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from llvmlite import binding  # type: ignore[import-untyped]

from cv.errors import FinblendError
from postproc.neighbours.screen_base import Products
from postproc.neighbours.screen_cpu import BFloat16, Float32
from postproc.neighbours.screen_gpu import OnDevice

BACKENDS = ("auto", "bfloat16", "float32")
DEVICES = ("cpu", "cuda")
# the environment variable that names one of them; the default is the processor, for on a GPU this has not run yet
DEVICE = "FINBLEND_DEVICE"
# multiplications from which bfloat16 pays: importing torch takes seconds, rounding and calling it milliseconds
_WORTH_IMPORTING = 5e11
_WORTH_ROUNDING = 2e9
_FAST_FLAGS = ("avx512bf16", "amx-bf16")


def choose(backend: str, multiplications: float) -> Products:
    """The back end by name.

    Parameters
    ----------
    backend : {"auto", "bfloat16", "float32"}
    multiplications : float
        Size of the work: "auto" takes bfloat16 where the hardware has it and the work is worth importing torch.

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
        return Float32()
    # whoever asks for a GPU is told that there is none, however small the work
    gpu = _gpu() if device == "cuda" else None
    needed = _WORTH_ROUNDING if "torch" in sys.modules else _WORTH_IMPORTING
    if backend == "auto" and multiplications < needed:
        return Float32()
    if gpu is not None:
        return gpu
    try:
        import torch
    except (ImportError, OSError) as error:
        if backend == "auto":
            return Float32()
        raise _needs_torch("backend 'bfloat16'", error) from None
    features = binding.get_host_cpu_features()
    fast = any(features.get(flag, False) for flag in _FAST_FLAGS)
    return BFloat16(torch) if fast or backend == "bfloat16" else Float32()


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
