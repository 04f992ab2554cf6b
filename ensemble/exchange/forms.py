"""The forms that there are, by the names they are typed by."""

from __future__ import annotations

from collections.abc import Mapping

from ensemble.exchange.coco import Coco
from ensemble.exchange.contract import Exchange

FORMS: Mapping[str, Exchange] = {form.name: form for form in (Coco(),)}
