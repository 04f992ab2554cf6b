"""A talk with Kaggle through its own client, `kagglesdk`.

That is the library that the `kaggle` command itself stands on. The command's own package is left aside: importing it
asks the network, prints and makes folders; its downloads are written where the whole file is to stand; version 2.2.4
cannot be imported beside dateutil 4, for it counts on `six` to come along.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cv.errors import FinblendError
from cv.extras import load_extra
from ensemble.competition.credentials import Credentials, find_credentials
from ensemble.competition.refusals import UnreachableError, told

TYPES = "kagglesdk.competitions.types.competition_api_service"
# seconds without a byte
PATIENCE = 60.0
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
# of any of its pages
ADDRESS = re.compile(r".*/(?:competitions|c)/([^/?#]+).*")


@dataclass(frozen=True, kw_only=True)
class Connection:
    """One competition, asked by somebody with a token.

    Attributes
    ----------
    competition : str
    credentials : Credentials
    api : object
        What `kagglesdk` asks about competitions with.
    session : requests.Session
        Which `api` sends by.
    """

    competition: str
    credentials: Credentials
    api: Any
    session: Any

    def ask(self, method: str, kind: str, what: str = "", **fields: Any) -> Any:
        """Send one request and return Kaggle's answer.

        Parameters
        ----------
        method : str
            Of `api`.
        kind : str
            The request's class in `TYPES`.
        what : str
            As of `told`.
        **fields
            What the request holds, beside the competition's name.
        """
        request = getattr(load_extra(TYPES, "kaggle"), kind)()
        for name, value in {"competition_name": self.competition, **fields}.items():
            setattr(request, name, value)
        try:
            with told(self.competition, self.credentials, what):
                return getattr(self.api, method)(request)
        except FinblendError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError):
            raise UnreachableError(
                "Kaggle's client does not understand what answered: that is not Kaggle, or a newer kagglesdk is needed"
            ) from None


@contextlib.contextmanager
def connected(competition: str) -> Iterator[Connection]:
    """Find a token and open a session; nothing is sent yet.

    Raises
    ------
    FinblendError
        If the client is not installed, there is no token, or the name cannot be a competition's.
    """
    address = ADDRESS.fullmatch(competition)
    name = competition if address is None else address[1]
    if not NAME.fullmatch(name):
        raise FinblendError(
            f"{competition}: is no competition's name, which stands in its page's address, such as "
            "happy-whale-and-dolphin"
        )
    kagglesdk = load_extra("kagglesdk", "kaggle")
    try:
        kagglesdk.kaggle_env.get_env()
    except Exception:
        value = os.environ.get("KAGGLE_API_ENVIRONMENT")
        raise FinblendError(
            f"KAGGLE_API_ENVIRONMENT is {value}, which Kaggle's client does not know; unset it"
        ) from None
    with told(name, Credentials()):
        credentials = find_credentials(kagglesdk)
    client = kagglesdk.KaggleClient(
        api_token=credentials.token or None,
        username=credentials.username or None,
        password=credentials.key or None,
    )
    with client:
        session = client.http_client()._session
        for scheme in ("https://", "http://"):
            session.mount(scheme, patient_adapter())
        # a download is counted in the bytes that are sent
        session.headers["Accept-Encoding"] = "identity"
        yield Connection(
            competition=name,
            credentials=credentials,
            api=client.competitions.competition_api_client,
            session=session,
        )


def patient_adapter() -> Any:
    """For a session: connects twice more where that fails, and gives up on a server that is silent.

    What was sent is never sent again by itself: a submission counts each time.
    """
    from requests.adapters import HTTPAdapter
    from urllib3.util.retry import Retry

    class Patient(HTTPAdapter):
        def send(self, request: Any, *args: Any, **options: Any) -> Any:
            options["timeout"] = options.get("timeout") or PATIENCE
            return super().send(request, *args, **options)

    return Patient(max_retries=Retry(connect=2, read=0, status=0, other=0, redirect=None, backoff_factor=0.3))
