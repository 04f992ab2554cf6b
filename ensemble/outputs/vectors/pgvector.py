"""Vectors as tables of a PostgreSQL with pgvector, through psycopg."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from backbones.embeddings import SPLITS
from backbones.formats.read import EXPORT_MARK
from cv.errors import FinblendError
from cv.extras import load_extra
from ensemble.outputs.vectors.blend_space import PAYLOAD, BlendSpace
from ensemble.outputs.vectors.sink import EXTRA, container

# a column vector(D) holds no more
MAX_WIDTH = 16_000
# PostgreSQL cuts longer names without a word
MAX_NAME = 63
_NEW = "_new"
_TYPES = ["int4" if name == "fold" else "text" for name in PAYLOAD]


@dataclass(frozen=True)
class PgvectorSink:
    """Two tables a space: `image, view, individual_id, species, split, fold, encounter, vector`.

    Everything happens in one transaction: rows are copied in PostgreSQL's binary form into `NAME_new`, which takes
    NAME's place last, so that readers of an older table are not kept waiting, and a failure leaves nothing.

    Attributes
    ----------
    url : str
        What libpq takes: `postgresql://USER@HOST:PORT/DATABASE`, `host=... dbname=...`; what it does not say comes from
        libpq's own places (PGHOST, PGPASSWORD, PGSERVICE, ~/.pgpass).
    table : str
        Start of the tables' names, perhaps behind a schema and a dot.
    replace : bool
        Whether tables that an earlier export wrote may be replaced; others never are.
    """

    url: str
    table: str
    replace: bool = False

    @property
    def place(self) -> str:
        """Host, port and database."""
        with self._refusing("the URL is none of PostgreSQL's", told=False):
            known = _psycopg().conninfo.conninfo_to_dict(self.url)
        if "@" in "".join(map(str, (known.get(name, "") for name in ("host", "port", "dbname")))):
            # a password that is cut in two is not recognized as one
            raise FinblendError("the URL is none of PostgreSQL's; in a password, / and @ are written %2F and %40")
        host = known.get("host") or known.get("service") or "PostgreSQL"
        port = f":{known['port']}" if known.get("port") else ""
        return f"{host}{port}/{known['dbname']}" if known.get("dbname") else f"{host}{port}"

    def write(self, spaces: Sequence[BlendSpace]) -> list[str]:
        """Copy all spaces in one transaction."""
        names = {(n, split): container(self.table, space, split) for n, space in enumerate(spaces) for split in SPLITS}
        for name in names.values():
            _refuse_name(name)
        with self._connection() as connection:
            old = [name for name in names.values() if self._is_replaced(connection, name)]
            for (n, split), name in names.items():
                _copy(connection, name + _NEW, spaces[n], split)
            # one that somebody has made meanwhile is not dropped: its name is then taken, and nothing is written
            for name in old:
                _run(connection, "DROP TABLE {}", name)
            for name in names.values():
                _run(connection, "ALTER TABLE {} RENAME TO {}", name + _NEW, name.rpartition(".")[2])
                _run(connection, "ALTER TABLE {} ADD PRIMARY KEY (image, view)", name)
        return list(names.values())

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Any]:
        """One transaction; whatever goes wrong with it is one line that says so."""
        place, psycopg, register = self.place, _psycopg(), load_extra("pgvector.psycopg", EXTRA).register_vector
        with self._refusing(f"{place}: cannot be connected to"):
            # given first: what the URL says of it stands
            known = {"connect_timeout": 10, **psycopg.conninfo.conninfo_to_dict(self.url)}
            connection = psycopg.connect(**known)
        with self._refusing(f"{place}: nothing was written"), connection:
            if connection.execute("SELECT to_regtype('vector')").fetchone() == (None,):
                raise FinblendError(
                    f"{place}: has no pgvector in this database; its owner types CREATE EXTENSION vector "
                    "(https://github.com/pgvector/pgvector)"
                )
            register(connection)
            yield connection

    def _is_replaced(self, connection: Any, name: str) -> bool:
        """Whether an earlier export's table goes; any other that is there is refused."""
        asked = "SELECT to_regclass({}), obj_description(to_regclass({}), 'pg_class')"
        there, comment = connection.execute(_composed(asked, literal=_quoted(connection, name))).fetchone()
        if there is None:
            return False
        if not str(comment).startswith(EXPORT_MARK):
            raise FinblendError(f"{self.place}: {name} is not of an export of finblend's; choose another --table")
        if not self.replace:
            raise FinblendError(f"{self.place}: {name} exists already; replace it with --replace")
        return True

    @contextlib.contextmanager
    def _refusing(self, what: str, *, told: bool = True) -> Iterator[None]:
        psycopg = _psycopg()
        try:
            yield
        except (psycopg.Error, OSError) as error:
            message = f" ({' '.join(str(error).split())})" if told else ""
            raise FinblendError(f"{what}{self._without_password(message)}") from None

    def _without_password(self, message: str) -> str:
        password = _psycopg().conninfo.conninfo_to_dict(self.url).get("password") if message else None
        return message.replace(str(password), "***") if password else message


def _psycopg() -> Any:
    load_extra("psycopg.conninfo", EXTRA)
    return load_extra("psycopg", EXTRA)


def _copy(connection: Any, name: str, space: BlendSpace, split: str) -> None:
    if space.width > MAX_WIDTH:
        raise FinblendError(f"vectors of {space.width} numbers: pgvector's hold {MAX_WIDTH}; write files, or to Qdrant")
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(PAYLOAD, _TYPES, strict=True))
    _run(connection, "CREATE TABLE {} (" + columns + f", vector vector({space.width}))", name)
    mark = f"{EXPORT_MARK}: {space.project}, {space.name}; has seen every label"
    connection.execute(_composed("COMMENT ON TABLE {} IS {}", name, literal=mark))
    with connection.cursor().copy(_composed("COPY {} FROM STDIN (FORMAT BINARY)", name)) as copy:
        copy.set_types([*_TYPES, "vector"])
        for batch in space.batches(split):
            for known, vector in zip(batch.photos.iter_rows(), batch.vectors, strict=True):
                copy.write_row((*known, vector))


def _run(connection: Any, statement: str, *names: str) -> None:
    connection.execute(_composed(statement, *names))


def _composed(statement: str, *names: str, literal: str | None = None) -> Any:
    """A statement with identifiers in its first braces and a literal in the others."""
    sql = load_extra("psycopg.sql", EXTRA)
    places = statement.count("{}") - len(names)
    parts = [sql.Identifier(*name.split(".")) for name in names]
    return sql.SQL(statement).format(*parts, *[sql.Literal(literal)] * places)


def _quoted(connection: Any, name: str) -> str:
    return str(load_extra("psycopg.sql", EXTRA).Identifier(*name.split(".")).as_string(connection))


def _refuse_name(name: str) -> None:
    parts = name.split(".")
    if len(parts) > 2 or not all(part.strip() and part.isprintable() for part in parts):
        raise FinblendError(f"--table {name!r}: must be NAME or SCHEMA.NAME")
    if len((parts[-1] + _NEW).encode()) > MAX_NAME:
        raise FinblendError(f"{name}: is too long; with {_NEW} at its end a name of PostgreSQL has {MAX_NAME} bytes")
