"""`.safetensors` files: arrays without names."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cv.errors import FinblendError


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Read every tensor of a safetensors file as a numpy array; bfloat16 is widened to float32."""
    from safetensors import SafetensorError, deserialize

    kinds = {
        "F64": "<f8",
        "F32": "<f4",
        "F16": "<f2",
        "I64": "<i8",
        "I32": "<i4",
        "I16": "<i2",
        "I8": "<i1",
        "U8": "<u1",
    }
    arrays: dict[str, np.ndarray] = {}
    try:
        for name, tensor in deserialize(path.read_bytes()):  # type: ignore[no-untyped-call]
            if tensor["dtype"] == "BF16":
                wide = np.frombuffer(tensor["data"], dtype="<u2").astype(np.uint32) << 16
                arrays[name] = wide.view(np.float32).reshape(tensor["shape"])
            elif tensor["dtype"] in kinds:
                arrays[name] = np.frombuffer(tensor["data"], dtype=kinds[tensor["dtype"]]).reshape(tensor["shape"])
    except (OSError, SafetensorError) as error:
        raise FinblendError(f"{path}: cannot be read as safetensors ({error})") from None
    return arrays
