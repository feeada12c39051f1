"""Changes of the configuration of a running relay: planned, prepared by the relay, written, and in force from then on.

It decides the order: nothing is written before the relay has everything that the new configuration needs, and nothing is in force before it
is written.  Whatever fails on the way leaves files and relay as they were.  One change at a time.

A daemon that may not write its configuration says so (403, with the directory): who asked may be able to, and can tell it to reload then.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.web.iweb import IRequest

from twistedrelay.answers.connectors import closed_ports
from twistedrelay.config import edit_change as change
from twistedrelay.config.edit import EditError, NoSuchObject
from twistedrelay.config.edit_write import ChangedMeanwhile, NotWritable, check_rights, one_at_a_time
from twistedrelay.config.history import History
from twistedrelay.control.applying import Prepared
from twistedrelay.control.change_models import ConfigurationChange as Change
from twistedrelay.control.live import Relay
from twistedrelay.control.peers import who
from twistedrelay.control.requests import RequestProblem, boolean

T = TypeVar("T")

#: The parameter of every change.
WHAT_IF = ("what_if", {"type": "boolean", "default": False, "description": "say what would change, and do nothing"})


def in_thread(relay: Relay, work: Callable[[], T]) -> Deferred[T]:
    """Work with files, off the reactor's thread."""
    reactor: Any = relay.clock
    return deferToThreadPool(reactor, reactor.getThreadPool(), work)


def history_of(relay: Relay) -> History:
    """The history of the relay's changes."""
    return History(relay.config.server.state_directory)


def refusal(error: EditError) -> RequestProblem:
    """The answer for a change that cannot be made."""
    if isinstance(error, NoSuchObject):
        return RequestProblem(HTTPStatus.NOT_FOUND, f"{error} {error.advice}")
    if isinstance(error, NotWritable):
        text = f"{error.directory}: the daemon may not write there; root can: `sudo relayctl …` writes the files itself."
        return RequestProblem(HTTPStatus.FORBIDDEN, text)
    status = HTTPStatus.PRECONDITION_FAILED if isinstance(error, ChangedMeanwhile) else HTTPStatus.CONFLICT
    return RequestProblem(status, str(error))


async def make(relay: Relay, request: IRequest, plan: Callable[[], change.Change]) -> Change:
    """Make a change, or with C{what_if} say what it would be.  The API lets none end that was begun, whether the client waits or not.

    @param plan: called in a thread.
    @raise RequestProblem: it cannot be made; nothing was changed.  Likewise C{ConfigError} and C{ApplyError}.
    """
    what_if, by = boolean(request, b"what_if", False), who(request)
    await relay.turns.acquire()
    try:
        return await _make(relay, plan, what_if, by)
    except EditError as error:
        raise refusal(error) from None
    finally:
        relay.turns.release()


async def _make(relay: Relay, plan: Callable[[], change.Change], what_if: bool, by: str) -> Change:
    planned, closed = await in_thread(relay, lambda: _planned(relay, plan))
    diff = await in_thread(relay, lambda: planned.diff)
    answer = Change(what=planned.what, who=by, what_if=what_if, files=planned.files, diff=diff)
    if not planned.files:
        return answer
    if closed is not None:
        if not what_if:
            raise closed
        answer.writable, answer.directory = False, closed.directory
    prepared = await relay.applying.prepare(planned.plan.after)
    answer.changes = list(prepared.changes)
    answer.warnings = [*closed_ports(relay.config, prepared.config), *prepared.warnings]
    answer.needs_restart = list(prepared.needs_restart)
    if what_if:
        await prepared.abort()
        return answer
    answer.id = await _write(relay, planned, prepared, by)
    prepared.commit()
    return answer


def _planned(relay: Relay, plan: Callable[[], change.Change]) -> tuple[change.Change, NotWritable | None]:
    """A plan, and what keeps this process from writing it."""
    change.settle(relay.applying.file, history_of(relay))
    planned = plan()
    try:
        check_rights(planned.plan.after)
    except NotWritable as error:
        return planned, error
    return planned, None


async def _write(relay: Relay, planned: change.Change, prepared: Prepared, by: str) -> int:
    history, now = history_of(relay), datetime.datetime.fromtimestamp(relay.clock.seconds(), datetime.UTC)

    def write() -> int:
        with one_at_a_time(history.directory):
            return change.write(planned, relay.applying.file, history, by, now).id

    try:
        return await in_thread(relay, write)
    except BaseException:
        await prepared.abort()
        raise
