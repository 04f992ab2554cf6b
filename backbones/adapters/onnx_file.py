"""`onnx:FILE`: a network that somebody exported; it runs on the CPU by onnxruntime and cannot be trained here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from backbones.adapters.contract import Backbone
from backbones.adapters.timm_networks import argument_of
from cv.errors import FinblendError
from cv.files import refuse_no_file, sha256_of

DEFAULT_SIZE = (224, 224)


class OnnxNetwork(nn.Module):
    """Maps photos (B, 3, H, W) to the file's first output, flattened to (B, D)."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.session = _session(path)
        self.path = path
        # part of the state, so that the hash of the weights tells one file from another
        self.register_buffer("file_sha256", torch.frombuffer(bytearray.fromhex(sha256_of(path)), dtype=torch.uint8))

    @property
    def input_shape(self) -> list[Any]:
        """Shape of the file's input; text where a side is free."""
        return list(self.session.get_inputs()[0].shape)

    def forward(self, photos: Tensor) -> Tensor:
        """Embed a batch; files made for one photo at a time get one at a time."""
        name = self.session.get_inputs()[0].name
        batch = photos.detach().float().cpu().contiguous()
        step = self.input_shape[0] if isinstance(self.input_shape[0], int) else len(batch)
        try:
            parts = [self.session.run(None, {name: part.numpy()})[0] for part in torch.split(batch, max(1, step))]
        except Exception as error:  # onnxruntime's errors share no public base
            raise FinblendError(f"{self.path}: does not run ({str(error).strip().splitlines()[0]})") from None
        return torch.cat([torch.from_numpy(part).flatten(1) for part in parts]).to(photos.device)


def build(name: str, size: tuple[int, int] | None) -> Backbone:
    """Build `onnx:FILE`, normalised as ImageNet is; a fixed input size of the file wins."""
    path = Path(argument_of(name, "FILE"))
    refuse_no_file(path)
    network = OnnxNetwork(path)
    shape = network.input_shape
    if len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3):
        raise FinblendError(f"{path}: its input must be photos (B, 3, H, W), but it is {shape}")
    if isinstance(shape[0], int) and shape[0] != 1:
        raise FinblendError(f"{path}: its batch is fixed at {shape[0]}; export it with a free batch, or with 1")
    fixed = [side if isinstance(side, int) else None for side in shape[2:]]
    wanted = size or DEFAULT_SIZE
    height, width = (side or want for side, want in zip(fixed, wanted, strict=True))
    if size is not None and size != (height, width):
        raise FinblendError(f"{path}: its input is {height}x{width}; --size {size[0]}x{size[1]} does not fit")
    return Backbone(network, height, width)


def _session(path: Path) -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise FinblendError("onnxruntime is needed for onnx: networks; pip install 'finblend[onnx]'") from None
    try:
        return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no public base
        raise FinblendError(f"{path}: is no ONNX network ({str(error).strip().splitlines()[0]})") from None
