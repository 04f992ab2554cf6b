"""A small real catalogue whose embeddings come in six layouts: the project that an ordinary user makes of it."""

from __future__ import annotations

from pathlib import Path

import ensemble

# per model: embeddings of train and test, names of train and test where the files hold none
LAYOUTS: dict[str, tuple[str, str, str | None, str | None]] = {
    "lite0": ("lite0.npz", "lite0.npz", None, None),
    "augnet": ("augnet_train_results.npz", "augnet_test_results.npz", None, None),
    "mobilenetv2": (
        "mobilenetv2_train_*.npy",
        "mobilenetv2_test_*.npy",
        "mobilenetv2_train_names.txt",
        "mobilenetv2_test_names.txt",
    ),
    "thinresnet": ("thinresnet_train.parquet", "thinresnet_test.parquet", None, None),
    "osnet": ("osnet_train.csv", "osnet_test.csv", None, None),
    "lite2": (
        "lite2.safetensors:train",
        "lite2.safetensors:test",
        "lite2_names.json:train",
        "lite2_names.json:test",
    ),
}


def photoid_project(data: Path, folder: Path) -> Path:
    """Make the project, with its encounters, unless it is there."""
    if folder.exists():
        return folder
    ensemble.init(
        folder,
        train=data / "train.csv",
        test=data / "sample_submission.csv",
        folds=5,
        encounters=f"{data / 'encounters.csv'}:encounter",
    )
    made = data / "embeddings"
    for name, parts in LAYOUTS.items():
        train, test, train_names, test_names = (part and str(made / part) for part in parts)
        ensemble.register(
            folder, name, frozen=True, train=train, test=test, train_names=train_names, test_names=test_names
        )
    return folder
