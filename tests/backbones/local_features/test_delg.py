"""`delg:RUN` by the contract, where its features lie, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbones.local_features import build_local
from backbones.testing import LocalFeatureContract
from cv.errors import FinblendError

torch = pytest.importorskip("torch", reason="needs torch")


def make_run(folder: Path, local: bool = True) -> Path:
    """The folder of a run as training leaves it, without the training."""
    from safetensors.torch import save_file

    from backbones.adapters import build_backbone
    from backbones.layers import DelgTraining
    from backbones.weights import Origin, save_network

    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_backbone("timm:test_efficientnet", (64, 64)).network
        training = DelgTraining(48, 5)
    folder.mkdir()
    half = "0.5 0.5 0.5"
    origin = Origin("timm:test_efficientnet", 64, 64, "squash", half, half, "fold-0", "run", "")
    save_network(folder / "network.safetensors", network, origin)
    heads = {f"local.{name}": value for name, value in training.state_dict().items()}
    save_file(heads if local else {"individuals.weight": torch.ones(2, 2)}, str(folder / "heads.safetensors"))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("delg") / "run")


class TestDelg(LocalFeatureContract):
    @pytest.fixture
    def local_name(self, run: Path) -> str:
        return f"delg:{run}"


def test_every_position_of_every_size_is_a_feature_at_its_place(run: Path) -> None:
    """A photo twice as wide as it is high: 64 x 64 pixels become 96 x 48, and so on."""
    extractor = build_local(f"delg:{run}", 1000)
    features = extractor.extract(TestDelg().photo(100, 200))
    keypoints, sizes = features.keypoints, [(48, 32), (64, 32), (96, 48), (128, 64), (176, 96)]
    shown = Image.new("RGB", (200, 100))
    assert [extractor._size(shown, scale) for scale in extractor.scales] == sizes  # type: ignore[attr-defined]
    assert len(features) == sum(width * height // 256 for width, height in sizes)
    for width, height in sizes:
        scale = 16 * (200 / width * 100 / height) ** 0.5
        places = keypoints[np.isclose(keypoints[:, 2], scale)]
        x, y = (
            (16 * np.arange(pixels // 16) + extractor.centre + 0.5) * side / pixels - 0.5  # type: ignore[attr-defined]
            for pixels, side in ((width, 200), (height, 100))
        )
        wanted = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        order, found = np.lexsort(wanted.T), np.lexsort(places[:, :2].T.round(3))
        np.testing.assert_allclose(places[found, :2], wanted[order], atol=1e-3)
    assert (keypoints[:, 3] == -1).all()
    assert extractor.width == 40


def refusal(name: str) -> str:
    with pytest.raises(FinblendError) as caught:
        build_local(name, 10)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("argument", ["", ":", ":tf_efficientnet_lite0", ":timm:tf_efficientnet_lite0", ":/nowhere"])
def test_attention_that_nobody_trained_is_refused_with_how_to(argument: str) -> None:
    told = refusal(f"delg{argument}")
    assert told.startswith(f"--features delg{argument}: must be delg:RUN, a finished training run; attention is learnt")
    assert "finblend train P MODEL --backbone NETWORK --images DIR --local" in told


def test_runs_without_a_head_and_broken_ones_are_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", local=False)
    assert refusal(f"delg:{run}").startswith(f"--features delg:{run}: was trained without --local")
    (run / "heads.safetensors").write_bytes(b"no heads")
    assert refusal(f"delg:{run}").startswith(f"{run / 'heads.safetensors'}: cannot be read as heads")
