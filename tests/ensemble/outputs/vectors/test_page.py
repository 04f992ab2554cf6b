"""The searches that docs/vectors.md shows find what the blend finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import qdrant_client
from doc_blocks import ROOT, Block, blocks
from postgres import Database
from vector_worlds import blended, same_ranking, spaces_of

from ensemble.outputs.vectors.pgvector import PgvectorSink
from ensemble.outputs.vectors.qdrant import QdrantSink

BLOCKS = blocks(ROOT / "docs" / "vectors.md")


def shown(language: str, begins: str) -> Block:
    [found] = [block for block in BLOCKS if block.language == language and block.text.startswith(begins)]
    return found


@pytest.fixture(scope="module")
def filled(server: Database, worlds: dict[str, Path]) -> Database:
    for world in worlds.values():
        PgvectorSink(server.url, "fins", replace=True).write(spaces_of(world))
    return server


def test_the_statement_for_a_photo(filled: Database, worlds: dict[str, Path]) -> None:
    [space] = spaces_of(worlds["frozen_world"])
    rows = filled.run(shown("sql", "SELECT image, individual_id").text)
    similarity = blended(space, "only", "only")[0]
    assert same_ranking([row[0] for row in rows], similarity, space.catalogue.train_images)
    np.testing.assert_allclose([row[2] for row in rows], np.sort(similarity)[::-1][:100], atol=1e-6)
    people = dict(space.catalogue.train.select("image", "individual_id").iter_rows())
    assert [row[1] for row in rows] == [people[row[0]] for row in rows]


def test_the_statement_with_an_index(filled: Database, worlds: dict[str, Path]) -> None:
    create, select = shown("", "CREATE INDEX").text.split(";")
    filled.run(create)
    images = set(spaces_of(worlds["frozen_world"])[0].catalogue.train_images)
    found = [image for (image,) in filled.run(select)]
    assert len(found) > 30
    assert set(found) <= images


def test_the_statement_for_views_and_folds(filled: Database, worlds: dict[str, Path]) -> None:
    spaces = spaces_of(worlds["fold_world"])
    images, text = spaces[0].catalogue.train_images, shown("sql", "SELECT image, max(similarity)").text
    for query, name in enumerate(spaces[0].catalogue.test_images):
        for view in ("orig", "hflip"):
            rows = filled.run(text.replace("te000.jpg", name).replace("'orig'", f"'{view}'"))
            of_views = [
                np.mean([blended(space, view, g)[query] for space in spaces], axis=0) for g in ("orig", "hflip")
            ]
            assert same_ranking([row[0] for row in rows], np.max(of_views, axis=0), images)


@pytest.mark.filterwarnings("ignore:Local mode performs exact")
def test_the_query_of_qdrant(worlds: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    client, [space] = qdrant_client.QdrantClient(":memory:"), spaces_of(worlds["frozen_world"])
    QdrantSink("http://memory", "fins", client=client).write([space])
    monkeypatch.setattr(qdrant_client, "QdrantClient", lambda url: client)
    names: dict[str, list[str]] = {}
    exec(shown("python", "from qdrant_client").text, names)
    assert same_ranking(names["first"], blended(space, "only", "only")[0], space.catalogue.train_images)
    # views: each photo once, by its best
    for space in spaces_of(worlds["fold_world"])[:1]:
        QdrantSink("http://memory", "views", client=client).write([space])
        query = next(space.blocks("test", "hflip"))[0]
        grouped = client.query_points_groups("views_fold_0", "image", query=query, limit=100, group_size=1).groups
        best = np.max([blended(space, "hflip", view)[0] for view in space.views], axis=0)
        assert same_ranking([str(group.id) for group in grouped], best, space.catalogue.train_images)
