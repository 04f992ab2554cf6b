"""Weights that others published: fetching a file of the hub, and telling the terms that it comes with."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backbones.adapters.contract import Backbone, Published
from backbones.vision import load
from backbones.weights.saved import HUB_FILES
from cv.errors import FinblendError

# what may be used for anything, as timm writes it; "" and None: timm does not say
_FREE = ("apache-2.0", "mit", "bsd-3-clause", "", None)
_TERMS = {
    "cc-by-nc-4.0": "CC BY-NC 4.0: not for commercial use",
    "dinov3-license": "the DINOv3 licence, with terms of its own: "
    "https://ai.meta.com/resources/models-and-libraries/dinov3-license",
}


@contextmanager
def quiet_hub() -> Iterator[None]:
    """Leave out what the hub's client logs of its retries: one line tells what came of them."""
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def fetch(published: Published) -> Path:
    """The file of published weights, in the hub's cache on this machine.

    It is looked for there first, and only there where HF_HUB_OFFLINE is set.

    Raises
    ------
    FinblendError
        If it can neither be found nor fetched.
    """
    hub = load("huggingface_hub")
    reason = ""
    # what is there is taken, whatever it is called, before a network that may be gone is asked and asked again
    for cached in (True, False):
        for name in HUB_FILES:
            try:
                with quiet_hub():
                    return Path(hub.hf_hub_download(published.repository, name, local_files_only=cached))
            except Exception as error:  # the hub's client and its network have many errors, and few bases
                if cached:
                    continue
                reason = reason or (str(error).strip().splitlines() or [type(error).__name__])[0]
                if not isinstance(error, hub.errors.RemoteEntryNotFoundError):
                    break
    raise FinblendError(
        f"--weights hub: the weights of {published.repository} could not be fetched ({reason}); give --weights FILE, "
        "or 'random'"
    )


def terms_of_published(published: Published) -> str:
    """One line on what published weights may be used for; empty where that is anything."""
    return f"the weights of {published.repository} {published.licence}" if published.licence else ""


def terms_of_timm(backbone: Backbone) -> str:
    """The same of the weights that timm has for a network's body."""
    facts: Any = getattr(backbone.body_module, "pretrained_cfg", None) or {}
    licence = facts.get("license")
    if licence in _FREE:
        return ""
    name = facts.get("hf_hub_id") or f"{facts['architecture']}.{facts.get('tag') or ''}".rstrip(".")
    return f"the weights of {name} are under {_TERMS.get(licence, f'the licence {licence}: read it first')}"
