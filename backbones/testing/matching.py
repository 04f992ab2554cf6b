"""The contract of matchers: local features of two photos become pairs of keypoints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from backbones.matching.contract import Matcher, Matches

SIZES = ((400, 300), (400, 300))


@dataclass(frozen=True)
class DrawnFeatures:
    """Local features that nobody detected: points anywhere in the photo, unit descriptors in any direction."""

    keypoints: NDArray[np.float32]
    descriptors: NDArray[np.float32]
    scores: NDArray[np.float32]


class MatcherContract:
    """Subclass it with the fixture `matcher`, and pytest checks every rule on it.

    Attributes
    ----------
    dimensions : int
        Length of the descriptors that it takes.
    mutual : bool
        Whether the pairs of (a, b) are exactly those of (b, a) turned round.

    Examples
    --------
    >>> class TestRatioMatcher(MatcherContract):
    ...     @pytest.fixture
    ...     def matcher(self):
    ...         return RatioMatcher()
    """

    dimensions: int = 128
    mutual: bool = True

    @pytest.fixture
    def matcher(self) -> Matcher:
        """Build the matcher; to be overridden."""
        raise NotImplementedError

    def features(self, count: int, seed: int = 0) -> DrawnFeatures:
        """Draw the features of a photo."""
        draw = np.random.default_rng(seed)
        position, scale, angle = draw.uniform(0, SIZES[0], (count, 2)), draw.uniform(2, 9, count), draw.uniform(0, 360)
        descriptors = draw.normal(size=(count, self.dimensions))
        return DrawnFeatures(
            keypoints=np.column_stack([position, scale, np.full(count, angle)]).astype(np.float32),
            descriptors=(descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)).astype(np.float32),
            scores=np.ones(count, np.float32),
        )

    def related(self) -> tuple[DrawnFeatures, DrawnFeatures]:
        """Draw two photos that share their first 60 features, in another order."""
        first, second, order = self.features(80), self.features(90, seed=1), np.random.default_rng(2).permutation(90)
        second.descriptors[:60], second.keypoints[:60] = first.descriptors[:60], first.keypoints[:60]
        return first, DrawnFeatures(second.keypoints[order], second.descriptors[order], second.scores)

    def match(self, matcher: Matcher, query: DrawnFeatures, gallery: DrawnFeatures) -> Matches:
        """Match two photos, and check what holds for any two."""
        matches = matcher.match(query, gallery, SIZES)
        pairs, confidence = matches.pairs, matches.confidence
        assert pairs.dtype == np.int32
        assert pairs.shape == (len(confidence), 2)
        assert confidence.dtype == np.float32
        assert (np.diff(confidence) <= 0).all()
        assert ((confidence >= 0) & (confidence <= 1)).all()
        for side, features in zip(pairs.T, (query, gallery), strict=True):
            assert len(np.unique(side)) == len(side)
            assert ((side >= 0) & (side < len(features.keypoints))).all()
        return matches

    def test_it_has_a_name_and_a_fingerprint_that_begins_with_it(self, matcher: Matcher) -> None:
        """One word each, for files are called after them."""
        assert matcher.name
        assert matcher.fingerprint.startswith(matcher.name)
        assert not any(character.isspace() or character in "/\\" for character in matcher.fingerprint)

    def test_a_photo_matches_itself(self, matcher: Matcher) -> None:
        """Nearly every keypoint is paired, and with itself."""
        photo = self.features(60)
        pairs = self.match(matcher, photo, photo).pairs
        assert len(pairs) >= 54
        assert (pairs[:, 0] == pairs[:, 1]).all()

    def test_shared_features_are_found_whatever_their_order(self, matcher: Matcher) -> None:
        """What two photos share is matched; what they do not is mostly left alone."""
        query, gallery = self.related()
        pairs = self.match(matcher, query, gallery).pairs
        right = (query.descriptors[pairs[:, 0]] == gallery.descriptors[pairs[:, 1]]).all(axis=1)
        assert right.sum() >= 54
        assert right.mean() > 0.8

    def test_turned_round_it_says_the_same(self, matcher: Matcher) -> None:
        """(a, b) and (b, a) have the same pairs, where the matcher is mutual; nearly so for every other."""
        query, gallery = self.related()
        there = {(i, j) for i, j in self.match(matcher, query, gallery).pairs.tolist()}
        back = {(i, j) for j, i in self.match(matcher, gallery, query).pairs.tolist()}
        assert len(there & back) >= 0.9 * len(there | back)
        assert there == back or not self.mutual

    def test_it_answers_alike_again(self, matcher: Matcher) -> None:
        """Same features, same pairs and confidence, bit by bit, and the features are left as they were."""
        query, gallery = self.related()
        first, second = self.match(matcher, query, gallery), self.match(matcher, query, gallery)
        np.testing.assert_array_equal(first.pairs, second.pairs)
        np.testing.assert_array_equal(first.confidence, second.confidence)
        np.testing.assert_array_equal(query.descriptors, self.related()[0].descriptors)

    @pytest.mark.parametrize(("rows", "columns"), [(0, 0), (0, 5), (5, 0), (1, 1), (1, 5), (2, 1)])
    def test_few_keypoints_are_no_error(self, matcher: Matcher, rows: int, columns: int) -> None:
        """A photo without keypoints has no matches; with one keypoint, it may have one."""
        matches = self.match(matcher, self.features(rows), self.features(columns, seed=1))
        assert len(matches.pairs) <= min(rows, columns)
