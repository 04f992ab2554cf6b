"""Everything about the GPU that has to be checked and measured, in one script of under ten minutes.

    python -m benchmarks.speed.on_gpu [--budget 540] [--json FILE]
    python -m benchmarks.speed.on_gpu --dry-run         the same code on the processor, tiny: it measures nothing

same       neighbours screened on the GPU (FINBLEND_DEVICE=cuda) are those of the processor, to the bit: ties, groups,
           classes, several views, sources of unequal weight, cosines that are all large, one tile and many
rate       seconds of the screen at Happywhale's size beside torch's plain bfloat16 product of the same tiles
embedding  photos a second from JPEG files to embeddings, beside decoding alone by the same processes

One JSON line with all of it comes first, a short table after it. Each part has its share of the budget and leaves out
what would not fit, saying so; a part that fails does not keep the others from running. Nothing is fetched.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from backbones.vision import load
from benchmarks.speed.gpu_bench import DRY, Bench, Sizes
from benchmarks.speed.gpu_neighbours import rate, same
from benchmarks.speed.gpu_photos import embedding

# of the budget
SHARES = {"same": 0.25, "rate": 0.35, "embedding": 0.4}
PARTS: dict[str, Callable[[Bench], dict[str, Any]]] = {"same": same, "rate": rate, "embedding": embedding}


def measured(device: str, sizes: Sizes, budget: float) -> dict[str, Any]:
    """Every part within its share of the seconds."""
    torch = load("torch")
    name = torch.cuda.get_device_name() if device == "cuda" else "processor (dry run: nothing is measured)"
    results: dict[str, Any] = {"device": name, "torch": torch.__version__}
    start, share = time.monotonic(), 0.0
    for part, work in PARTS.items():
        share += SHARES[part]
        try:
            results[part] = work(Bench(device, sizes, start + share * budget))
        except Exception as error:
            # the other parts are still to be measured: the machine may be lent for minutes only
            results[part] = {"error": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"}
    results["seconds"] = time.monotonic() - start
    return results


def table(results: dict[str, Any]) -> str:
    """What was found, in short."""
    lines = [f"{results['device']}, torch {results['torch']}, {results['seconds']:.0f} s"]
    for part in PARTS:
        for name, value in results[part].items():
            told = ", ".join(f"{k} {v:.3g}" for k, v in value.items()) if isinstance(value, dict) else value
            lines.append(f"{part:10} {name:26} {told}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry-run", action="store_true", help="on the processor, tiny, to see that it runs")
    parser.add_argument("--budget", type=float, default=540.0, help="seconds")
    parser.add_argument("--json", type=Path, help="also write the JSON there")
    options = parser.parse_args(arguments)
    cores = len(os.sched_getaffinity(0))
    device, sizes = ("cpu", DRY) if options.dry_run else ("cuda", Sizes(workers=cores))
    if device == "cuda" and not load("torch").cuda.is_available():
        print("on_gpu: torch finds no NVIDIA GPU here; --dry-run runs the same code on the processor", file=sys.stderr)
        return 1
    results = measured(device, sizes, options.budget)
    text = json.dumps(results)
    if options.json is not None:
        options.json.write_text(text + "\n")
    print(text)
    print(table(results))
    return int(any("error" in results[part] for part in PARTS) or not all(v is True for v in results["same"].values()))


if __name__ == "__main__":
    sys.exit(main())
