"""The contract of extractors: a name becomes something that finds the marks of photos."""

from __future__ import annotations

import numpy as np
import pytest

from backbones.local_features import LocalExtractor, LocalFeatures, build_local
from cv.errors import FinblendError

# of the keypoints of a turned photo, so many must be where those of the photo are
_FOUND_AGAIN = 0.8


class LocalFeatureContract:
    """Subclass it with the name of an extractor, and pytest checks every rule on it.

    Attributes
    ----------
    name : str
        What stands behind `--features`; where it is known only in a test's folder, override the fixture `local_name`.
    keypoints : int
        Features that it is built for; fewer than it finds on `photo`.
    turns : bool
        It finds the same places on a photo that is turned by 90 degrees or mirrored.
    tolerance : float
        In pixels, for those places.

    Examples
    --------
    >>> class TestSift(LocalFeatureContract):
    ...     name = "sift"
    """

    name: str
    keypoints: int = 60
    turns: bool = False
    tolerance: float = 1.0

    @pytest.fixture
    def local_name(self) -> str:
        """What stands behind `--features`."""
        return self.name

    @pytest.fixture
    def extractor(self, local_name: str) -> LocalExtractor:
        """Built for `keypoints`."""
        return build_local(local_name, self.keypoints)

    def photo(self, height: int = 120, width: int = 160) -> np.ndarray:
        """Draw a photo of spots in colours: (height, width, 3) uint8."""
        rng = np.random.default_rng(1)
        y, x = np.mgrid[:height, :width]
        out = np.full((height, width, 3), 128.0)
        for _ in range(150):
            across, down, size = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(1.5, 6)
            spot = np.exp(-((x - across) ** 2 + (y - down) ** 2) / (2 * size**2))
            out += spot[:, :, None] * rng.uniform(-120, 120, 3)
        return out.clip(0, 255).astype(np.uint8)

    def check(self, features: LocalFeatures, height: int, width: int, extractor: LocalExtractor) -> None:
        """Every rule on the features of one photo."""
        assert isinstance(features, LocalFeatures)
        assert features.width == extractor.width
        assert len(features) <= self.keypoints
        places, scales, angles = features.keypoints[:, :2], features.keypoints[:, 2], features.keypoints[:, 3]
        assert (places >= -0.5).all()
        assert (places <= (width - 0.5, height - 0.5)).all()
        assert (scales > 0).all()
        assert ((angles == -1) | ((angles >= 0) & (angles < 360))).all()
        np.testing.assert_allclose(np.linalg.norm(features.descriptors, axis=1), 1, atol=1e-3)
        assert (np.diff(features.scores) <= 0).all()

    def test_finds_the_marks_of_a_photo(self, extractor: LocalExtractor) -> None:
        """As many as asked for, in the photo, of different looks, the strongest first."""
        features = extractor.extract(self.photo())
        self.check(features, 120, 160, extractor)
        assert len(features) == self.keypoints
        assert len(np.unique(features.descriptors.round(4), axis=0)) > self.keypoints / 2
        assert features.keypoints[:, :2].std(axis=0).min() > 10

    def test_the_same_photo_gives_the_same(self, extractor: LocalExtractor, local_name: str) -> None:
        """Twice, by another extractor of the name, and whatever photo came between; the photo stays as it is."""
        photo = self.photo()
        before = photo.copy()
        first = extractor.extract(photo)
        extractor.extract(photo[:64, :64])
        for other in (extractor.extract(photo), build_local(local_name, self.keypoints).extract(photo)):
            for part in ("keypoints", "descriptors", "scores"):
                np.testing.assert_array_equal(getattr(first, part), getattr(other, part))
        np.testing.assert_array_equal(photo, before)

    def test_fewer_are_the_strongest(self, local_name: str) -> None:
        """Asked for fewer, it gives fewer, with scores as high."""
        photo = self.photo()
        some, fewer = (build_local(local_name, count).extract(photo) for count in (self.keypoints, self.keypoints // 2))
        assert len(fewer) == self.keypoints // 2
        np.testing.assert_allclose(fewer.scores, some.scores[: len(fewer)], rtol=1e-4)

    @pytest.mark.parametrize("grey", [0, 128, 255])
    def test_a_blank_photo_has_none(self, extractor: LocalExtractor, grey: int) -> None:
        """A photo of one colour shows no marks."""
        features = extractor.extract(np.full((90, 110, 3), grey, np.uint8))
        assert len(features) == 0
        assert features.descriptors.shape == (0, extractor.width)

    @pytest.mark.parametrize(("height", "width"), [(1, 1), (10, 10), (3, 200), (33, 65)])
    def test_odd_and_tiny_photos(self, extractor: LocalExtractor, height: int, width: int) -> None:
        """Any size is a photo, though it may show nothing."""
        self.check(extractor.extract(self.photo(height, width)), height, width, extractor)

    def test_grey_and_views_of_arrays(self, extractor: LocalExtractor) -> None:
        """A photo may be any view of an array, and may not be written to."""
        photo = np.repeat(self.photo()[:, :, :1], 3, axis=2)[::-1, ::-1]
        photo.flags.writeable = False
        self.check(extractor.extract(photo), 120, 160, extractor)

    def test_a_turned_photo_has_its_marks_at_turned_places(self, extractor: LocalExtractor) -> None:
        """By 90 degrees, and mirrored."""
        if not self.turns:
            pytest.skip("makes no claim about turned photos")
        photo = self.photo()
        places = extractor.extract(photo).keypoints[:, :2]
        x, y = extractor.extract(np.ascontiguousarray(np.rot90(photo))).keypoints[:, :2].T
        self.check_places(np.column_stack([photo.shape[1] - 1 - y, x]), places)
        x, y = extractor.extract(np.ascontiguousarray(photo[:, ::-1])).keypoints[:, :2].T
        self.check_places(np.column_stack([photo.shape[1] - 1 - x, y]), places)

    def check_places(self, turned: np.ndarray, places: np.ndarray) -> None:
        """Most places are also among the others, within the tolerance."""
        apart = np.linalg.norm(turned[:, None] - places[None], axis=2).min(axis=1)
        assert np.mean(apart <= self.tolerance) >= _FOUND_AGAIN

    def test_its_fingerprint_tells_its_parameters(self, extractor: LocalExtractor, local_name: str) -> None:
        """Another number of keypoints is another fingerprint, and the same build has the same one."""
        assert extractor.name == local_name
        assert build_local(local_name, self.keypoints).fingerprint == extractor.fingerprint
        assert build_local(local_name, self.keypoints + 1).fingerprint != extractor.fingerprint

    def test_refuses_a_number_that_cannot_be(self, local_name: str) -> None:
        """No features at all, in one line."""
        with pytest.raises(FinblendError, match="1 <= keypoints") as refusal:
            build_local(local_name, 0)
        assert "\n" not in str(refusal.value)
