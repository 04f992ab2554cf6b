"""The forms that there are, by the names they are typed by."""

from __future__ import annotations

from collections.abc import Mapping

from ensemble.exchange.camtrap_dp import CamtrapDp
from ensemble.exchange.coco import Coco
from ensemble.exchange.contract import Exchange
from ensemble.exchange.wildbook import Wildbook

FORMS: Mapping[str, Exchange] = {form.name: form for form in (Wildbook(), CamtrapDp(), Coco())}
