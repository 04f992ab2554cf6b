"""Exact neighbours against faiss's flat index and against the machine's plain bfloat16 product of the same sizes."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch

from benchmarks.common.measuring import best_of
from benchmarks.speed.faiss_peer import faiss, faiss_kernel, seconds_as_installed
from postproc import Space, top_k

# a real difference between two neighbours, rather than the last digit of a float32 sum
TIE = 1e-6


def measure(query: np.ndarray, gallery: np.ndarray, k: int, rounds: int, sample: int) -> dict[str, Any]:
    """Seconds of each for all queries; faiss and the check on a sample of them, scaled."""
    faiss.omp_set_num_threads(numba.get_num_threads())
    torch.set_num_threads(numba.get_num_threads())
    space = Space(((query,),), ((gallery,),))
    top_k(space, k, query_rows=np.arange(min(len(query), 64)))  # compiles
    few = np.sort(np.random.default_rng(0).choice(len(query), min(sample, len(query)), replace=False))
    unit = [a / np.linalg.norm(a, axis=1, keepdims=True) for a in (query[few], gallery)]
    index = faiss.IndexFlatIP(gallery.shape[1])
    index.add(unit[1])
    half = [torch.from_numpy(unit[0]).bfloat16(), torch.from_numpy(unit[1]).bfloat16()]
    # a small world is one block
    height, width = min(1024, len(few)), min(4096, len(gallery))
    product = torch.empty(height, width, dtype=torch.bfloat16)

    def plain_product() -> None:
        for first in range(0, len(few) - height + 1, height):
            for start in range(0, len(gallery) - width + 1, width):
                torch.mm(half[0][first : first + height], half[1][start : start + width].T, out=product)

    whole = (len(few) // height * height) * (len(gallery) // width * width) / (len(few) * len(gallery))
    results: dict[str, Any] = {}

    def screened() -> None:
        results["finblend"] = top_k(space, k)

    def flat() -> None:
        results["faiss"] = index.search(unit[0], k)

    least = best_of(rounds, {"finblend": screened, "faiss": flat, "product": plain_product})
    scale = len(query) / len(few)
    operations = 2.0 * len(query) * len(gallery) * query.shape[1]
    # enough for a rate; without help it may take minutes
    some = min(256, len(few))
    as_installed = seconds_as_installed(numba.get_num_threads(), len(gallery), some, gallery.shape[1], k)
    as_installed *= len(query) / some
    peer, product_seconds = least["faiss"] * scale, least["product"] * scale / whole
    return {
        "sizes": f"{len(gallery):,} x {len(query):,} x {query.shape[1]:,}, k = {k}",
        "seconds": least["finblend"],
        "gflops": operations / least["finblend"] / 1e9,
        "faiss_seconds": peer,
        "faiss_gflops": operations / peer / 1e9,
        "faiss_ratio": peer / least["finblend"],
        "faiss_kernel": faiss_kernel(),
        "faiss_as_installed_seconds": as_installed,
        "faiss_as_installed_ratio": as_installed / least["finblend"],
        "product_seconds": product_seconds,
        "product_gflops": operations / product_seconds / 1e9,
        "product_share": product_seconds / least["finblend"],
        "sample": len(few),
        **agreement(results["finblend"].index[few], results["finblend"].similarity[few], *results["faiss"]),
    }


def agreement(index: np.ndarray, similarity: np.ndarray, score: np.ndarray, expected: np.ndarray) -> dict[str, Any]:
    """Neighbours that differ, and those of them that are no ties."""
    differ = index != expected
    # in another place, but with the same similarity there
    no_tie = differ & (np.abs(similarity - score) > TIE)
    return {"same_place": float(1 - differ.mean()), "differ_beyond_ties": int(no_tie.sum())}
