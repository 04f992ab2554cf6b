"""Operators that there are none of, on the command line and in a blend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cv import FinblendError
from ensemble import Blend
from ensemble.cli import main
from ensemble.retrieval.operators import wanted_operators


def test_an_operator_that_is_not_there_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", str(project), "--operators", "query-expansion,rerank"]) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert "--operators must be among database-augmentation, query-expansion, reciprocal, but got rerank" in told
    assert wanted_operators(["reciprocal", "", " query-expansion"]) == ("query-expansion", "reciprocal")


@pytest.mark.parametrize(
    ("operators", "told"),
    [
        ({"b": {}}, "operators: b is not among the weights"),
        ({"a": {"expansion": {}}}, "operators of a: operators must be among .*'expansion'"),
        ({"a": {"query-expansion": {"k": 2}}}, "query-expansion must have the keys k, alpha"),
        ({"a": {"query-expansion": {"k": 0, "alpha": 1.0}}}, "1 <= k <= 64 .*k=0"),
        ({"a": {"reciprocal": {"k1": 20, "k2": 6, "lambda": 0}}}, "0 < lambda <= 1 .*lambda=0"),
        ({"a": {"reciprocal": {"k1": 20, "k2": 6, "lambda": "much"}}}, "not a blend"),
        ({"a": 3}, "not a blend"),
        (None, "not a blend"),
    ],
)
def test_a_blend_with_wrong_operators_is_refused(tmp_path: Path, operators: Any, told: str) -> None:
    (tmp_path / "blend.json").write_text(json.dumps({"weights": {"a": 1.0}, "operators": operators}))
    with pytest.raises(FinblendError, match=rf"blend\.json: .*{told}"):
        Blend.load(tmp_path / "blend.json")
