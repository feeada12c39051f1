"""What queues and messages can be filtered by, and which of it a spool can look for by itself.

The names are Exchange's (Get-Queue and Get-Message, C{-Filter}) in snake_case, and ours beyond them.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

from twisted.web.iweb import IRequest

from twistedrelay.answers.queues import spellings
from twistedrelay.control import models
from twistedrelay.control.filters import Filter, FilterError, Kind, Property, compile_filter
from twistedrelay.control.filters.compiled import Condition
from twistedrelay.control.filters.kinds import Wildcard, folded
from twistedrelay.control.filters.syntax import LONGEST
from twistedrelay.control.live import Place, Relay
from twistedrelay.control.requests import RequestProblem, argument
from twistedrelay.values.browsing import Column, MessageQuery, Term, TermOperator
from twistedrelay.values.envelope import MessageStatus

FILTER = (
    "filter",
    {"type": "string", "minLength": 1, "maxLength": LONGEST, "description": "in Exchange's filter language: Status -eq 'Retry'"},
)

QUEUE_PROPERTIES = (
    Property("identity", many=True),
    Property("status", Kind.CHOICE, ("Active", "Connecting", "Ready", "Retry", "Suspended")),
    Property("delivery_type"),
    Property("message_count", Kind.NUMBER),
    Property("deferred_message_count", Kind.NUMBER),
    Property("next_hop_domain", many=True),
    Property("next_hop_category"),
    Property("next_hop_connector"),
    Property("last_error"),
    Property("retry_count", Kind.NUMBER),
    Property("first_retry_time", Kind.MOMENT),
    Property("last_retry_time", Kind.MOMENT),
    Property("next_retry_time", Kind.MOMENT),
    Property("incoming_rate", Kind.DECIMAL),
    Property("outgoing_rate", Kind.DECIMAL),
    Property("velocity", Kind.DECIMAL),
    Property("suspend_reason"),
    Property("suspended_by"),
    Property("suspended_until", Kind.MOMENT),
    Property("redirected_to"),
)
MESSAGE_STATUSES = ("Active", "PendingRemove", "PendingSuspend", "Poison", "Ready", "Retry", "Suspended")
MESSAGE_PROPERTIES = (
    Property("identity", many=True),
    Property("id", Kind.NUMBER),
    Property("from_address"),
    Property("status", Kind.CHOICE, MESSAGE_STATUSES),
    Property("queue", many=True),
    Property("size", Kind.SIZE),
    Property("subject"),
    Property("recipients", many=True),
    Property("recipient_count", Kind.NUMBER),
    Property("message_source_name"),
    Property("source_ip"),
    Property("internet_message_id"),
    Property("date_received", Kind.MOMENT),
    Property("expiration_time", Kind.MOMENT),
    Property("message_latency", Kind.SPAN),
    Property("active_since", Kind.MOMENT),
    Property("retry_count", Kind.NUMBER),
    Property("last_error"),
    Property("redirected_to"),
    Property("user"),
    Property("helo"),
)

#: Where the spool has what a property shows.
_COLUMNS: dict[str, Column] = {
    "id": "id",
    "from_address": "sender",
    "size": "size",
    "source_ip": "client",
    "internet_message_id": "message_id",
    "date_received": "received_at",
    "user": "user",
    "helo": "helo",
}
_OPERATORS: dict[str, TermOperator] = {"eq": "eq", "gt": "gt", "ge": "ge", "lt": "lt", "le": "le", "like": "like"}
_STATUSES = {"suspended": MessageStatus.SUSPENDED, "poison": MessageStatus.POISON, "ready": 0, "retry": 0, "active": 0}
_SLACK = 0.001  #: seconds by which a shown time may differ from the kept one


def asked_filter(relay: Relay, request: IRequest, properties: tuple[Property, ...]) -> Filter | None:
    """The filter of a query, if any.

    @raise RequestProblem: it cannot be understood.
    """
    text = argument(request, b"filter")
    if text is None:
        return None
    try:
        return compile_filter(text, properties, datetime.datetime.fromtimestamp(relay.clock.seconds(), datetime.UTC))
    except FilterError as error:
        raise RequestProblem(HTTPStatus.BAD_REQUEST, f"The filter is not understood: {error}", parameter="filter") from None


def queue_values(server: str, queue: models.Queue) -> Callable[[str], Any]:
    """The properties of a queue."""
    special: dict[str, Callable[[], Any]] = {
        "identity": lambda: _names(server, [queue.identity.removeprefix(server + "\\")]),
        "next_hop_domain": lambda: spellings(queue.next_hop_domain),
    }

    def get(name: str) -> Any:
        made = special.get(name)
        return getattr(queue, name) if made is None else made()

    return get


def message_values(server: str, message: models.MessageSummary, user: str, helo: str, subject: str, age: float) -> Callable[[str], Any]:
    """The properties of a message."""
    names = _names(server, message.queues)
    special: dict[str, Callable[[], Any]] = {
        "identity": lambda: [f"{start}{message.id}" for start in ("", f"{server}\\", *(f"{name}\\" for name in names))],
        "queue": lambda: names,
        "subject": lambda: subject,
        "user": lambda: user,
        "helo": lambda: helo,
        "message_latency": lambda: age,
    }

    def get(name: str) -> Any:
        made = special.get(name)
        return getattr(message, name) if made is None else made()

    return get


def may_fit(filter: Filter, server: str, place: Place) -> bool:
    """Whether a message may fit that is at a place: what it is takes ten times as long to say, and few of very many are in one queue."""
    for condition in filter.required:
        if condition.operator == "eq" and condition.operand is not None:
            if condition.name == "status" and folded(place.status) != condition.operand:
                return False
            if condition.name == "queue" and condition.operand not in map(folded, _names(server, place.queues)):
                return False
    return True


def _names(server: str, queues: Sequence[str]) -> list[str]:
    return [name for queue in queues for each in spellings(queue) for name in (each, f"{server}\\{each}")]


def message_query(filter: Filter | None, *, backwards: bool) -> MessageQuery:
    """What a spool can look for; what it finds has to be asked the filter still."""
    terms = (term for condition in (filter.required if filter is not None else ()) for term in _terms(condition))
    return MessageQuery(tuple(terms), backwards)


def _terms(condition: Condition) -> list[Term]:
    operand, operator = condition.operand, _OPERATORS.get(condition.operator)
    if operand is None or operator is None:
        return []
    if condition.name == "status":
        status = _STATUSES.get(operand)
        return [Term("status", "eq", int(status))] if operator == "eq" and status is not None else []
    if condition.name == "recipients":
        return [Term("recipient", operator, operand)] if operator in ("eq", "like") else []
    column = _COLUMNS.get(condition.name)
    if column is None:
        return []
    if column == "received_at":
        return _around(operator, operand.timestamp())
    if column == "sender":
        if operand == "<>" and operator == "eq":
            return [Term("sender", "eq", "")]
        if operator not in ("eq", "like") or (operator == "like" and Wildcard(operand).fits("<>")):
            return []
    return [Term(column, operator, operand)]


def _around(operator: TermOperator, seconds: float) -> list[Term]:
    if operator in ("gt", "ge"):
        return [Term("received_at", "ge", seconds - _SLACK)]
    if operator in ("lt", "le"):
        return [Term("received_at", "le", seconds + _SLACK)]
    return [Term("received_at", "ge", seconds - _SLACK), Term("received_at", "le", seconds + _SLACK)]
