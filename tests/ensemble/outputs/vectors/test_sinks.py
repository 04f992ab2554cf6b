"""One contract for all that vectors are written to: what is written, what a search in it finds, what is never lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from postgres import Database
from qdrant_client import QdrantClient
from qdrant_server import StandIn, stand_in
from vector_worlds import blended, same_ranking, spaces_of

import ensemble.outputs.vectors.blend_space
from cv import FinblendError
from ensemble.outputs.vectors.blend_space import PAYLOAD, BlendSpace
from ensemble.outputs.vectors.files import NpzSink, ParquetSink
from ensemble.outputs.vectors.pgvector import PgvectorSink
from ensemble.outputs.vectors.qdrant import QdrantSink
from ensemble.outputs.vectors.sink import VectorSink, container

K = 100
Rows = tuple[pl.DataFrame, np.ndarray]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks a split: of 19 photos with vectors of 52 numbers."""
    monkeypatch.setattr(ensemble.outputs.vectors.blend_space, "BLOCK_BYTES", 4096)


class Interrupted(Exception):
    """What a progress raises."""


def interrupting(after: int) -> Callable[[str, int, int], None]:
    done = []

    def progress(what: str, n: int, total: int) -> None:
        done.append(n)
        if len(done) >= after:
            raise Interrupted

    return progress


class SinkContract:
    """Subclass it with fixtures `sink` and `place`, and ways to read what was written."""

    # of what a sink keeps beside images
    payload = list(PAYLOAD)

    def sink(self, place: object, name: str, replace: bool = False) -> VectorSink:
        raise NotImplementedError

    def stored(self, place: object, name: str, space: BlendSpace, split: str) -> Rows:
        """Everything that is kept, in any order."""
        raise NotImplementedError

    def search(self, place: object, name: str, space: BlendSpace, vector: np.ndarray) -> list[str]:
        """The names of the first K photos, by the platform's own search."""
        raise NotImplementedError

    def names(self, place: object) -> set[str]:
        """Whatever is there, halves and leftovers too."""
        raise NotImplementedError

    @pytest.mark.parametrize("world", ["frozen_world", "fold_world"])
    def test_what_is_written_is_what_the_blend_computes(
        self, worlds: dict[str, Path], place: object, world: str
    ) -> None:
        spaces = spaces_of(worlds[world])
        written = self.sink(place, world).write(spaces)
        assert self.names(place) >= set(written)
        for space in spaces:
            for split in ("train", "test"):
                photos, vectors = self.stored(place, world, space, split)
                batches = list(space.batches(split))
                several = len(batches) > len(space.views)
                assert several == (split == "train")
                expected = pl.concat(batch.photos for batch in batches).select(self.payload).with_row_index("at")
                on = ["image", "view"] if "view" in self.payload else ["image"]
                order = photos.join(expected.select(*on, "at"), on=on, how="left", maintain_order="left")["at"]
                assert photos.select(self.payload).equals(expected[order].drop("at"))
                assert sorted(order) == list(range(space.rows(split)))
                assert vectors.dtype == np.float32
                np.testing.assert_array_equal(vectors, np.concatenate([b.vectors for b in batches])[order.to_numpy()])

    def test_a_search_finds_the_first_hundred_of_the_blend_for_every_query(
        self, worlds: dict[str, Path], place: object
    ) -> None:
        [space] = spaces_of(worlds["frozen_world"])
        self.sink(place, "fins").write([space])
        similarity, images = blended(space, "only", "only"), space.catalogue.train_images
        queries = np.concatenate(list(space.blocks("test", "only")))
        for row, vector in enumerate(queries):
            found = self.search(place, "fins", space, vector)
            assert same_ranking(found, similarity[row], images)
            assert not same_ranking(found, similarity[row - 1], images)
            # that copies may stand in any order excuses few
            best = np.argsort(-similarity[row], kind="stable")[:K]
            assert sum(a != images[b] for a, b in zip(found, best, strict=True)) <= 6

    def test_an_interrupted_writing_leaves_nothing(self, worlds: dict[str, Path], place: object) -> None:
        before = self.names(place)
        for after in (1, 5):
            with pytest.raises(Interrupted):
                self.sink(place, "broken").write(spaces_of(worlds["frozen_world"], progress=interrupting(after)))
            assert self.names(place) == before

    def test_what_is_there_is_refused_before_anything_is_computed(self, worlds: dict[str, Path], place: object) -> None:
        self.sink(place, "twice").write(spaces_of(worlds["frozen_world"]))
        spaces = spaces_of(worlds["frozen_world"], progress=interrupting(1))
        with pytest.raises(FinblendError, match=r"twice.* already") as refusal:
            self.sink(place, "twice").write(spaces)
        assert "\n" not in str(refusal.value)
        assert "_fitted" not in vars(spaces[0])


class ReplacingContract(SinkContract):
    """What can be replaced, is replaced as a whole."""

    def test_an_interrupted_replacing_keeps_the_old_and_a_complete_one_leaves_no_trace_of_it(
        self, worlds: dict[str, Path], place: object
    ) -> None:
        old, new = ({"one": weight, "two": 1 - weight} for weight in (0.35, 0.9))
        self.sink(place, "again").write(spaces_of(worlds["frozen_world"], weights=old))
        before = self.names(place)
        with pytest.raises(Interrupted):
            self.sink(place, "again", replace=True).write(
                spaces_of(worlds["frozen_world"], weights=new, progress=interrupting(5))
            )
        assert self.names(place) == before
        for weights, replaces in ((old, False), (new, True)):
            [space] = spaces_of(worlds["frozen_world"], weights=weights)
            if replaces:
                self.sink(place, "again", replace=True).write([space])
                assert len(self.names(place)) == len(before)
            photos, vectors = self.stored(place, "again", space, "test")
            computed = np.concatenate(list(space.blocks("test", "only")))
            order = [space.catalogue.test_images.index(image) for image in photos["image"]]
            np.testing.assert_array_equal(vectors, computed[order])


class OfFolder(SinkContract):
    """Files: searched by a product of all with all."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return tmp_path

    def names(self, place: Path) -> set[str]:  # type: ignore[override]
        return {path.name for path in place.rglob("*")}

    def search(self, place: Path, name: str, space: BlendSpace, vector: np.ndarray) -> list[str]:  # type: ignore[override]
        photos, vectors = self.stored(place, name, space, "train")
        order = np.argsort(-(vectors @ vector), kind="stable")
        return photos["image"][order[:K]].to_list()


class TestNpz(OfFolder):
    payload = ["image"]

    def sink(self, place: Path, name: str, replace: bool = False) -> VectorSink:  # type: ignore[override]
        return NpzSink(place / name)

    def stored(self, place: Path, name: str, space: BlendSpace, split: str) -> Rows:  # type: ignore[override]
        with np.load(place / name / f"{space.name}.npz", allow_pickle=False) as file:
            keys = [""] if len(space.views) == 1 else [f"_{view}" for view in space.views]
            arrays = [file[f"{split}_embedding{key}"] for key in keys]
            images = file[f"{split}_image"].tolist()
        return pl.DataFrame({"image": images * len(keys)}), np.concatenate(arrays)

    @pytest.mark.parametrize("world", ["frozen_world"])
    def test_what_is_written_is_what_the_blend_computes(self, worlds: dict[str, Path], place: Path, world: str) -> None:
        super().test_what_is_written_is_what_the_blend_computes(worlds, place, world)

    def test_views_are_arrays_of_their_own(self, worlds: dict[str, Path], place: Path) -> None:
        spaces = spaces_of(worlds["fold_world"])
        NpzSink(place / "v").write(spaces)
        for space in spaces:
            with np.load(place / "v" / f"{space.name}.npz", allow_pickle=False) as file:
                for split in ("train", "test"):
                    for view in ("orig", "hflip"):
                        said = np.concatenate(list(space.blocks(split, view)))
                        np.testing.assert_array_equal(file[f"{split}_embedding_{view}"], said)


class TestParquet(OfFolder):
    def sink(self, place: Path, name: str, replace: bool = False) -> VectorSink:  # type: ignore[override]
        return ParquetSink(place / name)

    def stored(self, place: Path, name: str, space: BlendSpace, split: str) -> Rows:  # type: ignore[override]
        role = "gallery" if split == "train" else "queries"
        table = pl.read_parquet(place / name / f"{space.name}-{role}.parquet")
        assert table.schema["vector"] == pl.Array(pl.Float32, space.width)
        return table.drop("vector"), table["vector"].to_numpy()


class TestPgvector(ReplacingContract):
    @pytest.fixture
    def place(self, server: Database) -> Database:
        for name in self.names(server):
            server.run(f'DROP TABLE "{name}"')
        return server

    def sink(self, place: Database, name: str, replace: bool = False) -> VectorSink:  # type: ignore[override]
        return PgvectorSink(place.url, name, replace)

    def names(self, place: Database) -> set[str]:  # type: ignore[override]
        return {name for (name,) in place.run("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}

    def stored(self, place: Database, name: str, space: BlendSpace, split: str) -> Rows:  # type: ignore[override]
        rows = place.run(f"SELECT * FROM {container(name, space, split)}")
        photos = pl.DataFrame([row[:-1] for row in rows], schema=PAYLOAD, orient="row")
        return photos, np.array([row[-1].to_numpy() for row in rows])

    def search(self, place: Database, name: str, space: BlendSpace, vector: np.ndarray) -> list[str]:  # type: ignore[override]
        found = place.run(f"SELECT image FROM {name} ORDER BY vector <#> %s, image LIMIT {K}", vector)
        return [image for (image,) in found]


class TestQdrantInMemory(ReplacingContract):
    """The client's local mode: its own search, but not the server's."""

    @pytest.fixture
    def place(self) -> QdrantClient:
        return QdrantClient(":memory:")

    def sink(self, place: QdrantClient, name: str, replace: bool = False) -> VectorSink:  # type: ignore[override]
        return QdrantSink("http://memory", name, replace, place)

    def names(self, place: QdrantClient) -> set[str]:  # type: ignore[override]
        aliases = {each.alias_name for each in place.get_aliases().aliases}
        return aliases | {each.name for each in place.get_collections().collections}

    def stored(self, place: QdrantClient, name: str, space: BlendSpace, split: str) -> Rows:  # type: ignore[override]
        alias = container(name, space, split)
        points, _ = place.scroll(alias, limit=10_000, with_vectors=True)
        photos = pl.DataFrame([point.payload for point in points], schema=PAYLOAD)
        return photos, np.array([point.vector for point in points], dtype=np.float32)

    def search(self, place: QdrantClient, name: str, space: BlendSpace, vector: np.ndarray) -> list[str]:  # type: ignore[override]
        return [point.payload["image"] for point in place.query_points(name, vector, limit=K).points]


class TestQdrantOverHttp(TestQdrantInMemory):
    """The same through the client's requests, to a stand-in on the loopback address."""

    @pytest.fixture
    def place(self) -> Iterator[StandIn]:  # type: ignore[override]
        with stand_in() as server:
            yield server

    def sink(self, place: StandIn, name: str, replace: bool = False) -> VectorSink:  # type: ignore[override]
        return QdrantSink(place.url, name, replace)

    def names(self, place: StandIn) -> set[str]:  # type: ignore[override]
        return super().names(place.client)

    def stored(self, place: StandIn, name: str, space: BlendSpace, split: str) -> Rows:  # type: ignore[override]
        return super().stored(place.client, name, space, split)

    def search(self, place: StandIn, name: str, space: BlendSpace, vector: np.ndarray) -> list[str]:  # type: ignore[override]
        return super().search(QdrantClient(url=place.url, check_compatibility=False), name, space, vector)
