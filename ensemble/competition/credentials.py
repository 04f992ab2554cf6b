"""The token that Kaggle knows a user by, from the places where Kaggle's own client looks for it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cv.errors import FinblendError
from cv.files import read_json

HOW = (
    "on kaggle.com under Settings, API, make a token, then save it as ~/.kaggle/access_token or set KAGGLE_API_TOKEN "
    "to it"
)


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """A token, or the older pair of a user's name and key; never shown.

    Attributes
    ----------
    token, username, key : str
        Empty where it is the other kind.
    """

    token: str = field(default="", repr=False)
    username: str = field(default="", repr=False)
    key: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        for text in (self.token, self.username, self.key):
            if not text.isascii() or not text.isprintable() or " " in text:
                raise FinblendError(f"the Kaggle token that is set here holds characters that no token has; {HOW}")

    def without(self, text: str) -> str:
        """A text in which nothing secret is left, whoever wrote it."""
        for secret in (self.token, self.key):
            text = text.replace(secret, "***") if secret else text
        return text


def find_credentials(kagglesdk: Any) -> Credentials:
    """The first that is there: access token, name and key, what `kaggle auth login` left.

    Parameters
    ----------
    kagglesdk : module

    Raises
    ------
    FinblendError
        If there is none.
    """
    with _readable():
        token, _ = kagglesdk.get_access_token_from_env()
    if token and token.strip():
        return Credentials(token=token.strip())
    pair = _name_and_key()
    if pair is not None:
        return pair
    with _readable():
        login = kagglesdk.KaggleCredentials.load(client=kagglesdk.KaggleClient())
        # nothing is done with this, but a time that is none is found here
        _ = login is not None and login.access_token_has_expired()
    token = login.get_access_token() if login is not None else None
    if token:
        return Credentials(token=str(token))
    raise FinblendError(f"there is no Kaggle token here: {HOW}")


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """Refuse a file that is no text or none of tokens; what is wrong with it is not told, for that may be the token."""
    try:
        yield
    except (OSError, ValueError, TypeError, AttributeError):
        raise FinblendError(f"the Kaggle token that is set here cannot be read; {HOW}") from None


def _name_and_key() -> Credentials | None:
    """The older `kaggle.json`, or what the environment says instead."""
    told: dict[str, Any] = {}
    home = Path.home()
    config = os.environ.get("XDG_CONFIG_HOME") or home / ".config"
    folders = [os.environ.get("KAGGLE_CONFIG_DIR") or home / ".kaggle", Path(config) / "kaggle"]
    path = next((each for each in (Path(folder) / "kaggle.json" for folder in folders) if each.is_file()), None)
    if path is not None:
        try:
            told = read_json(path)
        except FinblendError:
            told = {}
        if not isinstance(told, dict) or not {"username", "key"} <= told.keys():
            raise FinblendError(f"{path}: is not Kaggle's token file, JSON with username and key; {HOW}")
    username = os.environ.get("KAGGLE_USERNAME") or told.get("username")
    key = os.environ.get("KAGGLE_KEY") or told.get("key")
    return Credentials(username=str(username).strip(), key=str(key).strip()) if username and key else None
