"""The version of finblend."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def finblend_version() -> str:
    """The installed version."""
    try:
        return version("finblend")
    except PackageNotFoundError:
        return "not installed"
