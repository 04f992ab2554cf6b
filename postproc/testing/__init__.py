"""Contracts as test classes: subclass one in your own tests, and every rule is checked on what you wrote.

In: a trait and candidates, drawn or your own. Out: failed tests, or none.
Imports `postproc.second_stage`, `neighbours`, and pytest, which finblend itself does not need.
"""

import pytest

# failures of the contract then show their values, as those of a test file do
pytest.register_assert_rewrite("postproc.testing.traits")

from postproc.testing.traits import TraitContract  # noqa: E402

__all__ = ["TraitContract"]
