"""The live trace: what happens to sessions and messages, as it happens."""

from __future__ import annotations

from http import HTTPStatus

from twisted.internet.defer import Deferred
from twisted.web.iweb import IRequest

from twistedrelay.answers.sessions import NO_NUMBER, NUMBER
from twistedrelay.control.live import Relay
from twistedrelay.control.operations import Resource
from twistedrelay.control.requests import RequestProblem, text
from twistedrelay.control.streams import stream
from twistedrelay.observe.wanted import Wanted, is_same_connector

resource = Resource()

#: Characters of a text in a query.
MAX_TEXT = 1000

_TEXTS = {
    "client": "the client's IP address or a range of them",
    "connector": "a receive or send connector",
    "sender": "an address or a domain",
    "recipient": "an address or a domain",
    "user": "a login",
    "session": "the number of a session",
}
_QUERY = tuple((name, {"type": "string", "description": description}) for name, description in _TEXTS.items())


@resource.get("/v1/trace", "What happens, as it happens (server-sent events).", None, query=_QUERY, content_type="text/event-stream")
def trace(relay: Relay, request: IRequest) -> Deferred[bytes]:
    """A stream of records; each criterion that is given must match."""
    given = {name: text(request, name.encode("ascii"), MAX_TEXT) for name in _TEXTS}
    try:
        wanted = Wanted.of(given)
    except ValueError as error:
        raise RequestProblem(HTTPStatus.BAD_REQUEST, f"client: {error}.") from None
    _check(relay, given["session"], given["connector"])
    return stream(request, relay, lambda tell: relay.trace.follow(wanted, tell))


def _check(relay: Relay, session: str, connector: str) -> None:
    """Nobody shall wait for what cannot come.

    @raise RequestProblem: there is none of that name.
    """
    if session and not NUMBER.fullmatch(session):
        raise RequestProblem(HTTPStatus.BAD_REQUEST, NO_NUMBER)
    names = (*relay.config.receive_connectors, *relay.config.send_connectors)
    if connector and not any(is_same_connector(connector, name) for name in names):
        advice = "see `relayctl connector list` and `relayctl send-connector list`"
        raise RequestProblem(HTTPStatus.BAD_REQUEST, f"There is no connector {connector}; {advice}.")
