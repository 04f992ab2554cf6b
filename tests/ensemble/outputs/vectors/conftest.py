"""Projects, and a server, that all tests of vectors share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres import Database, database
from vector_worlds import fold_world, frozen_world


@pytest.fixture(scope="session")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {made.__name__: made(tmp_path_factory.mktemp(made.__name__)) for made in (frozen_world, fold_world)}


@pytest.fixture(scope="session")
def server() -> Iterator[Database]:
    with database() as server:
        server.run("CREATE EXTENSION vector")
        yield server
