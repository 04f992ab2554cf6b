"""Photos with planted marks are matched: what is found, what is never compared, and how a killed call goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from marked import HEIGHT, MARKS, WIDTH, Marked, literal_votes, planted, use_planted
from PIL import Image

from backbones.pair_store import PairStore
from ensemble import Project, match
from ensemble.marks.result import MatchResult
from ensemble.marks.verified import VerifiedPairs, Verifier

Compared = dict[tuple[int, int], tuple[float, float, np.ndarray | None]]


@pytest.fixture
def marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Marked:
    use_planted(monkeypatch)
    return Marked(tmp_path)


def matched(marked: Marked, name: str = "marks", **options: Any) -> MatchResult:
    return match(marked.project, name, images=[marked.photos], workers=1, **options)


def told(marked: Marked, split: str, name: str = "marks") -> Compared:
    """(query, gallery) to score, second number and kept points."""
    store = PairStore(Project.open(marked.project).pair_folder(name))
    pairs = store.pairs(split)
    second = np.full(len(pairs), np.nan) if pairs.second is None else pairs.second
    rows = zip(pairs.query.tolist(), pairs.gallery.tolist(), pairs.score.tolist(), second.tolist(), strict=True)
    return {(q, g): (score, more, store.points(split, row)) for row, (q, g, score, more) in enumerate(rows)}


def content(marked: Marked, name: str = "marks") -> str:
    return PairStore(Project.open(marked.project).pair_folder(name)).manifest.content_sha256


def parts(marked: Marked, kind: str, name: str = "marks") -> list[Path]:
    return sorted((marked.project / "cache" / "match" / name).glob(f"*/{kind}-*.npz"))


def test_photos_of_one_animal_share_marks_and_their_places_are_kept(marked: Marked) -> None:
    result = matched(marked)
    assert result.keypoints == 18
    assert result.unreadable == {}
    for split, who in (("train", marked.who), ("test", marked.who_of_test)):
        pairs = told(marked, split)
        same = np.array([who[q] == marked.who[g] for q, g in pairs])
        score, inliers = (np.array([each[i] for each in pairs.values()], float) for i in (0, 1))
        assert result.pairs[split] == len(pairs)
        assert same.any()
        assert score[same].min() > score[~same].max()
        # of 12 planted marks all but a few that outliers crowd out; chance explains hardly any
        assert np.nanmin(inliers[same]) >= MARKS - 3
        assert np.nanmax(inliers[~same]) < MARKS - 3
        for (q, g), (_, _, points) in pairs.items():
            if who[q] != marked.who[g]:
                continue
            assert points is not None
            row = q if split == "train" else len(marked.who) + q
            mine, theirs = planted(row, int(who[q])), planted(g, int(marked.who[g]))
            places = {tuple(each) for each in np.round(mine.keypoints[:MARKS, :2], 2).tolist()}
            # a query's place is that of one of its marks, and the gallery's that of the same mark
            size = np.array([WIDTH, HEIGHT])
            at = [np.abs(mine.keypoints[:, :2] - p).sum(axis=1).argmin() for p in points[:, :2] * size]
            assert len(places) == MARKS
            np.testing.assert_allclose(points[:, :2] * size, mine.keypoints[at, :2], atol=1e-3)
            np.testing.assert_allclose(points[:, 2:] * size, theirs.keypoints[at, :2], atol=1e-3)


def test_votes_are_the_literal_formula_among_other_encounters(marked: Marked) -> None:
    """In test all train photos are met."""
    matched(marked, verify="none")
    rows = {
        "train": [(n, int(who), int(marked.encounter[n])) for n, who in enumerate(marked.who)],
        "test": [(n, int(who), -1) for n, who in enumerate(marked.who_of_test)],
    }
    store = Project.open(marked.project)
    from backbones.local_features import FeatureStore

    features = FeatureStore(store.feature_folder("sift"))
    each = {
        split: [(n, group, d) for n, _, group in photos for d in features.of_photo(split, n).descriptors]
        for split, photos in rows.items()
    }
    for split in rows:
        expected = literal_votes(each["train"], each[split], 3)
        found = told(marked, split)
        assert {pair for pair, score in expected.items() if score > 1e-4} <= found.keys()
        np.testing.assert_allclose(
            [found[pair][0] for pair in found], [expected.get(pair, 0.0) for pair in found], atol=1e-4
        )
        assert all(np.isnan(second) and points is None for _, second, points in found.values())


@pytest.mark.parametrize("options", [{}, {"per_species": False}, {"verify": "homography"}, {"mirrored": True}])
def test_a_train_photo_meets_none_of_its_encounter(marked: Marked, options: dict[str, Any]) -> None:
    marked.add_model()
    result = matched(marked, **options)
    query, gallery = (np.array(side) for side in zip(*told(marked, "train"), strict=True))
    assert not marked.is_leak(query, gallery).any()
    # the torn encounters' pairs would be the likeliest of all
    assert (marked.who[0], marked.fold[0], marked.fold[2]) == (marked.who[2], 0, 2)
    assert result.verified["train"] > 0


def test_not_asked_is_not_known_and_asked_in_vain_is_zero(marked: Marked) -> None:
    """The network tells no species apart: it brings up photos among which the marks were not looked for."""
    marked.add_model(noise=20.0)
    matched(marked, shortlist=20)
    project = Project.open(marked.project)
    from ensemble.marks.asked import asked_of

    asked = asked_of(project, 20, per_species=True)
    index = project.catalogue.species_of_individual[project.catalogue.labels]
    unknown, nothing = 0, 0
    for split in ("train", "test"):
        for (q, g), (score, second, _) in told(marked, split).items():
            assert np.isnan(score) == (asked[split].species[q] != index[g])
            unknown += np.isnan(score)
            nothing += score == 0
            # without a vote, the pair was compared
            assert score > 0 or second >= 0
    assert unknown > 20
    matched(marked, "everywhere", shortlist=20, per_species=False)
    assert not any(np.isnan(score) for score, _, _ in told(marked, "test", "everywhere").values())


def test_it_goes_on_where_it_was_killed(marked: Marked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in the middle of verification, then a part is lost and one is garbled: the same in the end."""
    monkeypatch.setattr("ensemble.marks.verified.BLOCK", 8)
    monkeypatch.setattr("ensemble.marks.voting.BLOCK", 8)
    marked.add_model()
    whole = matched(marked, "whole")
    assert whole.compared == sum(whole.verified.values())
    compare, calls = Verifier._compare, []

    def dies(self: Verifier, split: str, row: int, *more: Any) -> VerifiedPairs:
        calls.append((split, row))
        if len(calls) == 20:
            raise KeyboardInterrupt
        return compare(self, split, row, *more)

    with monkeypatch.context() as patch:
        patch.setattr(Verifier, "_compare", dies)
        with pytest.raises(KeyboardInterrupt):
            matched(marked)
    assert "marks" not in Project.open(marked.project).pair_stores()
    kept = parts(marked, "verified")
    # 24 train queries are three blocks: two were done
    assert len(kept) == 2
    lost, garbled = parts(marked, "votes")[:2]
    lost.unlink()
    damaged = bytearray(garbled.read_bytes())
    damaged[len(damaged) // 2] ^= 8
    garbled.write_bytes(damaged)
    again = matched(marked)
    assert content(marked) == content(marked, "whole")
    done = sum(len(np.load(path)["query"]) for path in kept)
    assert again.compared == whole.compared - done
    # once more: nothing is left to compare; half a part lost, half is compared again
    assert matched(marked, replace=True).compared == 0
    kept[0].write_bytes(kept[0].read_bytes()[:-30])
    n = len(np.load(kept[1])["query"])
    assert 0 < matched(marked, replace=True).compared <= whole.compared - n
    assert content(marked) == content(marked, "whole")


def test_a_further_model_has_only_new_pairs_compared(marked: Marked) -> None:
    marked.add_model("a", 1, noise=3.0)
    first = matched(marked, shortlist=3)
    before = {split: {key for key, each in told(marked, split).items() if each[1] >= 0} for split in ("train", "test")}
    marked.add_model("b", 2, noise=3.0)
    second = matched(marked, shortlist=3, replace=True)
    after = {split: {key for key, each in told(marked, split).items() if each[1] >= 0} for split in ("train", "test")}
    new = sum(len(after[split] - before[split]) for split in after)
    assert second.compared == new > 0
    assert first.compared == sum(len(pairs) for pairs in before.values())
    assert second.verified == {split: len(pairs) for split, pairs in after.items()}
    matched(marked, "at-once", shortlist=3)
    assert content(marked, "at-once") == content(marked)


def test_threads_change_nothing(marked: Marked) -> None:
    marked.add_model()
    matched(marked)
    match(marked.project, "two", images=[marked.photos], workers=2)
    assert content(marked, "two") == content(marked)


def test_the_other_flank_is_found_where_asked(marked: Marked) -> None:
    """Test photo 0 is shown mirrored."""
    path = marked.photos / marked.test[0]
    pixels = np.array(Image.open(path))
    Image.fromarray(np.ascontiguousarray(pixels[:, ::-1])).save(path)
    own = [row for row, who in enumerate(marked.who) if who == marked.who_of_test[0]]
    matched(marked, shortlist=20)
    plain = told(marked, "test")
    matched(marked, "both", mirrored=True, shortlist=20)
    both = told(marked, "test", "both")
    row = len(marked.who)
    mine = planted(row, int(marked.who_of_test[0]))
    for g in own:
        # a descriptor says nothing of the flank here, but no camera mirrors an animal
        assert plain[0, g][1] < MARKS - 3 <= both[0, g][1]
        points = both[0, g][2]
        assert points is not None
        # told in the photo as it is, and that photo is the mirrored one
        seen = (points[:, :2] * [WIDTH, HEIGHT])[:, None] - (mine.keypoints[:, :2] * [-1, 1] + [WIDTH, 0])[None]
        assert np.abs(seen).sum(axis=2).min(axis=1).max() < 1.5


def test_marks_beside_the_box_are_left_out(marked: Marked) -> None:
    """A box around the left half: so much fewer keypoints, and none to the right of it."""
    boxes = marked.photos.parent / "boxes.csv"
    rows = "\n".join(f'{name},"0 0 60 90"' for name in marked.train + marked.test)
    boxes.write_text(f"image,box\n{rows}\n")
    whole = matched(marked)
    boxed = matched(marked, "boxed", boxes=[str(boxes)], box_form="xyxy")
    assert 0 < boxed.keypoints < whole.keypoints
    points = [each[2] for each in told(marked, "test", "boxed").values() if each[2] is not None]
    assert points
    # the box is widened by a twentieth
    assert max(float(each[:, 0].max()) for each in points) <= 63 / WIDTH


def test_of_photos_that_cannot_be_read_nothing_is_known(marked: Marked) -> None:
    marked.add_model(noise=0.1)
    (marked.photos / marked.train[4]).write_bytes(b"no photo")
    (marked.photos / marked.test[2]).unlink()
    result = matched(marked)
    assert set(result.unreadable) == {marked.train[4], marked.test[2]}
    assert result.unreadable[marked.test[2]] == "missing"
    pairs = told(marked, "train")
    assert pairs
    assert not [pair for pair in pairs if 4 in pair]
    of_test = told(marked, "test")
    assert not [pair for pair in of_test if pair[0] == 2 or pair[1] == 4]
    assert {q for q, _ in of_test} == {0, 1, 3, 4, 5}


def test_photos_of_another_size_are_told_by_their_own_size_in_the_same_process(marked: Marked) -> None:
    matched(marked)
    before = told(marked, "test")
    for name in marked.test:
        path = marked.photos / name
        pixels = np.array(Image.open(path))
        # as much again below: the same places are half as far down
        Image.fromarray(np.concatenate([pixels, pixels])).save(path)
    matched(marked, replace=True)
    after = told(marked, "test")
    pair = next(pair for pair, each in before.items() if each[2] is not None and len(each[2]) > 5)
    first, second = before[pair][2], after[pair][2]
    assert first is not None
    assert second is not None
    assert second[:, 1].max() <= first[:, 1].max() / 2 + 0.01
