"""The blend file: all that passes from tuning to submitting, so it comes back as it was or is refused."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cv import FinblendError, Mix
from ensemble import Blend

finite = st.floats(allow_nan=False, allow_infinity=False)
shares = st.floats(0, 1)


@st.composite
def blends(draw: st.DrawFn) -> Blend:
    raw = draw(st.dictionaries(st.text(min_size=1), st.floats(0.01, 1), min_size=1, max_size=5))
    total = sum(raw.values())
    second_stage = draw(st.booleans())
    return Blend(
        {name: value / total for name, value in raw.items()},
        whitening={name: draw(st.sampled_from(["none", "total", "within"])) for name in raw},
        top_photos=draw(st.integers(1, 3)),
        species_penalty=draw(st.floats(0, 50)),
        background=draw(st.floats(0, 1e9)),
        rule=draw(st.sampled_from("AB")),
        threshold=draw(finite),
        mix=Mix(draw(st.none() | st.floats(0, 0.99)), draw(st.none() | shares)),
        measured={"map5": draw(shares), "how": draw(st.text())},
        contents={name: [draw(st.text())] for name in raw},
        species_weights=draw(st.dictionaries(st.text(), own_weights(sorted(raw)), max_size=3)),
        second_stage=second_stage,
        pair_sources=draw(st.dictionaries(st.text(), st.text(), max_size=3)) if second_stage else {},
    )


def own_weights(names: list[str]) -> st.SearchStrategy[dict[str, float]]:
    """Weights of one species: some of the models, summing to 1."""
    raw = st.dictionaries(st.sampled_from(names), st.floats(0.01, 1), min_size=1)
    return raw.map(lambda own: {name: value / sum(own.values()) for name, value in own.items()})


@given(blends())
def test_round_trip(blend: Blend) -> None:
    with tempfile.TemporaryDirectory() as folder:
        blend.save(Path(folder) / "blend.json")
        assert Blend.load(Path(folder) / "blend.json") == blend


@pytest.mark.parametrize("threshold", [float("inf"), float("-inf")])
def test_a_threshold_that_never_or_always_holds_round_trips_or_is_refused(tmp_path: Path, threshold: float) -> None:
    """`Decision` gives both a meaning, and JSON has a number for neither."""
    try:
        blend = Blend({"m": 1.0}, threshold=threshold)
        blend.save(tmp_path / "blend.json")
    except FinblendError:
        return
    assert Blend.load(tmp_path / "blend.json") == blend


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "too little weight": ({"weights": {"a": 0.5, "b": 0.4}}, "summing to 1"),
    "too much weight": ({"weights": {"a": 1.01}}, "summing to 1"),
    "negative weight": ({"weights": {"a": 1.5, "b": -0.5}}, "weights >= 0"),
    "weight is no number": ({"weights": {"a": float("nan")}}, "summing to 1"),
    "no weight": ({"weights": {}}, "summing to 1"),
    "wrong rule": ({"rule": "C"}, "rule must be A or B.*'C'"),
    "threshold is no number": ({"threshold": float("nan")}, "threshold must be a number"),
    "no photos": ({"top_photos": 0}, "1 <= top_photos <= 3 .*0"),
    "half a photo": ({"top_photos": 1.5}, "1 <= top_photos <= 3 .*1.5"),
    "more photos than evidence keeps": ({"top_photos": 4}, "1 <= top_photos <= 3 .*4"),
    "negative penalty": ({"species_penalty": -0.1}, "0 <= species_penalty <= 50 .*-0.1"),
    "a penalty beyond float32": ({"species_penalty": 51.0}, "0 <= species_penalty <= 50 .*51"),
    "penalty is no number": ({"species_penalty": float("nan")}, "0 <= species_penalty <= 50"),
    "endless penalty": ({"species_penalty": float("inf")}, "species_penalty"),
    "negative background": ({"background": -1.0}, "background >= 0"),
    "another format": ({"format": 2}, "format 2"),
    "a strange model for a species": ({"species_weights": {"orca": {"b": 1.0}}}, "species_weights of orca: b is not"),
    "too little for a species": ({"species_weights": {"orca": {"a": 0.9}}}, "summing to 1.*species_weights of orca"),
    "nothing for a species": ({"species_weights": {"orca": {}}}, "summing to 1.*species_weights of orca"),
    "no number for a species": (
        {"species_weights": {"orca": {"a": float("nan")}}},
        "summing to 1.*species_weights of orca",
    ),
    "pair sources without a second stage": (
        {"pair_sources": {"marks": "a1"}},
        "with pair_sources, second_stage must be true",
    ),
    "strange whitening": ({"whitening": {"a": "zca"}}, "whitening.*'zca'"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_values_are_refused_at_construction_and_on_loading(tmp_path: Path, wrong: str) -> None:
    value, told = WRONG[wrong]
    with pytest.raises(FinblendError, match=told):
        Blend(**({"weights": {"a": 1.0}} | value))
    (tmp_path / "blend.json").write_text(json.dumps({"weights": {"a": 1.0}} | value))
    with pytest.raises(FinblendError, match=rf"blend\.json: .*{told}"):
        Blend.load(tmp_path / "blend.json")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"weights": {"a": 1.0}, "treshold": 0.3}', "unknown key 'treshold'"),
        ("{}", r"is not a blend \(it has no key 'weights'\)$"),
        ('{"name": "P", "encounters": null}', r"is not a blend \(it has no key 'weights'\)$"),
        ("[]", "not a blend"),
        ("", "not valid JSON"),
        ('{"weights": [1.0]}', r"not a blend \(weights must be a number for each model, but is \[1.0\]\)$"),
        ('{"weights": {"a": "1.0"}}', r"""not a blend \(weights must be a number for .*, but is {"a": "1.0"}\)$"""),
        ('{"weights": {"a": 1.0}, "threshold": null}', r"not a blend \(threshold must be a number, but is null\)$"),
        ('{"weights": {"a": 1.0}, "threshold": "0.5"}', 'not a blend .threshold must be a number, but is "0.5"'),
        ('{"weights": {"a": 1.0}, "top_photos": {}}', "top_photos=.}"),
        ('{"weights": {"a": 1.0}, "rule": ["A"]}', "rule"),
        ('{"weights": {"a": 1.0}, "whitening": null}', r"not a blend \(whitening must be .*, but is null\)$"),
        ('{"weights": {"a": 1.0}, "whitening": {"a": []}}', r"not a blend \(whitening must be .*, but is "),
        ('{"weights": {"a": 1.0}, "operators": ["a"]}', "operators"),
        ('{"weights": {"a": 1.0}, "mix": null}', "mix"),
        ('{"weights": {"a": 1.0}, "mix": {"share": 0.1}}', "mix|share"),
        ('{"weights": {"a": 1.0}, "mix": {"new_share": "much"}}', "mix|share"),
        ('{"weights": {"a": 1.0}, "mix": {"new_share": 2}}', "mix|share"),
        ('{"weights": {"a": 1.0}, "contents": ["a"]}', "contents"),
        ('{"weights": {"a": 1.0}, "measured": []}', "measured"),
        ('{"weights": {"a": 1.0}, "species_weights": ["a"]}', "not a blend"),
        ('{"weights": {"a": 1.0}, "species_weights": null}', "not a blend .species_weights must be .*, but is null"),
        (
            '{"weights": {"a": 1.0}, "species_weights": {"orca": 1.0}}',
            "species_weights must be .*, by species, but is",
        ),
        ('{"weights": {"a": 1.0}, "species_weights": {"orca": {"a": "all"}}}', "not a blend"),
        (
            '{"weights": {"a": 1.0}, "second_stage": true, "pair_sources": ["a"]}',
            "pair_sources must be a word for each",
        ),
        ('{"weights": {"a": 1.0}, "second_stage": true, "pair_sources": {"a": 1}}', "pair_sources must be a word"),
        ('{"weights": {"a": 1.0}, "specie_weights": {}}', "unknown key 'specie_weights'"),
    ],
)
def test_a_file_that_is_no_blend_is_named(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "blend.json").write_text(text)
    with pytest.raises(FinblendError, match=rf"blend\.json: .*({told})"):
        Blend.load(tmp_path / "blend.json")


def test_a_refused_save_leaves_the_old_blend(tmp_path: Path) -> None:
    good = Blend({"a": 1.0}, threshold=0.25)
    good.save(tmp_path / "blend.json")
    unsaveable = Blend({"a": 1.0}, measured={"map5": float("nan")})
    with pytest.raises(ValueError, match="JSON"):
        unsaveable.save(tmp_path / "blend.json")
    assert Blend.load(tmp_path / "blend.json") == good
    assert [path.name for path in tmp_path.iterdir()] == ["blend.json"]
