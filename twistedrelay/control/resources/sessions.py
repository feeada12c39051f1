"""SMTP sessions: those in progress, and one as one record."""

from __future__ import annotations

import datetime
from http import HTTPStatus
from typing import Any

from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.web.iweb import IRequest

from twistedrelay.answers.sessions import NO_NUMBER, NUMBER, dialogue
from twistedrelay.control.bounds import ANSWER_TIMEOUT, PIECE, in_time
from twistedrelay.control.live import Relay
from twistedrelay.control.operations import Resource
from twistedrelay.control.requests import RequestProblem
from twistedrelay.control.session_models import Session, SessionEnd, SessionRecord
from twistedrelay.values.sessions import SessionView

resource = Resource()


def _shown(view: SessionView) -> Session:
    return Session(
        session=view.session,
        connector=view.connector,
        peer=view.peer,
        local=view.local,
        proxy=view.proxy,
        since=datetime.datetime.fromtimestamp(view.since, datetime.UTC),
        helo=view.helo,
        user=view.user,
        tls=view.tls,
        messages=view.messages,
        state=view.state,
    )


def _number(text: str) -> str:
    if not NUMBER.fullmatch(text):
        raise RequestProblem(HTTPStatus.BAD_REQUEST, NO_NUMBER)
    return text.upper()


@resource.get("/v1/sessions", "The sessions in progress, the oldest first.", Session, many=True)
async def sessions(relay: Relay, request: IRequest) -> list[Session]:
    """All of them, in pieces between which the reactor has its turn."""
    views, shown = relay.sessions.views(), []
    for start in range(0, len(views), PIECE):
        if start:
            await deferLater(relay.clock, 0.0)
        shown += [_shown(view) for view in views[start : start + PIECE]]
    return shown


@resource.get("/v1/sessions/{session}", "A session with what its protocol log says, in progress or over.", SessionRecord)
async def session(relay: Relay, request: IRequest, session: str) -> SessionRecord:
    """One of them."""
    number = _number(session)
    await in_time(relay, relay.write_logs())
    live = next((_shown(view) for view in relay.sessions.views() if view.session == number), None)
    reactor: Any = relay.clock
    reading = relay.log_readers.ask(lambda: deferToThreadPool(reactor, reactor.getThreadPool(), dialogue, relay.config, number))
    found = await reading.addTimeout(ANSWER_TIMEOUT, relay.clock)
    return SessionRecord(session=number, live=live, **found)


@resource.delete("/v1/sessions/{session}", "End a session: the client is told 421, and the connection is closed.", SessionEnd)
def disconnect(relay: Relay, request: IRequest, session: str) -> SessionEnd:
    """End it."""
    number = _number(session)
    if not relay.sessions.disconnect(number):
        raise RequestProblem(HTTPStatus.NOT_FOUND, f"No session {number} is in progress; `relayctl session list` shows those that are.")
    return SessionEnd(session=number, action="Disconnected")
