"""Import timm and torchvision beside a CPU build of torch.

A CPU build of torch with the torchvision of the package index (which carries CUDA operators) is a common mix: its
compiled operators cannot load, and `import torchvision` stops at two operators that torch does not know. Declaring
those two schemas lets the import pass. Behind one of them, `nms`, which detectors end with, stands an implementation in
plain torch (`backbones.nms`), for CPU and CUDA; the other one, of quantised boxes, is never called here.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

from cv.extras import install_line, load_extra

# what torchvision registers shape functions for while it is imported
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
INSTALL = install_line("backbones")


@cache
def _declared() -> Any:
    """The library object that holds the declarations; they live as long as it does."""
    import torch

    try:
        load_extra("torchvision", "backbones")
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for schema in _SCHEMAS:
            library.define(schema)  # type: ignore[no-untyped-call]
        _stand_in(library)
        return library
    return None


def _stand_in(library: Any) -> None:
    """Put plain torch behind the operator `torchvision::nms`, and let torchvision's own functions call it."""
    from backbones.nms import nms

    for device in ("CPU", "CUDA"):
        library.impl("nms", nms, device)
    # `torchvision.ops.nms` and `batched_nms` ask first whether the compiled operators are there; of all functions that
    # ask, only those of this module are answered so: the others' operators are still missing
    vars(import_module("torchvision.ops.boxes"))["_assert_has_ops"] = lambda: None


def load(name: str, extra: str = "backbones") -> Any:
    """Import `timm`, `torchvision`, `lightning` or a module beside them, or refuse with the line that installs it.

    Parameters
    ----------
    name : str
        The module's dotted name.
    extra : str
        What brings it. What needs no torch is loaded by `cv.extras.load_extra`, without torchvision's declarations.

    Raises
    ------
    FinblendError
        If it is not installed.
    """
    load_extra("torch", extra)
    _declared()
    return load_extra(name, extra)
