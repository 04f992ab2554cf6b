"""Files made by hand, byte for byte: an ONNX network, and a package that adds backbones."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

MODULE = """
import torch
from backbones.adapters import Backbone

class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = torch.nn.Conv2d(3, 5, 3)
        self.neck = torch.nn.Linear(5, 4)

    def forward(self, photos):
        return self.neck(torch.relu(self.trunk(photos)).mean((-2, -1)))

def build(name, size):
    return Backbone(Tiny(), *(size or (32, 48)), body="trunk")

def wrong(name, size):
    return Tiny()
"""
DOORS = """[finblend.backbones]
tiny = NAME:build
tiny-bare = NAME:wrong
tiny-lacks = NAME:no_such
tiny-gone = NAME_gone:build
"""


def field(number: int, value: int | str | bytes) -> bytes:
    """One field of a protobuf: a number as varint (< 128 here), text and messages with their length before them."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    raw = value.encode() if isinstance(value, str) else value
    return bytes([number << 3 | 2, len(raw)]) + raw


def onnx_file(path: Path, shape: list[int | str], op: str = "GlobalAveragePool") -> Path:
    """An ONNX network by hand (onnx.proto3): (B, 3, H, W) is pooled to (B, 3, 1, 1)."""

    def value(name: str, dims: list[int | str]) -> bytes:
        sides = b"".join(field(1, field(1 if isinstance(dim, int) else 2, dim)) for dim in dims)
        return field(1, name) + field(2, field(1, field(1, 1) + field(2, sides)))

    node = field(1, "photos") + field(2, "pooled") + field(4, op)
    graph = field(1, node) + field(2, "g") + field(11, value("photos", shape)) + field(12, value("pooled", ["n"] * 4))
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13)))
    return path


def installed(folder: Path, package: str) -> Path:
    """Build a wheel by hand and install it with pip into a folder of its own."""
    wheel, info = folder / f"{package}-1.0-py3-none-any.whl", f"{package}-1.0.dist-info"
    files = {
        f"{package}.py": MODULE,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": DOORS.replace("NAME", package),
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--target", str(folder / package), str(wheel)], check=True)
    return folder / package
