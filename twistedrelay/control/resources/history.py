"""The history of the configuration, and undo."""

from __future__ import annotations

from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.iweb import IRequest

from twistedrelay.config.edit import EditError
from twistedrelay.config.edit_change import undoing
from twistedrelay.config.history import row, undone_ids
from twistedrelay.control.change_models import ConfigurationChange, HistoryDetail, HistoryEntry
from twistedrelay.control.changing import WHAT_IF, history_of, in_thread, make
from twistedrelay.control.live import Relay
from twistedrelay.control.operations import Resource
from twistedrelay.control.requests import RequestProblem

resource = Resource()

_LONGEST = 8  #: digits of a number


@resource.get("/v1/history", "The changes of the configuration, the newest last.", HistoryEntry, many=True)
async def history(relay: Relay, request: IRequest) -> list[HistoryEntry]:
    """All that are remembered."""
    try:
        entries = await in_thread(relay, history_of(relay).entries)
    except OSError as error:
        raise _unreadable(error) from None
    undone = undone_ids(entries)
    return [HistoryEntry(**row(entry, entry.id in undone)) for entry in entries]


@resource.get("/v1/history/{id}", "A change, with what it did to the files.", HistoryDetail)
async def entry(relay: Relay, request: IRequest, id: str) -> HistoryDetail:
    """One of them."""
    kept, number = history_of(relay), _number(id)

    def find() -> HistoryDetail:
        found = kept.entry(number)
        return HistoryDetail(**row(found, number in undone_ids(kept.entries())), diff=found.diff())

    try:
        return await in_thread(relay, find)
    except EditError as error:
        raise RequestProblem(HTTPStatus.NOT_FOUND, str(error)) from None
    except OSError as error:
        raise _unreadable(error) from None


@resource.post("/v1/history/{id}/undo", "Take a change back.", ConfigurationChange, query=(WHAT_IF,))
def undo(relay: Relay, request: IRequest, id: str) -> Coroutine[Deferred[Any], Any, ConfigurationChange]:
    """Undo one of them."""
    number = _number(id)
    return make(relay, request, lambda: undoing(history_of(relay), number))


@resource.post("/v1/history/undo", "Take the newest change back that is neither an undo nor undone.", ConfigurationChange, query=(WHAT_IF,))
def undo_newest(relay: Relay, request: IRequest) -> Coroutine[Deferred[Any], Any, ConfigurationChange]:
    """Undo the newest."""
    return make(relay, request, lambda: undoing(history_of(relay), None))


def _number(id: str) -> int:
    if not (id.isascii() and id.isdigit() and len(id) <= _LONGEST):
        raise RequestProblem(HTTPStatus.BAD_REQUEST, "A change's id is a number, as `relayctl history` shows it.")
    return int(id)


def _unreadable(error: OSError) -> RequestProblem:
    return RequestProblem(HTTPStatus.CONFLICT, f"The history cannot be read: {error.filename}: {error.strerror}.")
