"""How many examples hypothesis tries: few and the same ones everywhere, or in `make test-long` many new ones."""

from __future__ import annotations

import os

from hypothesis import settings

LONG = os.environ.get("FINBLEND_HYPOTHESIS") == "long"
# how many times as many, in the long run
_TIMES = 10 if LONG else 1


def examples(number: int) -> settings:
    """A decorator for a test that needs another number of examples than others do."""
    return settings(max_examples=number * _TIMES)


def load_profile() -> None:
    """Set what holds for every test: no deadline, for these machines are noisy and numba compiles on first use."""
    settings.register_profile(
        "finblend", deadline=None, derandomize=not LONG, print_blob=LONG, max_examples=60 * _TIMES
    )
    settings.load_profile("finblend")
