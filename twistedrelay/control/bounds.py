"""Bounds of what a request may ask for."""

from __future__ import annotations

from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twistedrelay.answers.waiting import to_its_end
from twistedrelay.control.live import Relay
from twistedrelay.control.requests import RequestProblem

T = TypeVar("T")

#: Seconds that the spool may take for an answer.
ANSWER_TIMEOUT = 30.0

#: Objects that one answer lists.
MAX_LIMIT = 1000
DEFAULT_LIMIT = 100

#: An InternalId is a positive 63 bit number.
MAX_ID = 2**63 - 1

#: Objects shown in one turn of the reactor.
PIECE = 200

LIMIT = ("limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT})


def in_time(relay: Relay, waiting: Deferred[T]) -> Deferred[T]:
    """The same, or L{twisted.internet.defer.TimeoutError}; what is waited for goes on then."""
    return to_its_end(waiting, expected=RequestProblem).addTimeout(ANSWER_TIMEOUT, relay.clock)


def message_id(text: str) -> int:
    """A message's id from a path.

    @raise RequestProblem: it is none.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and 0 < int(text) <= MAX_ID):
        raise RequestProblem(HTTPStatus.BAD_REQUEST, "A message's id is a number, as `relayctl message list` shows it.")
    return int(text)


def ended_in_time(relay: Relay, work: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
    """The result of work of many steps that changes nothing; it ends with its time."""

    def late(result: T | Failure, timeout: float) -> T | Failure:
        raise RequestProblem(HTTPStatus.GATEWAY_TIMEOUT, f"This was not done within {timeout:.0f} seconds.")

    return Deferred.fromCoroutine(work).addTimeout(ANSWER_TIMEOUT, relay.clock, late)
