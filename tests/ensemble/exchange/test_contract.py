"""Every form gives back what it was given."""

from __future__ import annotations

import pytest
from exchanged import ExchangeContract

from ensemble.exchange.forms import FORMS


class TestWildbook(ExchangeContract):
    form = FORMS["wildbook"]
    places = ("sheet.xlsx", "sheets")


class TestCamtrapDp(ExchangeContract):
    form = FORMS["camtrap-dp"]
    places = ("package",)

    @pytest.fixture(autouse=True)
    def _unchecked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # frictionless takes a fifth of a second; test_camtrap_dp.py lets it look
        monkeypatch.setattr("ensemble.exchange.camtrap_dp.refuse_invalid", lambda *_: None)


class TestCoco(ExchangeContract):
    form = FORMS["coco"]
    places = ("photos.json",)


def test_every_form_keeps_the_contract() -> None:
    assert {each.form.name for each in ExchangeContract.__subclasses__()} == set(FORMS)
