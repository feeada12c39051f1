"""The review of accounts: which are there, who uses them, from where, and which want a look.

It decides what an account's row says and which remarks it earns.  It joins the users file with the record of logins, so that accounts kept
by others (Dovecot, PAM, LDAP, OAuth) are seen too once they logged in.  Reads files only: no daemon is asked and nothing is changed.
"""

from __future__ import annotations

import datetime
import os
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any

import attrs

from twistedrelay.config.schema import Config
from twistedrelay.config.users import User
from twistedrelay.observe.login_store import FILE, Account, Record, read_record

_LONG_UNUSED = 90  #: days without a login that are worth a remark
_MANY_SOURCES = 5
_MANY_FAILURES = 10
_DAY = 86400.0


class RecordError(Exception):
    """The record of logins cannot be read; C{str()} says why."""


@attrs.frozen(slots=True)
class Review:
    """The accounts, and how far the record goes.

    @ivar began: since when logins are recorded; None: never yet.
    @ivar unknown_failures: failed logins with names that are no account's.
    """

    rows: list[dict[str, Any]]
    began: datetime.datetime | None
    unknown_failures: int


def review(config: Config, users: Iterable[User], now: float, unused_for: float | None = None) -> Review:
    """The review of all accounts, or of those that nobody has used.

    @param unused_for: seconds without a login; accounts younger than that are left out.
    @raise RecordError: the record cannot be read.
    """
    path = os.path.join(config.server.state_directory, FILE)
    try:
        record = read_record(path)
    except (sqlite3.Error, OSError) as error:
        raise RecordError(f"{path}: the record of logins cannot be read: {error}") from None
    known = record or Record(now, 0, {})
    rows = [row for row, since in _rows(users, known, now) if unused_for is None or since <= now - unused_for]
    return Review(rows, _moment(known.began) if record else None, known.unknown_failures)


def _rows(users: Iterable[User], record: Record, now: float) -> Iterator[tuple[dict[str, Any], float]]:
    """Each account's row, and since when it is unused: its last login, else its first day."""
    seen = set()
    for user in users:
        name = user.address.casefold()
        seen.add(name)
        yield _row(user.address, "users file", user, record.accounts.get(name), now)
    for name, account in record.accounts.items():
        if name not in seen:
            yield _row(account.address, "external" if account.external else "removed", None, account, now)


def _row(address: str, source: str, user: User | None, account: Account | None, now: float) -> tuple[dict[str, Any], float]:
    born = _midnight(user.created) if user is not None and user.created else account.first if account is not None else None
    last = account.last if account is not None else None
    since = last if last is not None else born
    row = {
        "address": address,
        "source": source,
        "created": user.created.isoformat() if user is not None and user.created else None,
        "age_days": _days(born, now),
        "first_login": _text(account.first if account is not None else None),
        "last_login": _text(last),
        "unused_days": _days(since, now),
        "logins": account.logins if account is not None else 0,
        "source_addresses": list(account.sources) if account is not None else [],
        "connectors": list(account.connectors) if account is not None else [],
        "mechanisms": list(account.mechanisms) if account is not None else [],
        "failures": account.failures if account is not None else 0,
        "last_failure": _text(account.last_failure if account is not None else None),
        "last_failure_address": account.last_failure_source if account is not None else "",
        "send_as": list(user.send_as) if user is not None else [],
    }
    row["remarks"] = _remarks(row)
    return row, since if since is not None else 0.0


def _remarks(row: dict[str, Any]) -> list[str]:
    """What makes an account worth a look."""
    remarks = []
    if row["source"] == "removed":
        remarks.append("no longer in the users file")
    elif not row["logins"]:
        remarks.append("never logged in")
    elif row["unused_days"] >= _LONG_UNUSED:
        remarks.append(f"not used for {row['unused_days']} days")
    if len(row["source_addresses"]) >= _MANY_SOURCES:
        remarks.append(f"used from {len(row['source_addresses'])} addresses")
    if row["failures"] >= _MANY_FAILURES:
        remarks.append(f"{row['failures']} failed logins since the last good one")
    return remarks


def _midnight(day: datetime.date) -> float:
    return datetime.datetime.combine(day, datetime.time(), datetime.UTC).timestamp()


def _moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _text(seconds: float | None) -> str | None:
    """A time in UTC, to the second (RFC 3339)."""
    return _moment(seconds).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds is not None else None


def _days(seconds: float | None, now: float) -> int | None:
    return max(int((now - seconds) // _DAY), 0) if seconds is not None else None
