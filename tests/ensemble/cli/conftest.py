"""What several test files of the command line share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`refusals.world_to_refuse_in`; to be copied, not changed."""
    from refusals import world_to_refuse_in

    return world_to_refuse_in(tmp_path_factory.mktemp("refusals"))
