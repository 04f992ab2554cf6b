"""What stands in the way of an export is one line; no password is ever in it, nor in the log of commands."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from urllib.parse import quote

import numpy as np
import polars as pl
import pytest
from postgres import Database
from qdrant_client import models
from qdrant_server import stand_in
from vector_worlds import spaces_of

from cv import FinblendError
from ensemble import export, init, register
from ensemble.cli import main
from ensemble.outputs.vectors.pgvector import MAX_WIDTH, PgvectorSink
from ensemble.outputs.vectors.qdrant import QdrantSink
from ensemble.outputs.vectors.sink import VectorSink

SECRET = "gehe/im@ & more"
# a port that nobody listens on
NOBODY = "127.0.0.1:1"


@pytest.fixture
def project(worlds: dict[str, Path], tmp_path: Path) -> Path:
    shutil.copytree(worlds["frozen_world"], tmp_path / "P")
    return tmp_path / "P"


def refusal(sink: VectorSink, worlds: dict[str, Path], **changes: object) -> str:
    with pytest.raises(FinblendError) as refused:
        sink.write(spaces_of(worlds["frozen_world"], **changes))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_database_without_pgvector(server: Database, worlds: dict[str, Path]) -> None:
    server.run("CREATE DATABASE bare")
    told = refusal(PgvectorSink(f"{server.url}&dbname=bare", "fins"), worlds)
    assert "bare: has no pgvector in this database; its owner types CREATE EXTENSION vector" in told


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{quote(SECRET, safe='')}@{NOBODY}/whales",
        f"postgresql://me:{SECRET}@{NOBODY}/whales",
        f"host=127.0.0.1 port=1 user=me password='{SECRET}'",
        f"host=127.0.0.1 port=1 user=me password={SECRET}",
        f"postgresql://me@{NOBODY}/whales?password={SECRET}",
        f"postgresql://me@{NOBODY}/whales?passwort={quote(SECRET)}",
    ],
)
def test_no_server_and_no_password_in_what_is_told(url: str, worlds: dict[str, Path]) -> None:
    told = refusal(PgvectorSink(url, "fins"), worlds)
    assert re.search(r"127\.0\.0\.1:1(/whales)?: cannot be connected to|the URL is none of PostgreSQL's", told)
    assert "gehe" not in told
    assert "more" not in told


def test_a_table_of_somebody_else_is_never_replaced(server: Database, worlds: dict[str, Path]) -> None:
    server.run("CREATE TABLE theirs_queries (name text)")
    for replace in (False, True):
        told = refusal(PgvectorSink(server.url, "theirs", replace), worlds)
        assert "theirs_queries is not of an export of finblend's; choose another --table" in told
    assert server.run("SELECT to_regclass('theirs')") == [(None,)]
    # nor one that stands where the new one is written
    server.run("CREATE TABLE mine_new (name text)")
    assert 'nothing was written (relation "mine_new" already exists)' in refusal(
        PgvectorSink(server.url, "mine"), worlds
    )


def test_a_table_that_somebody_makes_meanwhile_stays(server: Database, worlds: dict[str, Path]) -> None:
    def make(*about: object) -> None:
        server.run("CREATE TABLE IF NOT EXISTS late (name text)")

    told = refusal(PgvectorSink(server.url, "late", True), worlds, progress=make)
    assert 'nothing was written (relation "late" already exists)' in told
    assert server.run("SELECT * FROM late") == []
    assert server.run("SELECT to_regclass('late_new')") == [(None,)]


@pytest.mark.parametrize("name", ["a.b.c", "", " ", "schema.", "\udcff", "n" * 55])
def test_names_that_no_table_has(name: str, server: Database, worlds: dict[str, Path]) -> None:
    told = refusal(PgvectorSink(server.url, name), worlds)
    assert "must be NAME or SCHEMA.NAME" in told or "63 bytes" in told


def test_a_schema_may_stand_before_a_name(server: Database, worlds: dict[str, Path]) -> None:
    server.run('CREATE SCHEMA "Fins"')
    for replace in (False, True):
        PgvectorSink(server.url, "Fins.whales", replace).write(spaces_of(worlds["frozen_world"]))
    assert server.run('SELECT count(*) FROM "Fins".whales') == [(240,)]
    assert "schema" in refusal(PgvectorSink(server.url, "nowhere.whales"), worlds)


def test_a_connection_that_breaks_in_the_middle(server: Database, worlds: dict[str, Path]) -> None:
    def end_others(*about: object) -> None:
        server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY%%'")

    told = refusal(PgvectorSink(server.url, "torn"), worlds, progress=end_others)
    assert "nothing was written" in told
    assert server.run("SELECT tablename FROM pg_tables WHERE tablename LIKE 'torn%'") == []


def test_vectors_wider_than_a_column(server: Database, project: Path) -> None:
    images = [f"tr{i}.jpg" for i in range(6)], ["q.jpg"]
    wide = np.random.default_rng(0).standard_normal((7, MAX_WIDTH + 1), dtype=np.float32)
    table = pl.DataFrame({"image": images[0], "individual_id": list("aabbcc"), "species": ["orca"] * 6})
    folder = project.parent / "Q"
    init(folder, train=table, test=pl.DataFrame({"image": images[1]}), folds=2)
    register(folder, "wide", frozen=True, train=(images[0], wide[:6]), test=(images[1], wide[6:]))
    (folder / "blend.json").write_text('{"weights": {"wide": 1.0}}')
    with pytest.raises(FinblendError, match="vectors of 16001 numbers: pgvector's hold 16000"):
        export(folder, to="pgvector", url=server.url, table="wide")


def test_qdrant_that_is_not_there_or_wants_a_key(worlds: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    told = refusal(QdrantSink(f"http://me:secret@{NOBODY}", "fins"), worlds)
    assert told == f"http://{NOBODY}: cannot be asked ([Errno 111] Connection refused)"
    for url in ("localhost:6333", "ftp://localhost", "http://"):
        assert "must be http://HOST:PORT" in refusal(QdrantSink(url, "fins"), worlds)
    for name in ("fins?x", "a/b", "..", "", "-a"):
        assert "must be letters, digits, - and _" in refusal(QdrantSink(f"http://{NOBODY}", name), worlds)
    assert "is no address" in refusal(QdrantSink("http://localhost:port", "fins"), worlds)
    with stand_in() as server:
        server.key = "open sesame"
        assert "401" in (told := refusal(QdrantSink(server.url, "fins"), worlds))
        assert "the key stands in QDRANT_API_KEY" in told
        monkeypatch.setenv("QDRANT_API_KEY", "open sesame")
        with pytest.warns(UserWarning, match="insecure connection"):
            assert QdrantSink(server.url, "fins").write(spaces_of(worlds["frozen_world"])) == ["fins", "fins_queries"]


def test_a_qdrant_that_gives_up_in_the_middle_keeps_no_half(
    worlds: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ensemble.outputs.vectors.qdrant.REQUEST_NUMBERS", 52 * 10)
    with stand_in() as server:
        QdrantSink(server.url, "fins").write(spaces_of(worlds["frozen_world"]))
        assert server.largest < 52 * 10 * 25 + 4000
        before = server.client.get_collections()
        server.uploads_left = 3
        told = refusal(QdrantSink(server.url, "fins", True), worlds)
        assert "nothing was changed" in told
        assert "500" in told
        assert "no space left on device" in told
        assert server.client.get_collections() == before


def test_a_collection_of_somebody_else_is_never_replaced(worlds: dict[str, Path]) -> None:
    with stand_in() as server:
        one = models.VectorParams(size=1, distance=models.Distance.DOT)
        server.client.create_collection("theirs", one)
        alias = models.CreateAlias(collection_name="theirs", alias_name="other_queries")
        server.client.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
        for name in ("theirs", "other"):
            told = refusal(QdrantSink(server.url, name, True), worlds)
            assert "is not of an export of finblend's; choose another --collection" in told


@pytest.mark.parametrize(
    ("to", "missing"), [("pgvector", "psycopg"), ("pgvector", "pgvector"), ("qdrant", "qdrant_client")]
)
def test_a_missing_extra_is_told_with_what_installs_it(
    to: str, missing: str, server: Database, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    url = server.url if to == "pgvector" else f"http://{NOBODY}"
    with pytest.raises(FinblendError, match=rf"{missing}.* is needed here .*pip install 'finblend\[vectors\]'"):
        export(project, to=to, url=url, table="fins")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--to lance -o v", "--to must be one of npz, parquet, pgvector, qdrant, but got 'lance'"),
        ("--to parquet", "--to parquet writes files: -o names their folder"),
        ("-o v --replace", "--url, --table and --replace are for servers"),
        ("--to qdrant --url http://localhost:6333", "--table NAME into what"),
        ("--to pgvector --table fins", "--url (or FINBLEND_URL) says where"),
        ("--to pgvector --table fins --url postgresql://localhost -o v", "-o is for files"),
        ("--to pgvector --table fins --url postgresql://me:secret@localhost", "--url holds a password"),
        ("--to pgvector --table fins --url postgresql://localhost?password=secret", "--url holds a password"),
        ("--to qdrant --collection fins --url https://me:secret@localhost", "put the whole URL into FINBLEND_URL"),
    ],
)
def test_words_that_do_not_go_together(
    words: str, told: str, project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.parent)
    assert main(["export", "P", *words.split()]) == 1
    error = capsys.readouterr().err
    assert told in error
    assert "secret" not in error
    assert [path.name for path in project.parent.iterdir()] == ["P"]


def test_the_log_of_commands_holds_no_password(
    server: Database, project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # the server asks nobody for a password, and takes any
    monkeypatch.setenv("FINBLEND_URL", server.url.replace(":@", ":geheim@"))
    line = ["export", str(project), "--to", "pgvector", "--table", "logged"]
    assert main([*line, "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["files"] == ["logged", "logged_queries"]
    assert "background and threshold of new_individual" in json.loads(printed.out)["left_out"]
    assert main(line) == 1
    assert "logged exists already; replace it with --replace" in (again := capsys.readouterr().err)
    assert main([*line, "--url", server.url, "--replace"]) == 0
    log = (project / "commands.jsonl").read_text()
    assert [json.loads(row)["words"][0] for row in log.splitlines()] == ["export", "export"]
    assert "geheim" not in printed.out + printed.err + again + log + capsys.readouterr().out


def test_vectors_cannot_be_registered_as_a_model(project: Path) -> None:
    export(project, project.parent / "v", to="parquet")
    init(project.parent / "Q", train=project / "catalogue.parquet")
    path = project.parent / "v" / "frozen-gallery.parquet"
    for spec in (path, f"{path}:vector"):
        with pytest.raises(FinblendError, match="seen every label"):
            register(project.parent / "Q", "vectors", frozen=True, train=spec, test=spec)
