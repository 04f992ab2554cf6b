"""Contracts as test classes: subclass one in your own tests, and every rule is checked on what you wrote.

Imports pytest, which finblend itself does not need.
"""

import pytest

# failures of the contract then show their values, as those of a test file do
pytest.register_assert_rewrite("backbones.testing.adapters", "backbones.testing.matching")

from backbones.testing.adapters import AdapterContract  # noqa: E402
from backbones.testing.matching import MatcherContract  # noqa: E402

__all__ = ["AdapterContract", "MatcherContract"]
