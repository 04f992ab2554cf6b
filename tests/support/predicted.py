"""Networks whose heads say who they think is on a photo: logits beside embeddings, and class orders in files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from small import Small

from backbones.embeddings import Embeddings
from ensemble import register


def registered(
    folder: Path, small: Small, order: Path | None, name: str = "m", noise: int = 0, **seen: int
) -> list[str]:
    """A model, frozen by default, with two logits a photo: the right individual's and id00's."""
    names = sorted(set(small.individuals))
    right = np.array([names.index(i) for i in small.individuals])
    told = np.array([small.answers[n] if small.answers[n] < len(names) else 1 for n in range(12)])
    made = {}
    for split, images, who, array in (
        ("train", small.train_images, right, small.noisy(noise or len(name), 1.0)[0]),
        ("test", small.test_images, told, small.noisy(noise or len(name), 1.0)[1]),
    ):
        other = np.where(who == 0, 1, 0)
        pairs = {
            "pred_idx": np.stack([who, other], axis=1).astype(np.int32),
            "pred_logit": np.tile(np.array([0.9, 0.2], dtype=np.float32), (len(who), 1)),
        }
        made[split] = Embeddings({"orig": array}, images, predictions=pairs)
    return list(register(folder, name, labels=order, **(seen or {"frozen": True}), **made)["warnings"])


def order_file(folder: Path, suffix: str, names: list[str]) -> Path:
    """A class order in one of its three forms."""
    path = folder / f"order{suffix}"
    path.write_text(
        {".json": json.dumps(names), ".txt": "\n".join(names), ".csv": "\n".join(["individual_id", *names])}[suffix]
    )
    return path
