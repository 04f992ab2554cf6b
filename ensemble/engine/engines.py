"""Engines by the name that `--engine` takes."""

from __future__ import annotations

import os

from cv.errors import FinblendError
from ensemble.engine.contract import Engine
from ensemble.engine.here import Here
from ensemble.engine.on_ray import OnRay

FORM = "here, ray or ray:ADDRESS"


def engine_of(name: str | Engine) -> Engine:
    """The engine of a name; an engine is given back.

    An item of Ray's gets as many CPUs as `OMP_NUM_THREADS` says, one where it says nothing.

    Parameters
    ----------
    name : str or Engine
        "here", "ray", "ray:auto", "ray:HOST:PORT".

    Raises
    ------
    FinblendError
        If there is none of that name, or Ray is not installed.

    Examples
    --------
    >>> engine_of("here")
    Here(cpus=None)
    >>> engine_of("spark")
    Traceback (most recent call last):
    cv.errors.FinblendError: --engine must be here, ray or ray:ADDRESS, but got 'spark'
    """
    if not isinstance(name, str):
        return name
    kind, colon, address = name.partition(":")
    if name == "here":
        return Here()
    if kind != "ray" or (colon and not address):
        raise FinblendError(f"--engine must be {FORM}, but got '{name}'")
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    if not threads.isdecimal() or int(threads) < 1:
        raise FinblendError(f"OMP_NUM_THREADS >= 1 must hold, but got '{threads}'")
    return OnRay.installed(address or None, int(threads))
