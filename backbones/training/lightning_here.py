"""Lightning, importable here: it imports torchvision, which may need help beside this torch (`backbones.vision`)."""

from backbones.vision import load

load("lightning")

from lightning import Callback, LightningModule, Trainer  # noqa: E402
from lightning.fabric.utilities.exceptions import MisconfigurationException  # noqa: E402
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint  # noqa: E402

__all__ = [
    "Callback",
    "EMAWeightAveraging",
    "LightningModule",
    "MisconfigurationException",
    "ModelCheckpoint",
    "Trainer",
]
