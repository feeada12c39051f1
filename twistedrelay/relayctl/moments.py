"""Times as people write them on a command line.

It decides which words are times; all of them mean UTC, as all that relayctl shows does.
"""

from __future__ import annotations

import datetime
import re

import click

_AGO = re.compile(r"(\d{1,6})\s*(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_CLOCK = re.compile(r"\d{1,2}:\d\d(:\d\d)?")
_DAYS = {"today": 0, "yesterday": 1}


def moment(text: str, now: datetime.datetime) -> datetime.datetime:
    """A time: C{2026-11-22T12:00}, C{2026-11-22}, C{12:30} (of today), C{2h} (ago), C{now}, C{today}, C{yesterday} (their beginning).

    @raise ValueError: it is none.
    """
    written = text.strip().lower()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if written == "now":
        return now
    if written in _DAYS:
        return midnight - datetime.timedelta(days=_DAYS[written])
    if ago := _AGO.fullmatch(written):
        return now - datetime.timedelta(seconds=int(ago[1]) * _SECONDS[ago[2]])
    if _CLOCK.fullmatch(written):
        return datetime.datetime.combine(midnight.date(), datetime.time.fromisoformat(written.zfill(5)), datetime.UTC)
    found = datetime.datetime.fromisoformat(text.strip())
    return found if found.tzinfo is not None else found.replace(tzinfo=datetime.UTC)


class When(click.ParamType[str]):
    """A time on the command line, as RFC 3339."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """See L{moment}."""
        try:
            return moment(str(value), datetime.datetime.now(datetime.UTC)).isoformat()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time; write 2026-11-22T12:00 (UTC), 12:30, 2h (ago), today or yesterday.", param, ctx)
