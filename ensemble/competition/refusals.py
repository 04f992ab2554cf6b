"""What Kaggle, or the way to it, refuses: one line each that says what to do."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from cv.errors import FinblendError
from ensemble.competition.credentials import HOW, Credentials

LIMIT = ("allowance", "limit", "maximum number")
OVER = ("deadline", "has ended", "is over", "closed", "no longer", "completed")
# of what a server says, so that a page of HTML does not become the line
MOST = 200
PAGE_IN_THE_WAY = "what answered is not Kaggle, but perhaps a page to log in to this network"


class UnreachableError(FinblendError):
    """Nothing is wrong with what was asked: it may be asked again."""


@contextlib.contextmanager
def told(competition: str, credentials: Credentials, what: str = "") -> Iterator[None]:
    """Say in one line what went wrong in a talk with Kaggle; the token is in none.

    Parameters
    ----------
    competition : str
    credentials : Credentials
    what : str
        What of the competition is asked for, such as a file's name.

    Raises
    ------
    UnreachableError
        If it may be asked again: no network, too many requests, trouble at Kaggle.
    FinblendError
        If it was refused.
    """
    import requests

    try:
        yield
    except requests.HTTPError as error:
        raise refusal(error.response, competition, credentials, what) from None
    except json.JSONDecodeError:
        raise UnreachableError(PAGE_IN_THE_WAY) from None
    except requests.Timeout:
        raise UnreachableError(f"Kaggle does not answer; {_NETWORK}") from None
    # one of the connection's errors, but there is a network
    except requests.exceptions.SSLError:
        raise FinblendError(
            "what answers for Kaggle has no certificate that is trusted here; is the clock right? behind a proxy of "
            "your own, set REQUESTS_CA_BUNDLE to its certificates"
        ) from None
    except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
        raise UnreachableError(f"no connection to Kaggle; {_NETWORK}") from None
    # what they say may hold addresses that are signed: their kind tells enough
    except requests.RequestException as error:
        raise FinblendError(f"Kaggle could not be asked ({type(error).__name__})") from None


_NETWORK = "is there a network here? a notebook without internet cannot ask it"


def refusal(response: Any, competition: str, credentials: Credentials, what: str = "") -> FinblendError:
    """The error for an answer with a status of 400 or more.

    Parameters
    ----------
    response : requests.Response
    competition : str
    credentials : Credentials
    what : str
    """
    status, words = response.status_code, credentials.without(_words(response))
    says = f": '{words}'" if words else ""
    lower = words.lower()
    if status == 401:
        return FinblendError(f"Kaggle refuses the token (401{says}): it is wrong or has expired; {HOW}")
    if status == 403:
        return FinblendError(
            f"Kaggle refuses {competition} (403{says}): accept its rules first, on the competition's page, and see "
            "whether its name is written so"
        )
    if status == 404:
        asked = f"no file {what} in {competition}, or no such competition" if what else f"no competition {competition}"
        return FinblendError(
            f"Kaggle knows {asked} (404{says}); its name is the last part of its page's address, such as "
            "happy-whale-and-dolphin"
        )
    if status == 429:
        after = response.headers.get("Retry-After", "")
        return UnreachableError(
            f"Kaggle asks to wait, there were too many requests (429{says}); try again "
            + (f"in {after} seconds" if after.isdecimal() else "later")
        )
    if status >= 500:
        return UnreachableError(f"Kaggle is in trouble ({status}{says}); try again later")
    if any(word in lower for word in LIMIT):
        return FinblendError(f"{competition}: no submission is left ({status}{says})")
    if any(word in lower for word in OVER):
        return FinblendError(f"{competition}: takes no submissions any more ({status}{says})")
    return FinblendError(f"Kaggle refuses this for {competition} ({status}{says})")


def _words(response: Any) -> str:
    """What a server says of its refusal, if that is no page."""
    try:
        answer = response.json()
        words = answer.get("message") if isinstance(answer, dict) else None
    except ValueError:
        words = None
    return one_line(str(words or response.reason or ""))


def one_line(text: str) -> str:
    r"""Words of a server as one short line of letters that can be printed.

    >>> one_line("row 3:\n  \x1b[1mbad")
    'row 3: [1mbad'
    """
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())[:MOST]
