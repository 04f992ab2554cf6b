"""Which column of evidence speaks for which source in which query view, worked by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postproc.evidence.channels import channel_table


@pytest.mark.parametrize(
    ("views", "table", "columns"),
    [
        # single views are compared as they are, whatever they are called
        ({"a": ["orig"]}, [[0]], [("a", 0)]),
        ({"a": ["orig"], "b": ["crop"]}, [[0], [1]], [("a", 0), ("b", 0)]),
        # a source with one view stands in with it in every view
        ({"a": ["orig", "hflip"], "b": ["hflip"]}, [[0, 1], [2, 2]], [("a", 0), ("a", 1), ("b", 0)]),
        # views are matched by name, not by position
        (
            {"a": ["orig", "hflip"], "b": ["hflip", "orig"]},
            [[0, 1], [2, 3]],
            [("a", 0), ("a", 1), ("b", 1), ("b", 0)],
        ),
        # a source with several views, but not this one, stands in with the mean over its own
        (
            {"a": ["orig", "hflip"], "b": ["orig", "crop"]},
            [[0, 1, 2], [3, 4, 5]],
            [("a", 0), ("a", 1), ("a", None), ("b", 0), ("b", None), ("b", 1)],
        ),
        # and a mean over the same views is one column, however often it stands in
        (
            {"a": ["x", "y"], "b": ["u", "v"]},
            [[0, 1, 2, 2], [3, 3, 4, 5]],
            [("a", 0), ("a", 1), ("a", None), ("b", None), ("b", 0), ("b", 1)],
        ),
    ],
)
def test_channels_equal_the_table_worked_by_hand(
    views: dict[str, list[str]], table: list[list[int]], columns: list[tuple[str, int | None]]
) -> None:
    got_table, got_columns = channel_table(views)
    assert got_table.tolist() == table
    assert got_columns == columns


@given(
    views=st.dictionaries(
        st.sampled_from("abcd"), st.lists(st.sampled_from("uvwx"), min_size=1, unique=True), min_size=1
    )
)
def test_every_source_speaks_in_every_view_for_itself(views: dict[str, list[str]]) -> None:
    table, columns = channel_table(views)
    names = list(dict.fromkeys(v for own in views.values() if len(own) > 1 for v in own))
    assert table.shape == (len(views), max(1, len(names)))
    assert sorted(set(table.ravel().tolist())) == list(range(len(columns)))
    assert len(set(columns)) == len(columns)
    for row, (source, own) in zip(table.tolist(), views.items(), strict=True):
        for v, column in enumerate(row):
            name, position = columns[column]
            assert name == source
            if len(own) == 1:
                assert position == 0
            elif names[v] in own:
                assert position is not None
                assert own[position] == names[v]
            else:
                assert position is None
