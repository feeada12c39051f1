"""The ledger: who uses this relay."""

from __future__ import annotations

import functools
import math
import sqlite3
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from twisted.web.iweb import IRequest

from twistedrelay.answers.ledger.ask import ask_consequences, ask_page, ask_totals, ask_unused
from twistedrelay.answers.ledger.consequences import Thought, ThoughtError
from twistedrelay.answers.ledger.document import Consequences, LedgerPage, LedgerTotals, UnusedList
from twistedrelay.answers.ledger.rows import BY
from twistedrelay.control.bounds import DEFAULT_LIMIT, LIMIT, MAX_ID, in_time
from twistedrelay.control.live import Relay
from twistedrelay.control.operations import Resource
from twistedrelay.control.requests import RequestProblem, integer, moment, text
from twistedrelay.observe.ledger.file import LedgerFile, LedgerQuery
from twistedrelay.values.netrange import IPRange

resource = Resource()

#: Characters of a text in a query.
MAX_TEXT = 400

#: Seconds that recorded clients are looked at, where nothing else is asked for.
LOOK_BACK = 90 * 86400.0

_TEXTS = {
    "connector": "of this receive connector",
    "user": "of this login",
    "helo": "with this HELO name",
    "sender_domain": "with mail of this domain",
    "tls": "with this version of TLS, such as TLSv1.3",
}
_CLIENT = ("client", {"type": "string", "description": "of this IP address, or of a range of them"})
_SINCE = ("since", {"type": "string", "format": "date-time", "description": "seen at this time or later"})
_BEFORE = ("unused_since", {"type": "string", "format": "date-time", "description": "not seen since this time"})
_FILTERS = (*((name, {"type": "string", "description": said}) for name, said in _TEXTS.items()), _CLIENT, _SINCE, _BEFORE)
_AFTER = ("after", {"type": "integer", "minimum": 0, "maximum": MAX_ID, "default": 0, "description": "`next` of the page before"})
_BY = ("by", {"type": "string", "enum": list(BY), "default": "client", "description": "what the rows of a total have in common"})
_THOUGHTS = {
    "without_range": "if this range were taken out of remote_ip_ranges",
    "minimum_tls": "if older versions of TLS were refused",
    "without_connector": "if this connector were disabled",
    "require_login": "if this connector took nothing without a login",
}
_THOUGHT = (
    *((name, {"type": "string", "description": said}) for name, said in _THOUGHTS.items()),
    ("connector", {"type": "string", "description": "the only one that changes, for the first two"}),
    _SINCE,
)


@resource.get("/v1/ledger", "Who uses this relay, and how.", LedgerPage, query=(*_FILTERS, _AFTER, LIMIT))
async def rows(relay: Relay, request: IRequest) -> LedgerPage:
    """A page of the rows."""
    limit = integer(request, b"limit", DEFAULT_LIMIT)
    after = integer(request, b"after", 0)
    found: LedgerPage = await _read(relay, functools.partial(ask_page, relay.config, _query(request), limit, after))
    if relay.reverse_names is None or not relay.config.transport.ledger_reverse_names:
        return found
    names = await relay.reverse_names({row.client for row in found.rows})
    named = [row.model_copy(update={"client_name": names.get(row.client, "")}) for row in found.rows]
    return found.model_copy(update={"rows": named})


@resource.get("/v1/ledger/totals", "The rows of the ledger, added up.", LedgerTotals, query=(*_FILTERS, _BY))
async def totals(relay: Relay, request: IRequest) -> LedgerTotals:
    """By what they have in common."""
    by = text(request, b"by", 20) or "client"
    found: LedgerTotals = await _read(relay, functools.partial(ask_totals, relay.config, _query(request), by))
    return found


@resource.get("/v1/ledger/unused", "Ranges and accounts that nobody uses.", UnusedList, query=(_SINCE,))
async def unused(relay: Relay, request: IRequest) -> UnusedList:
    """Since a time."""
    since = moment(request, b"since", relay.clock.seconds() - LOOK_BACK)
    found: UnusedList = await _read(relay, functools.partial(ask_unused, relay.config, since))
    return found


@resource.get("/v1/ledger/consequences", "Which recorded clients a change would hurt. Changes nothing.", Consequences, query=_THOUGHT)
async def consequences(relay: Relay, request: IRequest) -> Consequences:
    """What breaks if."""
    given = {name: text(request, name.encode("ascii"), MAX_TEXT) for name in (*_THOUGHTS, "connector")}
    now = relay.clock.seconds()
    since = moment(request, b"since", now - LOOK_BACK)
    try:
        found: Consequences = await _read(relay, functools.partial(ask_consequences, relay.config, Thought(**given), since, now))
    except ThoughtError as error:
        raise RequestProblem(HTTPStatus.BAD_REQUEST, f"{error}.") from None
    return found


def _query(request: IRequest) -> LedgerQuery:
    given = {name: text(request, name.encode("ascii"), MAX_TEXT) or None for name in _TEXTS}
    client = text(request, b"client", MAX_TEXT)
    try:
        wanted = IPRange.parse(client) if client else None
    except ValueError as error:
        raise RequestProblem(HTTPStatus.BAD_REQUEST, f"{error}.") from None
    since, before = moment(request, b"since", 0.0), moment(request, b"unused_since", math.inf)
    return LedgerQuery(client=wanted, since=since, unused_since=before, **given)


async def _read(relay: Relay, work: Callable[[LedgerFile], Any]) -> Any:
    if relay.ledger is None:
        raise RequestProblem(HTTPStatus.CONFLICT, "This relay keeps no ledger.")
    try:
        return await in_time(relay, relay.ledger.read(work))
    except sqlite3.Error as error:
        raise RequestProblem(HTTPStatus.SERVICE_UNAVAILABLE, f"The ledger cannot be read now: {error}.") from None
