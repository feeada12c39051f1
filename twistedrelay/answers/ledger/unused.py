"""Which ranges and accounts nobody uses: those of the configuration that the ledger has not seen since a time, or never."""

from __future__ import annotations

import datetime
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from twistedrelay.answers.ledger.document import Unused, UnusedList
from twistedrelay.answers.ledger.ranges import Owners
from twistedrelay.answers.ledger.rows import began, moment
from twistedrelay.config.schema import Config
from twistedrelay.config.users import User
from twistedrelay.observe.ledger.file import Extent
from twistedrelay.values.usage import Usage


def unused(config: Config, rows: Iterable[Usage], users: Sequence[User], since: float, extent: Extent) -> UnusedList:
    """What was not used since a time.

    A range counts as used where a client in it said anything; an account where it logged in.
    """
    ranges: dict[tuple[str, str], tuple[float, int]] = {}
    logins: dict[str, tuple[float, int]] = {}
    owners = Owners(config)
    for usage in rows:
        name, entry = owners.place(usage.connector, usage.client)
        if entry is not None:
            _add(ranges, (name, str(entry.range)), usage)
        if usage.user:
            _add(logins, usage.user.casefold(), usage)
    found = []
    for name, connector in config.receive_connectors.items():
        for entry in connector.remote_ip_ranges:
            last, messages = ranges.get((name, str(entry.range)), (0.0, 0))
            if last < since:
                found.append(_unused("range", name, str(entry.range), entry.owner, last, messages, expires=entry.expires))
    for user in users:
        last, messages = logins.get(user.address.casefold(), (0.0, 0))
        if last < since:
            found.append(_unused("user", "", user.address, "", last, messages))
    notes = []
    if extent.began is None or extent.began > since:
        when = "not begun yet" if extent.began is None else f"kept since {moment(extent.began):%Y-%m-%d %H:%M} only"
        notes.append(f"The ledger is {when}: what was used before is not known.")
    if extent.dropped or extent.folded:
        notes.append("The ledger had no room for all: clients may be missing.")
    return UnusedList(unused=found, began=began(extent), notes=notes)


def _add(known: dict[Any, tuple[float, int]], key: Hashable, usage: Usage) -> None:
    last, messages = known.get(key, (0.0, 0))
    known[key] = (max(last, usage.last_seen), messages + usage.messages)


def _unused(
    kind: str, connector: str, identity: str, owner: str, last: float, messages: int, *, expires: datetime.date | None = None
) -> Unused:
    return Unused(
        kind=kind,
        connector=connector,
        identity=identity,
        owner=owner,
        expires=expires,
        last_seen=moment(last) if last else None,
        messages=messages,
    )
