"""How large photos are, in full and upright: read once, as small as they can be decoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch.utils.data import DataLoader, Dataset

from backbones.photos.decode import decode
from backbones.workers import end_with_run

_AT_ONCE = 16
# height and width or None, and what is wrong with the photo
Sized = tuple[tuple[int, int] | None, str]


@dataclass(frozen=True)
class _Sizes(Dataset[Sized]):
    files: Sequence[str]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> Sized:
        decoded = decode(Path(self.files[row]), lambda width, height: 8)
        return (None if decoded.image is None else (decoded.height, decoded.width)), decoded.note


def sizes_of(files: Sequence[str], workers: int, progress: Callable[[int, int], None] | None = None) -> list[Sized]:
    """Height and width of each photo, and what is wrong with it; None where it cannot be read.

    Parameters
    ----------
    files : sequence of str
    workers : int
        Decoding processes; 0: in this one.
    progress : callable, optional
        Gets the number of photos just read and of all.
    """
    loader = DataLoader(
        _Sizes(files),
        batch_size=_AT_ONCE,
        num_workers=min(workers, -(-len(files) // _AT_ONCE)),
        worker_init_fn=end_with_run,
        collate_fn=list,
    )
    sizes: list[Sized] = []
    for some in loader:
        sizes += some
        if progress is not None:
            progress(len(some), len(files))
    return sizes
