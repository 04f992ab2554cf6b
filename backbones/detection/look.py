"""A detector looks at whole photos, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import DataLoader

from backbones.detection.measure import FoundOn
from backbones.detection.network import Detector, Found
from backbones.detection.photos import Whole, WholePhotos
from backbones.workers import end_with_run

NOTHING = FoundOn(np.zeros((0, 4)), np.zeros(0), np.zeros(0, dtype=np.int64))


def look(
    detector: Detector, files: Sequence[str], batches: Sequence[Sequence[int]], workers: int
) -> Iterator[list[tuple[FoundOn, Whole]]]:
    """Yield what is found on each photo of each batch, in the photo's pixels, the best first.

    Parameters
    ----------
    detector : Detector
    files : sequence of str
    batches : sequence of sequences of int
        Rows of `files`.
    workers : int
        Decoding processes; 0: in this one.
    """
    frame = (detector.backbone.height, detector.backbone.width)
    loader = DataLoader(
        WholePhotos(files, frame),
        batch_sampler=[list(batch) for batch in batches],
        num_workers=min(workers, len(batches)),
        worker_init_fn=end_with_run,
        collate_fn=list,
    )
    for photos in loader:
        found = detector(torch.from_numpy(np.stack([photo.pixels for photo in photos])))
        yield [(_on_photo(each, photo), photo) for each, photo in zip(found, photos, strict=True)]


def _on_photo(found: Found, photo: Whole) -> FoundOn:
    """Boxes of the frame in the photo's pixels, cut at its edges."""
    if photo.failed:
        return NOTHING
    height, width = photo.size
    boxes = photo.view.to_photo(found.boxes.numpy()).clip(0, [width, height] * 2)
    return FoundOn(boxes, found.scores.numpy().astype(np.float64), found.classes.numpy())
