"""Dates as catalogues have them: ISO 8601 text, as exact as it is known."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

RULE = "a date is YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm[:ss][Z or +hh:mm]"
_TEXT = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?)?)?", re.ASCII
)


@dataclass(frozen=True)
class Moment:
    """What a date says.

    Attributes
    ----------
    parts : tuple of int
        Year, month, day, hour, minute, second, as far as they are said.
    zone : datetime.tzinfo or None
        None where nothing is said: then times are taken as UTC.
    """

    parts: tuple[int, ...]
    zone: timezone | None = None

    @property
    def start(self) -> datetime:
        """The first second that it may mean."""
        year, month, day, hour, minute, second = (*self.parts, *(1, 1, 0, 0, 0)[len(self.parts) - 1 :])
        return datetime(year, month, day, hour, minute, second, tzinfo=self.zone or UTC)

    @property
    def end(self) -> datetime:
        """The last second that it may mean."""
        year, month, day, hour, minute, second = (*self.parts, *(12, 0, 23, 59, 59)[len(self.parts) - 1 :])
        day = day or monthrange(year, month)[1]
        return datetime(year, month, day, hour, minute, second, tzinfo=self.zone or UTC)

    @property
    def season(self) -> str | None:
        """Quarter of the meteorological year, which December begins; None where the month is not said.

        Examples
        --------
        >>> moment_of("2021-12-24").season, moment_of("2021-06").season, moment_of("2021").season
        ('2022-1-DJF', '2021-3-JJA', None)
        """
        if len(self.parts) < 2:
            return None
        year, month = self.parts[:2]
        quarter = month % 12 // 3
        return f"{year + (month == 12)}-{quarter + 1}-{('DJF', 'MAM', 'JJA', 'SON')[quarter]}"


@lru_cache(maxsize=65536)
def moment_of(text: str) -> Moment:
    """Read a date.

    Raises
    ------
    ValueError
        If it is none; its text is `RULE`.

    Examples
    --------
    >>> moment_of("2021-02").end.isoformat()
    '2021-02-28T23:59:59+00:00'
    >>> moment_of("2021-02-03T10:30+02:00").start.isoformat()
    '2021-02-03T10:30:00+02:00'
    """
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ValueError(RULE)
    *numbers, zone = found.groups()
    moment = Moment(tuple(int(number) for number in numbers if number is not None), _zone(zone))
    try:
        # within the years that there are in UTC, too
        _ = moment.start.astimezone(UTC), moment.end.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(RULE) from None
    return moment


def _zone(text: str | None) -> timezone | None:
    if text is None:
        return None
    if text == "Z":
        return UTC
    hours, minutes = int(text[1:3]), int(text[-2:])
    if hours > 23 or minutes > 59:
        raise ValueError(RULE)
    return timezone((-1 if text[0] == "-" else 1) * timedelta(hours=hours, minutes=minutes))
