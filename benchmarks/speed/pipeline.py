"""The whole job on one world: evidence, trials, nested score, submission; in a process of its own.

    python -m benchmarks.speed.pipeline PROJECT TRIALS NESTED_TRIALS

prints one JSON line: seconds, highest anonymous memory, scores. Run by bench.py.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import ensemble
from benchmarks.common.measuring import anonymous_memory, timed


def main() -> None:
    folder, trials, nested = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    with anonymous_memory() as memory:
        evidence, _ = timed(lambda: ensemble.models(folder, new_share=0.112))
        tuning, tuned = timed(lambda: ensemble.tune(folder, trials=trials, new_share=0.112, nested_trials=nested))
        submitting, submitted = timed(lambda: ensemble.submit(folder, folder / "submission.csv"))
    print(
        json.dumps(
            {
                "evidence_seconds": evidence,
                "tune_seconds": tuning,
                "submit_seconds": submitting,
                "seconds": evidence + tuning + submitting,
                "anonymous_gib": memory["gib"],
                "trials": trials,
                "nested_trials": nested,
                "in_sample": tuned.map5,
                "nested": tuned.nested.map5 if tuned.nested else None,
                "prediction": tuned.nested.prediction if tuned.nested else None,
                "against": tuned.nested["against"] if tuned.nested else None,
                "certified": tuned["certified"],
                "enough": tuned["enough"],
                "recomputed_test": submitted.recomputed,
            }
        )
    )


if __name__ == "__main__":
    main()
