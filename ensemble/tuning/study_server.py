"""A study on a PostgreSQL server: trials of many processes on many machines, through Optuna's own tables.

A server that is restarted, or a network that breaks, is waited for: an operation that failed because of it is done
again, and none is done twice.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any, TypeVar

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy import exc
from sqlalchemy.engine import URL, make_url

from cv.errors import FinblendError
from cv.extras import load_extra

EXTRA = "postgres"
FORM = "postgresql://USER@HOST/DATABASE"
# how long a server that has gone is waited for, and between two tries at most
PATIENCE, MOST_WAIT = 300.0, 10.0
# processes that begin at once make the tables at once; all but one are told to try again
TABLES_MADE = 5
_SCHEMES = ("postgresql", "postgres")
_REFUSED = (exc.OperationalError, exc.InterfaceError)
# Optuna asks once more in the transaction that has gone with its connection
_GONE = (*_REFUSED, exc.PendingRollbackError)
_OPERATIONS = (
    "create_new_study", "set_study_user_attr", "set_study_system_attr", "get_study_id_from_name",
    "get_study_name_from_id", "get_study_directions", "get_study_user_attrs", "get_study_system_attrs",
    "get_all_studies", "get_trial_id_from_study_id_trial_number", "_get_best_trial_id", "get_trial", "_get_trials",
)  # fmt: skip

Value = TypeVar("Value")


class ServerStorage(RDBStorage):
    """Optuna's storage in a database, which waits for its server.

    Parameters
    ----------
    url : str
        `postgresql://USER@HOST[:PORT]/DATABASE`; a password comes from libpq's own places (`~/.pgpass`, `PGPASSWORD`),
        or stands in it.
    patience : float
        Seconds for which a server that has gone is waited for.

    Raises
    ------
    FinblendError
        If the URL is none, the driver is not installed, no server answers, or it holds another Optuna's tables.
    """

    def __init__(self, url: str, patience: float = PATIENCE) -> None:
        parsed = parsed_url(url)
        self.place = place_of(parsed)
        self.patience = patience
        # the pool asks a connection whether it lives before it is used: after a restart none does
        options = {"pool_pre_ping": True, "connect_args": {"connect_timeout": 10}}
        for tried in range(1, TABLES_MADE + 1):
            try:
                super().__init__(parsed.render_as_string(hide_password=False), options)
                break
            except _REFUSED as error:
                raise FinblendError(f"{self.place}: cannot be reached ({_reason(error, parsed)})") from None
            except (exc.IntegrityError, exc.ProgrammingError) as error:
                if tried == TABLES_MADE:
                    raise FinblendError(f"{self.place}: {_reason(error, parsed)}") from None
                time.sleep(0.2 * tried)
            except RuntimeError as error:
                raise FinblendError(f"{self.place}: {' '.join(str(error).split())}") from None

    def _create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        """A finished trial is written once, even where the server went before it could say that it had been."""
        tried = 0

        def create() -> FrozenTrial:
            nonlocal tried
            tried += 1
            if template_trial is not None and tried > 1:
                for trial in super(ServerStorage, self)._get_trials(study_id, None, set(), -1):
                    if (trial.datetime_start, trial.params) == (template_trial.datetime_start, template_trial.params):
                        return trial
            return super(ServerStorage, self)._create_new_trial(study_id, template_trial)

        return self._patiently(create)

    def _patiently(self, operation: Callable[[], Value]) -> Value:
        wait, since = 0.25, time.monotonic()
        while True:
            try:
                return operation()
            except StorageInternalError as error:
                if not isinstance(error.__cause__, _GONE):
                    raise
                if time.monotonic() - since > self.patience:
                    # nor is it waited for once more
                    self.patience = 0.0
                    raise FinblendError(
                        f"{self.place}: has not answered for {time.monotonic() - since:.0f} seconds; what is done is "
                        "kept there, and the same command goes on"
                    ) from None
            try:
                time.sleep(wait)
            except BaseException:
                self.patience = 0.0
                raise
            wait = min(2 * wait, MOST_WAIT)


def _patient(name: str) -> Callable[..., Any]:
    inner = getattr(RDBStorage, name)

    @functools.wraps(inner)
    def call(self: ServerStorage, *args: Any, **options: Any) -> Any:
        return self._patiently(lambda: inner(self, *args, **options))

    return call


for _name in _OPERATIONS:
    setattr(ServerStorage, _name, _patient(_name))


def parsed_url(url: str) -> URL:
    """Parse the URL of a server; a password that it holds is in no error line.

    Examples
    --------
    >>> parsed_url("postgresql://me@db.example.org/whales").drivername
    'postgresql+psycopg'
    """
    scheme, there, _ = url.partition("://")
    if not there or scheme.partition("+")[0] not in _SCHEMES:
        kind = f"one of '{scheme}'" if there else "none"
        raise FinblendError(f"--study must be {FORM}, but got {kind}")
    load_extra("psycopg", EXTRA)
    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError):
        parsed = None
    # a password that is cut in two is not recognized as one
    if parsed is None or not parsed.database or "@" in f"{parsed.host}{parsed.database}":
        raise FinblendError(f"--study: is no URL like {FORM}; in a password, / and @ are written %2F and %40")
    return parsed.set(drivername="postgresql+psycopg")


def place_of(url: URL) -> str:
    """Host, port and database, for error lines."""
    host = url.host or url.query.get("host") or "PostgreSQL"
    return f"--study {host}{f':{url.port}' if url.port else ''}/{url.database}"


def _reason(error: exc.DBAPIError, url: URL) -> str:
    reason = " ".join(str(error.orig).split())
    return reason.replace(str(url.password), "***") if url.password else reason


def open_server_study(url: str, name: str, attributes: dict[str, Any]) -> optuna.Study:
    """Open a study on a server, or begin it.

    Parameters
    ----------
    url : str
    name : str
        See `ensemble.tuning.study.study_name`.
    attributes : dict
        What people are told of a new study, in `optuna-dashboard` say.
    """
    storage = ServerStorage(url)
    study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
    for key, value in attributes.items():
        if key not in study.user_attrs:
            study.set_user_attr(key, value)
    return study
