"""One contract for every adapter, those of strangers included: a name becomes a network that maps photos to vectors."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from handmade import installed, onnx_file

import backbones
from backbones.adapters import Backbone, backbone_names, build_backbone
from backbones.adapters.contract import parse_size
from backbones.adapters.convnext_arcface import NETWORKS as CONVNEXT
from backbones.adapters.effnet_dolg import NETWORKS as EFFNET
from backbones.testing import AdapterContract
from backbones.vision import load
from cv import FinblendError


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory.mktemp("wheel"), "tinynet")


def refusal(name: str, size: tuple[int, int] | None = None) -> str:
    with pytest.raises(FinblendError) as caught:
        build_backbone(name, size)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestTimm(AdapterContract):
    name = "timm:test_efficientnet"


class TestTimmOfItsOwnSize(AdapterContract):
    name = "timm:test_efficientnet"
    size = None

    def test_size_and_normalisation_are_those_of_its_weights(self, backbone: Backbone) -> None:
        facts = load("timm").get_pretrained_cfg("test_efficientnet")
        assert (3, backbone.height, backbone.width) == facts.input_size
        assert (backbone.mean, backbone.std) == (facts.mean, facts.std)


class TestTimmOfFixedSize(AdapterContract):
    name = "timm:test_vit"

    def test_its_positions_are_made_for_the_size(self) -> None:
        assert build_backbone(self.name, (64, 96)).network.patch_embed.grid_size == (4, 6)

    def test_a_size_that_its_patches_do_not_tile_is_refused(self) -> None:
        assert "65x64" in refusal(self.name, (65, 64))


class TestTimmGem(AdapterContract):
    name = "timm-gem:test_efficientnet"
    idle = ("body.conv_head.", "body.bn2.")

    @torch.no_grad()
    def test_it_is_the_generalised_mean_of_the_last_two_stages(self, backbone: Backbone) -> None:
        photos = self.photos(backbone, 2)
        body = load("timm").create_model("test_efficientnet", features_only=True).eval()
        # timm makes the same layers without the head; the weights are brought over by their names
        body.load_state_dict(backbone.body_module.state_dict(), strict=False)
        pooled = torch.cat([m.clamp_min(1e-6).pow(3).mean((-2, -1)).pow(1 / 3) for m in body(photos)[-2:]], dim=1)
        found = backbone.network.eval()(photos)
        # an untrained batch norm divides by sqrt(1 + eps) alone
        torch.testing.assert_close(found, pooled / (1 + 1e-5) ** 0.5, rtol=1e-3, atol=1e-5)


class TestTimmGemOfTransformer(AdapterContract):
    name = "timm-gem:test_vit"
    idle = ("body.norm.", "body.fc_norm.", "body.attn_pool.")


class TestConvnextArcface(AdapterContract):
    name = "convnext-atto-arcface"
    idle = ("body.head.",)


class TestEffnetDolg(AdapterContract):
    name = "effnet-b0-dolg"
    idle = ("body.conv_head.", "body.bn2.")


class TestOnnx(AdapterContract):
    name = "onnx"

    @pytest.fixture
    def backbone_name(self, tmp_path: Path) -> str:
        return f"onnx:{onnx_file(tmp_path / 'net.onnx', ['b', 3, 'h', 'w'])}"


class TestOnnxOfOnePhoto(AdapterContract):
    name, size, other_size = "onnx", None, None

    @pytest.fixture
    def backbone_name(self, tmp_path: Path) -> str:
        return f"onnx:{onnx_file(tmp_path / 'net.onnx', [1, 3, 40, 24])}"

    def test_the_size_of_the_file_wins(self, backbone_name: str, backbone: Backbone) -> None:
        assert (backbone.height, backbone.width) == (40, 24)
        assert "40x24; --size 64x64 does not fit" in refusal(backbone_name, (64, 64))


@pytest.mark.realdata
class TestOnnxOfRealNetwork(AdapterContract):
    name, size, other_size = "onnx", None, None

    @pytest.fixture
    def backbone_name(self, real_data: Path) -> str:
        return f"onnx:{real_data / 'weights' / 'osnet_x0_25_msmt17.onnx'}"


class TestStranger(AdapterContract):
    name, size = "tiny", None

    @pytest.fixture
    def backbone_name(self, stranger: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        monkeypatch.syspath_prepend(str(stranger))
        return self.name


def test_an_installed_package_adds_a_backbone_in_a_fresh_process(stranger: Path) -> None:
    script = (
        "from backbones.adapters import backbone_names, build_backbone; b = build_backbone('tiny:x', (16, 24));"
        "print('tiny' in backbone_names(), b.height, b.width, b.body, type(b.network).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": str(stranger)}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "16", "24", "trunk", "Tiny"]
    assert "tiny" not in backbone_names()


def test_what_strangers_do_wrong_is_one_line(stranger: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(stranger))
    assert "tinynet:wrong must return a Backbone, got Tiny" in refusal("tiny-bare")
    assert "no_such" in refusal("tiny-lacks")
    assert "tinynet_gone" in refusal("tiny-gone")
    monkeypatch.syspath_prepend(str(installed(tmp_path, "othernet")))
    assert "othernet:build, tinynet:build" in refusal("tiny")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "resnet50",
            "resnet50: no such backbone; did you mean timm:resnet50? docs/networks.md lists them all",
        ),
        ("tf_efficientnet_lite0", "did you mean timm:tf_efficientnet_lite0?"),
        ("tf_eficientnet_lite0", "did you mean timm:tf_efficientnet_lite0 or "),
        ("effnet-b7-dolk", "did you mean effnet-b7-dolg or "),
        ("tim:resnet50", "--backbone tim:resnet50: no such backbone; did you mean timm:resnet50?"),
        ("qqqqqq", "no such backbone; there are convnext-arcface, "),
        ("", "no such backbone; there are convnext-arcface, "),
        ("MiewID", "did you mean miewid or "),
        ("MegaDescriptor-L-384", "did you mean megadescriptor-l-384 or "),
        ("miewid:512", "--backbone miewid:512: takes nothing after a colon; write miewid"),
        ("megadescriptor-l-384:512", "takes nothing after a colon; write megadescriptor-l-384"),
        ("dinov3-small-plus:512", "takes nothing after a colon; write dinov3-small-plus"),
        ("timm", "must be timm:NAME"),
        ("timm-gem:", "must be timm-gem:NAME"),
        ("timm:efficientnet-b0", "no network 'efficientnet-b0'; did you mean efficientnet_b0"),
        ("timm-gem:qqqqqq", "no network 'qqqqqq'"),
        ("timm:resnet18.no_such_weights", "no_such_weights"),
        ("onnx", "must be onnx:FILE"),
        ("onnx:no_such.onnx", "no_such.onnx: no such file"),
    ],
)
def test_wrong_names_are_refused(name: str, told: str) -> None:
    assert told in refusal(name)
    assert told in refusal(name, (64, 64))


def test_onnx_files_that_hold_no_network_of_photos_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no network")
    assert "is no ONNX network" in refusal(f"onnx:{tmp_path / 'text.onnx'}")
    for shape, told in (([3, 64], "must be photos"), (["b", 1, 8, 8], "must be photos"), ([4, 3, 8, 8], "fixed at 4")):
        op = "GlobalAveragePool" if len(shape) == 4 else "Relu"
        assert told in refusal(f"onnx:{onnx_file(tmp_path / 'net.onnx', shape, op)}")


def test_an_onnx_network_that_does_not_run_is_refused_by_its_file(tmp_path: Path) -> None:
    backbone = build_backbone(f"onnx:{onnx_file(tmp_path / 'net.onnx', ['b', 3, 'h', 'w'])}")
    with pytest.raises(FinblendError, match=r"net\.onnx: does not run") as caught:
        backbone.network(torch.zeros(2, 4, 8, 8)[:, :, 0])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "x", "64x", "64x64x3", "-64", "6.4", "64 x 64", "7", "4097", "64x5000"])
def test_wrong_sizes_are_refused(text: str) -> None:
    with pytest.raises(FinblendError, match=r"^(--size must be N or HEIGHTxWIDTH|8 <= size <= 4096)"):
        parse_size(text)


def test_the_size_goes_height_first() -> None:
    assert (parse_size("64X96"), parse_size("8"), parse_size(None)) == ((64, 96), (8, 8), None)


def test_every_size_on_offer_is_a_network_of_timm_with_weights() -> None:
    timm, names = load("timm"), set(backbone_names())
    offered = {f"effnet-{size}-dolg": inner for size, inner in EFFNET.items()}
    offered |= {f"convnext-{size}-arcface": inner for size, inner in CONVNEXT.items()}
    told = {name for name in names if name.startswith(("effnet-", "convnext-"))}
    assert told == {*offered, "convnext-arcface"}
    for inner in offered.values():
        facts = timm.get_pretrained_cfg(inner)
        assert timm.is_model(inner)
        assert facts.has_weights, inner
    # as published: B7 looks at 600 pixels
    assert timm.get_pretrained_cfg(EFFNET["b7"]).input_size == (3, 600, 600)


def test_the_contract_alone_asks_for_pytest() -> None:
    root = Path(backbones.__file__).parents[1]
    files = [file for room in ("backbones", "cv", "ensemble", "postproc") for file in (root / room).rglob("*.py")]
    asking = {
        file.relative_to(root).as_posix()
        for file in files
        if re.search(r"^\s*(import|from) (pytest|\w+\.testing)\b", file.read_text(), re.MULTILINE)
    }
    assert asking
    assert {name.split("/")[1] for name in asking} == {"testing"}, asking


def test_what_is_not_installed_is_refused_with_the_way_out() -> None:
    with pytest.raises(FinblendError, match=r"no_such_package is needed.*pip install 'finblend\[backbones\]'"):
        load("no_such_package.part")
    assert load("torchvision.transforms").Normalize
