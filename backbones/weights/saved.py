"""Files of weights: safetensors and checkpoints, read without unpickling; finblend's own say what they have seen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cv.errors import FinblendError
from cv.files import beginning_of, refuse_no_file, written_beside

NETWORK_FILE = "network.safetensors"
HEADS_FILE = "heads.safetensors"
# what weights are called in a repository of the hub, and so in a copy of one
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
_KEY = "finblend"
# where checkpoints keep the state dict, the averaged weights first
_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model", "network")
_PREFIXES = ("module.", "_orig_mod.")


@dataclass(frozen=True)
class Origin:
    """What a network that finblend trained says of itself, kept in the header of its file.

    Attributes
    ----------
    backbone : str
        Its `--backbone`.
    height, width : int
        Size that photos were shown at.
    resize : str
    mean, std : str
        Its normalisation: three numbers with spaces between.
    seen : str
        `str(Seen)`: what it was trained as.
    run : str
        Hash of all that decided the training.
    labels : str
        Short hashes of every labelled photo that it, or a network it started from, was trained on, with spaces between;
        see `label_marks`.
    """

    backbone: str
    height: int
    width: int
    resize: str
    mean: str
    std: str
    seen: str
    run: str
    labels: str

    @property
    def normalisation(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Mean and std."""
        (m1, m2, m3), (s1, s2, s3) = (map(float, text.split()) for text in (self.mean, self.std))
        return (m1, m2, m3), (s1, s2, s3)


IMAGE_DIGITS = 12


def label_marks(images: Iterable[str], individuals: Iterable[str]) -> list[str]:
    """Short hash of each photo's name, then of its name with its label: 48 bits each, which give nothing away.

    Examples
    --------
    >>> one, renamed = label_marks(["a.jpg", "a.jpg"], ["rosa", "luna"])
    >>> one[:IMAGE_DIGITS] == renamed[:IMAGE_DIGITS], one == renamed
    (True, False)
    """
    return [
        "".join(hashlib.sha256(text.encode()).hexdigest()[:IMAGE_DIGITS] for text in (image, f"{image}\n{individual}"))
        for image, individual in zip(images, individuals, strict=True)
    ]


def save_network(path: Path, network: nn.Module, origin: Origin) -> None:
    """Write a network's weights as safetensors, beside and renamed."""
    from safetensors.torch import save_file

    # ties and views would be refused; a copy of each tensor is what is wanted
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.state_dict().items()}
    with written_beside(path) as temporary:
        save_file(state, str(temporary), metadata={_KEY: json.dumps(asdict(origin), sort_keys=True)})


def read_state(path: Path) -> tuple[dict[str, Tensor], Origin | None]:
    """Read a state dict and, where finblend wrote it, its origin.

    Parameters
    ----------
    path : Path
        `.safetensors`, or a checkpoint of torch (`.pth`, `.pt`, `.bin`, `.ckpt`, `.tar`), or a folder of a finblend
        training run, or a copy of a repository of the hub.

    Raises
    ------
    FinblendError
        If it cannot be read, holds no tensors, or could only be read by unpickling.
    """
    path = file_of(path)
    state, origin = _from_safetensors(path) if path.suffix == ".safetensors" else (_from_checkpoint(path), None)
    if not state:
        raise FinblendError(f"{path}: holds no tensors")
    return state, origin


def read_origin(path: Path) -> Origin | None:
    """What weights say of themselves, from the header alone; None where finblend did not write them."""
    path = file_of(path)
    return _from_safetensors(path, tensors=False)[1] if path.suffix == ".safetensors" else None


def file_of(path: Path) -> Path:
    """The file itself, or that of a finished training run or of a copy of a repository of the hub."""
    if path.is_dir():
        inside = next((path / name for name in (NETWORK_FILE, *HUB_FILES) if (path / name).is_file()), None)
        if inside is None:
            runs = sorted(each.parent.name for each in path.glob(f"*/{NETWORK_FILE}"))
            hint = f"; choose one of {', '.join(runs)} in it" if runs else ""
            names = f"{NETWORK_FILE}, {HUB_FILES[0]} or {HUB_FILES[1]}"
            raise FinblendError(f"{path}: is no finished training run (it holds no {names}){hint}")
        path = inside
    refuse_no_file(path)
    return path


def _from_safetensors(path: Path, tensors: bool = True) -> tuple[dict[str, Tensor], Origin | None]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys() if tensors}  # noqa: SIM118 - not a mapping
            header = (file.metadata() or {}).get(_KEY)
    except (SafetensorError, OSError) as error:
        raise FinblendError(f"{path}: cannot be read as safetensors ({error})") from None
    return state, None if header is None else _origin(header, path)


def _origin(text: str, path: Path) -> Origin:
    try:
        value = json.loads(text)
        values = {field.name: value[field.name] for field in fields(Origin)}
        for field in fields(Origin):
            if type(values[field.name]).__name__ != field.type:
                raise TypeError(f"{field.name} must be {field.type}, but is {values[field.name]!r}")
        origin = Origin(**values)
        _ = origin.normalisation
        return origin
    except (ValueError, KeyError, TypeError) as error:
        raise FinblendError(f"{path}: says that finblend wrote it, but its header is broken ({error})") from None


def _from_checkpoint(path: Path) -> dict[str, Tensor]:
    try:
        value = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises RuntimeError, UnpicklingError, EOFError, ... of its own mood
        kind = _kind_of(path)
        if kind is None:
            reason = f"it is neither a checkpoint of torch nor safetensors{beginning_of(path)}"
            raise FinblendError(f"{path}: cannot be read as weights: {reason}") from None
        if kind == "safetensors":
            raise FinblendError(f"{path}: is a safetensors file under another name; call it .safetensors") from None
        # torch's own words advise to unpickle
        raise FinblendError(
            f"{path}: cannot be read without unpickling ({type(error).__name__}); save its state_dict as safetensors"
        ) from None
    return _tensors(value)


def _kind_of(path: Path) -> str | None:
    """What a file is by its beginning; torch has written zips, pickles and tar archives."""
    with path.open("rb") as file:
        first = file.read(262)
    if first.startswith((b"PK", b"\x80")) or first[257:] == b"ustar":
        return "torch"
    # the length of the header, as eight bytes that hold no letters, then its JSON
    return "safetensors" if first[8:9] == b"{" and first[5:8] == b"\0\0\0" else None


def _tensors(value: Any) -> dict[str, Tensor]:
    if not isinstance(value, Mapping):
        return {}
    for wrapper in _WRAPPERS:
        if isinstance(value.get(wrapper), Mapping):
            return _tensors(value[wrapper])
    state = {str(name): tensor for name, tensor in value.items() if isinstance(tensor, Tensor)}
    for prefix in _PREFIXES:
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state
