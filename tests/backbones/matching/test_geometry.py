from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbones.matching import Verification, extent, pixel_threshold, verify
from backbones.matching.affine_kernels import best_affine, is_plausible, least_squares, proposals_of_frames, support
from cv.errors import FinblendError

SIZE = (400, 300)
NEAR = 6.0


def linear(scale: float, degrees: float, stretch: float, along: float) -> np.ndarray:
    """(2, 2): stretch along a direction, then rotation and scale; the determinant is scale^2."""
    turn, axis = (
        np.array([[np.cos(r), -np.sin(r)], [np.sin(r), np.cos(r)]]) for r in (np.deg2rad(degrees), np.deg2rad(along))
    )
    return scale * turn @ axis @ np.diag([stretch**0.5, stretch**-0.5]) @ axis.T


def planted(
    matrix: np.ndarray, shift: tuple[float, float], right: int, wrong: int, seed: int, frames: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Matched keypoints of which `right` follow a map, off by a pixel, and `wrong` lie anywhere; shuffled."""
    draw = np.random.default_rng(seed)
    count = right + wrong
    query = np.column_stack(
        [draw.uniform(0, SIZE, (count, 2)), draw.uniform(2, 10, count), draw.uniform(0, 360, count)]
    )
    gallery = query.copy()
    gallery[:, :2] = query[:, :2] @ matrix.T + shift + draw.normal(size=(count, 2))
    # what a detector measures: size by area, angle by where its direction goes, neither exactly
    gallery[:, 2] *= np.sqrt(abs(np.linalg.det(matrix))) * np.exp(draw.normal(0, 0.1, count))
    angle = np.deg2rad(query[:, 3])
    direction = np.column_stack([np.cos(angle), np.sin(angle)]) @ matrix.T
    gallery[:, 3] = np.rad2deg(np.arctan2(direction[:, 1], direction[:, 0])) + draw.normal(0, 5, count)
    corner = np.abs(matrix).sum(axis=1) * SIZE
    gallery[right:] = np.column_stack(
        [draw.uniform(-corner, corner, (wrong, 2)), draw.uniform(2, 10, wrong), draw.uniform(0, 360, wrong)]
    )
    gallery[:, 3] %= 360
    order = draw.permutation(count)
    columns = 4 if frames else 2
    return query[order, :columns], gallery[order, :columns], order < right


similarities = {
    "scale": st.floats(0.5, 2),
    "degrees": st.floats(-180, 180),
    "stretch": st.floats(1, 1.3),
    "along": st.floats(0, 180),
    "seed": st.integers(0, 10**6),
}


@pytest.mark.parametrize("frames", [True, False], ids=["with scale and angle", "positions alone"])
@given(**similarities, right=st.integers(15, 30), share=st.floats(0, 0.7))
def test_a_planted_affine_map_is_found_among_chance_matches(
    frames: bool, scale: float, degrees: float, stretch: float, along: float, seed: int, right: int, share: float
) -> None:
    matrix = linear(scale, degrees, stretch, along)
    wrong = int(right * share / (1 - share))
    query, gallery, truth = planted(matrix, (40, -30), right, wrong, seed, frames)
    thresholds = (NEAR * max(1, 1 / scale), NEAR * max(1, scale))
    result = verify(query, gallery, threshold=thresholds, max_rotation=180)
    assert result.transform is not None
    assert result.inliers[truth].mean() >= 0.9
    assert np.count_nonzero(result.inliers & ~truth) <= 2 + 0.1 * wrong
    corners = np.array([[0, 0], [400, 0], [0, 300], [400, 300]])
    there = corners @ result.transform[:, :2].T + result.transform[:, 2]
    assert np.abs(there - (corners @ matrix.T + (40, -30))).max() < 3 * max(thresholds)


@given(**similarities)
def test_an_exact_map_of_all_matches_is_recovered(
    scale: float, degrees: float, stretch: float, along: float, seed: int
) -> None:
    matrix = linear(scale, degrees, stretch, along)
    query = np.random.default_rng(seed).uniform(0, 300, (20, 2))
    result = verify(query, query @ matrix.T + (3, 4), threshold=20.0 * max(scale, 1), max_rotation=180)
    assert result.count == 20
    assert result.transform == pytest.approx(np.column_stack([matrix, [3, 4]]), abs=1e-6)
    assert result.spread == pytest.approx(1)


def test_a_planted_homography_is_found_among_chance_matches() -> None:
    homography = np.array([[0.9, 0.1, 20], [-0.05, 1.1, 10], [4e-4, -3e-4, 1]])
    draw = np.random.default_rng(5)
    query = draw.uniform(0, SIZE, (60, 2))
    lifted = np.column_stack([query, np.ones(60)]) @ homography.T
    gallery = lifted[:, :2] / lifted[:, 2:] + draw.normal(0, 0.5, (60, 2))
    gallery[25:] = draw.uniform(0, SIZE, (35, 2))
    result = verify(query, gallery, "homography", threshold=4.0)
    assert result.inliers[:25].sum() >= 24
    assert result.inliers[25:].sum() <= 2
    assert result.transform == pytest.approx(homography, abs=2)
    back = verify(gallery, query, "homography", threshold=4.0)
    assert back.inliers.tolist() == result.inliers.tolist()


@pytest.mark.parametrize("model", ["affine", "homography"])
def test_chance_matches_have_few_inliers(model: str) -> None:
    counts = [verify(*planted(np.eye(2), (0, 0), 0, 50, seed)[:2], model, threshold=NEAR).count for seed in range(20)]
    assert np.mean(counts) < 7
    assert max(counts) <= 9


@pytest.mark.parametrize("model", ["affine", "homography"])
@pytest.mark.parametrize(
    "matrix",
    [np.diag([-1.0, 1.0]), 5 * np.eye(2), np.eye(2) / 5, np.diag([2.0, 0.5]), linear(1, 60, 1, 0), np.zeros((2, 2))],
    ids=["mirrored", "five times as large", "a fifth", "stretched four times", "turned by 60 degrees", "to one point"],
)
def test_a_map_that_no_camera_makes_has_few_inliers(model: str, matrix: np.ndarray) -> None:
    query = np.random.default_rng(0).uniform(0, 300, (40, 2))
    result = verify(query, query @ matrix.T, model, threshold=5.0)
    assert result.count <= 12
    assert result.transform is None or is_plausible(*result.transform[:2, :2].ravel()[:4], np.pi / 4)


def test_what_is_plausible_worked_by_hand() -> None:
    half = np.pi / 4
    assert is_plausible(1.0, 0.0, 0.0, 1.0, half)
    assert is_plausible(2.9, 0.0, 0.0, 1.0, half)
    assert not is_plausible(3.1, 0.0, 0.0, 1.0, half)
    assert not is_plausible(1.0, 0.0, 0.0, -1.0, half)
    assert not is_plausible(0.0, -1.0, 1.0, 0.0, half)
    assert is_plausible(0.0, -1.0, 1.0, 0.0, np.pi)
    assert not is_plausible(np.nan, 0.0, 0.0, 1.0, np.pi)


def literal_support(query: np.ndarray, gallery: np.ndarray, affine: np.ndarray, pixels: float) -> np.ndarray:
    """What each match adds, by distances in both photos; 0 for outliers."""
    matrix, shift = affine[:, :2], affine[:, 2]
    forth = np.linalg.norm(query[:, :2] @ matrix.T + shift - gallery[:, :2], axis=1)
    back = np.linalg.norm((gallery[:, :2] - shift) @ np.linalg.inv(matrix).T - query[:, :2], axis=1)
    return np.maximum(1 - (np.maximum(forth, back) / pixels) ** 2, 0)


def literal_search(query: np.ndarray, gallery: np.ndarray, pixels: float) -> float:
    """The best support that is reached from proposals with more of it, by wide thresholds, than all before them."""
    best, best_wide = 0.0, 0.0
    for (x, y, size, angle), (u, v, other_size, other_angle) in zip(query, gallery, strict=True):
        matrix = linear(other_size / size, other_angle - angle, 1, 0)
        affine = np.column_stack([matrix, np.array([u, v]) - matrix @ (x, y)])
        added = literal_support(query, gallery, affine, 3 * pixels)
        if not is_plausible(*matrix.ravel(), np.pi) or added.sum() <= best_wide or np.count_nonzero(added) < 2:
            continue
        best_wide = added.sum()
        for factor in (3, 7 / 3, 5 / 3, 1, 1, 1, 1):
            added = literal_support(query, gallery, affine, factor * pixels)
            chosen = added > 0
            if factor == 1 and chosen.sum() >= 2:
                best = max(best, added.sum())
            spread = np.cov(query[chosen, :2].T) if chosen.sum() >= 3 else np.zeros((2, 2))
            if np.linalg.det(spread) > 1e-3 * np.trace(spread) ** 2 / 4:
                lifted = np.column_stack([query[chosen, :2], np.ones(chosen.sum())])
                fitted = np.linalg.lstsq(lifted, gallery[chosen, :2], rcond=None)[0].T
                if is_plausible(*fitted[:, :2].ravel(), np.pi):
                    affine = fitted
    return best


@given(**similarities, wrong=st.integers(0, 30), right=st.integers(0, 12))
def test_it_reaches_the_support_of_a_literal_search(
    scale: float, degrees: float, stretch: float, along: float, seed: int, wrong: int, right: int
) -> None:
    query, gallery, _ = planted(linear(scale, degrees, stretch, along), (5, 5), right, wrong, seed)
    affine, inliers = best_affine(query, gallery, proposals_of_frames(query, gallery), (10.0, 10.0), np.pi)
    reached = literal_support(query, gallery, affine.reshape(2, 3), 10) if inliers.any() else np.zeros(len(query))
    assert reached.sum() == pytest.approx(literal_search(query, gallery, 10), abs=1e-6)
    assert inliers.tolist() == (reached > 0).tolist()
    marked = np.zeros(len(query), np.bool_)
    if inliers.any():
        assert support(query, gallery, affine, (10.0, 10.0), marked) == pytest.approx(reached.sum())


def test_least_squares_is_that_of_linear_algebra() -> None:
    query, gallery, chosen = planted(linear(1.2, 30, 1.2, 0), (5, 5), 12, 8, 3)
    affine = np.empty(6)
    assert least_squares(query, gallery, chosen, affine)
    lifted = np.column_stack([query[chosen, :2], np.ones(12)])
    wanted = np.linalg.lstsq(lifted, gallery[chosen, :2], rcond=None)[0]
    assert affine.reshape(2, 3) == pytest.approx(wanted.T)


@pytest.mark.parametrize("model", ["affine", "homography", "none"])
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_few_matches_are_no_error(model: str, count: int) -> None:
    points = np.array([[10, 10, 3, 0], [200, 30, 4, 10], [50, 250, 5, 20]], np.float32)[:count]
    result = verify(points, points + np.array([5, 5, 0, 0], np.float32), model, threshold=5.0)
    assert result.inliers.shape == (count,)
    assert result.count in (0, count)
    assert (result.transform is None) == (model == "none" or result.count == 0)
    # one match is always explained, so that it says nothing; two lie on a line
    assert count != 1 or model == "none" or result.count == 0
    assert count == 3 or result.spread == 0


@pytest.mark.parametrize("model", ["affine", "homography"])
@pytest.mark.parametrize("what", ["a line", "a point"])
def test_points_on_a_line_have_no_spread(model: str, what: str) -> None:
    along = np.linspace(0, 200, 12)[:, None] * (0 if what == "a point" else 1)
    points = along * np.array([1.0, 0.5]) + 20
    result = verify(points, points + 5, model, threshold=5.0)
    assert result.spread == pytest.approx(0, abs=1e-6)
    assert result.transform is None or np.isfinite(result.transform).all()


def test_spread_is_the_smaller_of_both_photos() -> None:
    query = np.array([[0, 0], [30, 0], [0, 30], [30, 30]], float)
    result = verify(query, query / 3, threshold=1.0, extents=(450.0, 100.0))
    assert extent(query) == pytest.approx(225)
    assert extent(query / 3) == pytest.approx(25)
    assert result.spread == pytest.approx(0.25)


def test_without_known_angles_positions_alone_propose() -> None:
    query, gallery, _ = planted(linear(1.5, 30, 1, 0), (0, 0), 20, 10, 4)
    query[:, 3] = gallery[:, 3] = -1
    plain = verify(query[:, :2], gallery[:, :2], threshold=NEAR)
    assert verify(query, gallery, threshold=NEAR).inliers.tolist() == plain.inliers.tolist()
    assert plain.count >= 18


@pytest.mark.parametrize("model", ["affine", "homography"])
def test_every_thread_finds_the_same_whatever_was_drawn_before(model: str) -> None:
    cv2 = pytest.importorskip("cv2")
    cases = [planted(linear(1.1, 20, 1.1, 30), (9, 9), 10, 30, seed)[:2] for seed in range(20)]

    def answers(seed: int) -> list[list[bool]]:
        cv2.setRNGSeed(seed)
        return [verify(*case, model, threshold=NEAR).inliers.tolist() for case in cases]

    alone = answers(1)
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(answers, range(4))) == [alone] * 4


def test_thresholds_are_shares_of_the_diagonal() -> None:
    assert pixel_threshold((300, 400), 0.1) == pytest.approx(50)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"points_query": np.zeros((2, 3))}, "matched points must be"),
        ({"points_query": np.zeros((3, 2))}, "matched points must be"),
        ({"points_query": np.full((2, 2), np.nan)}, "finite"),
        ({"model": "afine"}, "model must be one of affine, homography, none, but is afine"),
        ({"threshold": 0.0}, "threshold > 0"),
        ({"threshold": (1.0, float("nan"))}, "threshold > 0"),
        ({"max_rotation": 0.0}, "0 < max_rotation <= 180"),
    ],
)
def test_input_that_breaks_a_rule_is_refused_in_one_line(change: dict, rule: str) -> None:
    given_input = {"points_query": np.zeros((2, 2)), "points_gallery": np.zeros((2, 2)), "threshold": 1.0} | change
    with pytest.raises(FinblendError, match=rule) as refusal:
        verify(**given_input)
    assert "\n" not in str(refusal.value)


def test_a_verification_that_breaks_a_rule_is_refused() -> None:
    for change, rule in (
        ({"inliers": np.zeros(3)}, "inliers must be"),
        ({"spread": float("nan")}, "spread >= 0"),
        ({"transform": np.eye(2)}, "transform must be"),
    ):
        with pytest.raises(FinblendError, match=rule):
            Verification(**({"inliers": np.zeros(3, np.bool_), "spread": 0.0, "transform": None} | change))
