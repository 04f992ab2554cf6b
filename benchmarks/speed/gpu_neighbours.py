"""Neighbours on a GPU: whether they are the processor's, and how fast the screen is beside plain products."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np

from backbones.vision import load
from benchmarks.common.measuring import timed
from benchmarks.speed.gpu_bench import Bench
from postproc import Neighbours, Space, top_k
from postproc.neighbours import engine
from postproc.neighbours.lists import NeighbourLists, search_lists
from postproc.neighbours.screen_gpu import DeviceTables, OnDevice

WANTED = 0.6


def drawn(rng: np.random.Generator, n: int, width: int, common: float = 0.0) -> np.ndarray:
    """Photos of which a third are exact copies of others; `common` is what all share."""
    array = rng.standard_normal((n, width)).astype(np.float32) + np.float32(common)
    copies = rng.permutation(n)[: n // 3]
    array[copies] = array[rng.permutation(copies)[rng.integers(0, len(copies), len(copies))]]
    return array


def cases(rng: np.random.Generator, n: int) -> dict[str, Callable[[str], Neighbours | NeighbourLists]]:
    """Searches by name; each takes the back end."""
    m = max(1, n // 3)
    query, gallery = drawn(rng, m, 128), drawn(rng, n, 128)
    plain = Space(((query,),), ((gallery,),))
    alike = Space(((drawn(rng, m, 96, 8.0),),), ((drawn(rng, n, 96, 8.0),),))
    views = Space(
        ((query, drawn(rng, m, 128)), (drawn(rng, m, 40), drawn(rng, m, 40))),
        ((gallery, drawn(rng, n, 128)), (drawn(rng, n, 40), drawn(rng, n, 40))),
    )

    def numbers(most: int, size: int) -> np.ndarray:
        return rng.integers(0, most, size, dtype=np.int32)

    groups = {"query_group": numbers(5, m), "gallery_group": numbers(5, n)}
    classes = {"query_class": numbers(26, m), "gallery_class": numbers(26, n)}
    # three sources, one of two parts, so that the list by all of them weighs them unequally
    own = [((gallery,),), ((drawn(rng, n, 200),),), ((drawn(rng, n, 64),), (drawn(rng, n, 32),))]
    sources = [(Space(parts, parts), 0) for parts in own]
    group, kind = rng.integers(0, n // 4, n), rng.integers(0, 9, n)
    own_groups, own_classes = (
        {f"{who}_{what}": values for who in ("query", "gallery")}
        for what, values in (("group", group), ("class", kind))
    )
    several = [(plain, 0), (Space(((drawn(rng, m, 64),),), ((drawn(rng, n, 64),),)), 0)]
    k = min(60, n // 4)
    return {
        "ties": lambda backend: top_k(plain, k, backend=backend),
        "all cosines large": lambda backend: top_k(alike, k, backend=backend),
        "groups": lambda backend: top_k(plain, k, backend=backend, **groups),
        "classes and groups": lambda backend: top_k(plain, k, backend=backend, **classes, **groups),
        "several views and parts": lambda backend: top_k(views, k, view=1, backend=backend),
        "lists by each and by all": lambda backend: search_lists(several, k, k, backend=backend, **classes, **groups),
        "queries are the gallery": lambda backend: search_lists(
            sources, k, k, backend=backend, **own_groups, **own_classes
        ),
    }


def arrays_of(found: Neighbours | NeighbourLists) -> list[np.ndarray]:
    """All arrays of an answer that are promised to be the same."""
    if isinstance(found, Neighbours):
        return [found.index, found.similarity]
    lists = (*found.nearest, *found.same_class, found.fused, found.fused_same_class)
    return [array for near in lists if near is not None for array in arrays_of(near)]


def same(bench: Bench) -> dict[str, Any]:
    """Which searches give the processor's bits."""
    results: dict[str, Any] = {}
    for name, search in cases(np.random.default_rng(17), bench.sizes.photos).items():
        if not bench.has():
            results[name] = "left out: no time"
            continue
        expected = arrays_of(search("float32"))
        equal = []
        for tile in (OnDevice.tile, bench.sizes.tile):
            with bench.screening() as backend, mock.patch.object(OnDevice, "tile", tile):
                found = arrays_of(search(backend))
            equal.append(all(a.tobytes() == b.tobytes() for a, b in zip(found, expected, strict=True)))
        results[name] = all(equal)
    return results


def rate(bench: Bench) -> dict[str, Any]:
    """Seconds of the screen and of plain products, of one source's lists and of a catalogue among itself."""
    s, rng = bench.sizes, np.random.default_rng(3)
    mixing = rng.standard_normal((96, s.width), dtype=np.float32)

    def looks(n: int) -> np.ndarray:
        # so many directions as embeddings have, and photos that are near others
        own = rng.standard_normal((max(1, n // 3), 96), dtype=np.float32)[rng.integers(0, max(1, n // 3), n)]
        return np.tanh((own + 0.7 * rng.standard_normal((n, 96), dtype=np.float32)) @ mixing / 10)

    query, gallery = looks(s.queries), looks(s.gallery)
    one = Space(((query,),), ((gallery,),))
    among = Space(((gallery,),), ((gallery,),))
    encounter = np.arange(s.gallery, dtype=np.int32) // 2
    kind = rng.integers(0, 26, s.gallery).astype(np.int32)
    searches: dict[str, tuple[Callable[[str], Any], int, int]] = {
        "nearest": (lambda backend: top_k(one, s.k, backend=backend), s.queries, s.gallery),
        "catalogue": (
            lambda backend: search_lists(
                [(among, 0)], s.k, backend=backend,
                query_group=encounter, gallery_group=encounter, query_class=kind, gallery_class=kind,
            ),
            s.gallery, s.gallery // 2,  # of (i, j) and (j, i) one is multiplied
        ),
    }  # fmt: skip
    results: dict[str, Any] = {"photos": [s.queries, s.gallery, s.width], "wanted": WANTED}
    for name, (search, n, m) in searches.items():
        if not bench.has(20 if bench.device == "cuda" else 0):
            results[name] = "left out: no time"
            continue
        product = _product(bench, query, gallery) * n * m / (s.queries * s.gallery)
        with bench.screening() as backend:
            search(backend)
            runs = [_searched(bench, lambda search=search, backend=backend: search(backend)) for _ in range(2)]
        best = min(runs, key=lambda run: run["seconds"])
        results[name] = {
            **best,
            "product": product,
            "share_of_product": product / (best["multiply"] + best["collect"]),
            "tflops": 2e-12 * n * m * s.width / (best["multiply"] + best["collect"]),
            "product_tflops": 2e-12 * n * m * s.width / product,
        }
    return results


def _searched(bench: Bench, search: Callable[[], Any]) -> dict[str, float]:
    """Seconds of a search: the whole, and of it multiplying, collecting (both with their transfers) and refining.

    What is left is rounding and norms, on the processor. Waiting for the device after each step costs a little.
    """
    spent = dict.fromkeys(("multiply", "collect", "refine"), 0.0)

    def watched(what: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            start = time.perf_counter()
            value = work(*args)
            _wait(bench)
            spent[what] += time.perf_counter() - start
            return value

        return run

    with (
        mock.patch.object(OnDevice, "multiply", watched("multiply", OnDevice.multiply)),
        mock.patch.object(DeviceTables, "collect", watched("collect", DeviceTables.collect)),
        mock.patch.object(engine, "exact_lists", watched("refine", engine.exact_lists)),
    ):
        seconds = timed(search)[0]
    return {"seconds": seconds, **spent}


def _product(bench: Bench, query: np.ndarray, gallery: np.ndarray) -> float:
    """Seconds of the plain product in bfloat16, tile by tile, of what lies on the device."""
    torch, tile = load("torch"), OnDevice.tile
    left, right = (torch.from_numpy(a).to(bench.device).to(torch.bfloat16) for a in (query, gallery))

    def multiply() -> None:
        for some in right.split(tile):
            for rows in left.split(tile):
                rows @ some.T
        _wait(bench)

    multiply()
    return min(timed(multiply)[0] for _ in range(3))


def _wait(bench: Bench) -> None:
    if bench.device == "cuda":
        load("torch").cuda.synchronize()
