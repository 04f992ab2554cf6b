"""Contracts as test classes: subclass one in your own tests, and every rule is checked on what you wrote.

Imports pytest, which finblend itself does not need, and torch where `AdapterContract` is asked for.
"""

from typing import TYPE_CHECKING

import pytest

from cv.lazy import lazy_names

if TYPE_CHECKING:
    from backbones.testing.adapters import AdapterContract
    from backbones.testing.local_features import LocalFeatureContract
    from backbones.testing.matching import MatcherContract

# failures of the contracts then show their values, as those of a test file do
pytest.register_assert_rewrite(*(f"backbones.testing.{name}" for name in ("adapters", "local_features", "matching")))

# on first use: features need no torch, and networks no OpenCV
__getattr__ = lazy_names(
    __name__,
    {
        "AdapterContract": "backbones.testing.adapters",
        "LocalFeatureContract": "backbones.testing.local_features",
        "MatcherContract": "backbones.testing.matching",
    },
)

__all__ = ["AdapterContract", "LocalFeatureContract", "MatcherContract"]
