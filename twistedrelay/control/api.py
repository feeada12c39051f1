"""The HTTP API: what can be asked of a running relay, and done to it.

It decides paths, bounds and status codes; what is shown is C{views}' business.  Who may use it is decided by the directory of its
socket and nothing else.  No request, however malformed, reaches further than an error document.

klein takes the global reactor when imported: this module and C{server} are imported once a reactor was chosen, never by a plugin file.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, TypeVar

from klein import Klein
from pydantic import BaseModel
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from werkzeug.exceptions import HTTPException

from twistedrelay.answers.connectors import UnknownConnector, connector_properties, connector_summary, find_connector
from twistedrelay.answers.queues import NO_WAY_OUT
from twistedrelay.control import models, safetynet, views
from twistedrelay.control.live import Relay
from twistedrelay.control.openapi import DEFAULT_LIMIT, MAX_LIMIT, MAX_OFFSET, MAX_REASON, MAX_SECONDS, document
from twistedrelay.control.requests import RequestProblem, answer, boolean, integer, problem, text
from twistedrelay.interfaces import SpoolError

T = TypeVar("T")

#: Seconds that the spool may take for an answer.
ANSWER_TIMEOUT = 30.0

#: Queues shown in one turn of the reactor.
PIECE = 200

#: An InternalId is a positive 63 bit number.
MAX_ID = 2**63 - 1


def _json(request: IRequest, text: str) -> bytes:
    request.setHeader(b"cache-control", b"no-store")
    return answer(request, b"application/json", text)


def _one(request: IRequest, model: BaseModel) -> bytes:
    return _json(request, model.model_dump_json())


def _many(request: IRequest, found: list[Any]) -> bytes:
    return _json(request, "[" + ",".join([model.model_dump_json() for model in found]) + "]")


def _message_id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and 0 < int(text) <= MAX_ID):
        raise RequestProblem(HTTPStatus.BAD_REQUEST, "A message's id is a number, as `relayctl message list` shows it.")
    return int(text)


def _no_message(id: int) -> RequestProblem:
    return RequestProblem(HTTPStatus.NOT_FOUND, f"There is no message {id} in the queue: it was delivered, returned or removed.")


def _no_queue(name: str) -> RequestProblem:
    if name in NO_WAY_OUT:
        return RequestProblem(HTTPStatus.CONFLICT, NO_WAY_OUT[name])
    return RequestProblem(HTTPStatus.NOT_FOUND, f"There is no queue {name}; `relayctl queue list` shows them.")


class ControlAPI:
    """The application; C{app.resource()} is what a site serves."""

    app = Klein()
    _log = Logger()

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def _in_time(self, waiting: Deferred[T]) -> Deferred[T]:
        return waiting.addTimeout(ANSWER_TIMEOUT, self._relay.clock)

    @app.route("/v1/status", methods=["GET"])
    async def status(self, request: IRequest) -> bytes:
        """The relay as a whole."""
        count = await self._in_time(self._relay.spool.count())
        queues = await self._in_time(self._relay.scheduler.look())
        return _one(request, views.status(self._relay, count, len(queues)))

    @app.route("/v1/connectors", methods=["GET"])
    def connectors(self, request: IRequest) -> bytes:
        """The receive connectors."""
        config = self._relay.config
        return _many(request, [models.ConnectorSummary(**connector_summary(config, name)) for name in config.receive_connectors])

    @app.route("/v1/connectors/<path:name>", methods=["GET"])
    def connector(self, request: IRequest, name: str) -> bytes:
        """One receive connector."""
        config = self._relay.config
        return _one(request, models.Connector(**connector_properties(config, find_connector(config, name))))

    @app.route("/v1/queues", methods=["GET"])
    async def queues(self, request: IRequest) -> bytes:
        """The queues."""
        server, shown = self._relay.config.server.name, []
        queues = await self._in_time(self._relay.scheduler.look())
        for number, lane in enumerate(queues, 1):
            shown.append(views.queue(server, lane).model_dump_json())
            if number % PIECE == 0:  # thousands of dead domains: let others have their turn
                await deferLater(self._relay.clock, 0.0)
        return _json(request, f"[{','.join(shown)}]")

    @app.route("/v1/queues/<path:identity>/suspend", methods=["POST"])
    async def suspend_queue(self, request: IRequest, identity: str) -> bytes:
        """Suspend a queue."""
        name = self._queue(identity)
        reason, seconds = text(request, b"reason", MAX_REASON), integer(request, b"seconds", 0, 1, MAX_SECONDS)
        until = self._relay.clock.seconds() + seconds if seconds else 0.0
        if not await self._in_time(self._relay.scheduler.queues.suspend(name, reason, until)):
            raise _no_queue(name)
        return _one(request, views.queue_change(name, "suspend", until))

    @app.route("/v1/queues/<path:identity>/resume", methods=["POST"])
    async def resume_queue(self, request: IRequest, identity: str) -> bytes:
        """Let a queue go on."""
        name = self._queue(identity)
        if not await self._in_time(self._relay.scheduler.queues.resume(name)):
            raise RequestProblem(HTTPStatus.NOT_FOUND, f"There is no suspended queue {name}; `relayctl queue list` shows them.")
        return _one(request, views.queue_change(name, "resume"))

    @app.route("/v1/queues/<path:identity>/retry", methods=["POST"])
    async def retry_queue(self, request: IRequest, identity: str) -> bytes:
        """Try a next hop now."""
        name = self._queue(identity)
        if not self._relay.scheduler.queues.retry(name):
            shown = await self._in_time(self._relay.scheduler.look())
            if not any(view.identity == name and view.next_hop_domain == name for view in shown):
                raise _no_queue(name)
        return _one(request, views.queue_change(name, "retry"))

    def _queue(self, identity: str) -> str:
        """A queue's name without the server's."""
        return identity.removeprefix(self._relay.config.server.name + "\\")

    @app.route("/v1/messages", methods=["GET"])
    async def messages(self, request: IRequest) -> bytes:
        """Messages in the spool."""
        limit = integer(request, b"limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
        offset = integer(request, b"offset", 0, 0, MAX_OFFSET)
        found = await self._in_time(self._relay.spool.messages(limit, offset))
        return _many(request, [views.summary(self._relay, message) for message in found])

    @app.route("/v1/messages/<id>", methods=["GET"])
    async def message(self, request: IRequest, id: str) -> bytes:
        """One message."""
        number = _message_id(id)
        found = await self._in_time(self._relay.spool.load([number]))
        if not found:
            raise _no_message(number)
        return _one(request, views.message(self._relay, found[0]))

    @app.route("/v1/messages/<id>", methods=["DELETE"])
    async def remove(self, request: IRequest, id: str) -> bytes:
        """Remove a message."""
        number = _message_id(id)
        with_ndr = boolean(request, b"with_ndr", True)
        if not await self._in_time(self._relay.scheduler.remove(number, with_ndr)):
            raise _no_message(number)
        return _one(request, models.Removal(id=number, with_ndr=with_ndr))

    @app.route("/v1/messages/<id>/suspend", methods=["POST"])
    async def suspend_message(self, request: IRequest, id: str) -> bytes:
        """Let a message take part no more."""
        number = _message_id(id)
        if not await self._in_time(self._relay.scheduler.suspend_message(number)):
            raise _no_message(number)
        return _one(request, models.MessageChange(id=number, action="suspend"))

    @app.route("/v1/messages/<id>/resume", methods=["POST"])
    async def resume_message(self, request: IRequest, id: str) -> bytes:
        """Let it take part again."""
        number = _message_id(id)
        if not await self._in_time(self._relay.scheduler.resume_message(number)):
            raise _no_message(number)
        return _one(request, models.MessageChange(id=number, action="resume"))

    @app.route("/v1/safety-net/messages", methods=["GET"])
    async def kept(self, request: IRequest) -> bytes:
        """Messages that were delivered and are kept."""
        net = safetynet.require(self._relay.safety_net)
        limit = integer(request, b"limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
        finding = Deferred.fromCoroutine(net.find(safetynet.query(request), limit, safetynet.position(request)))
        return _many(request, [safetynet.kept(each) for each in await self._in_time(finding)])

    @app.route("/v1/safety-net/requests", methods=["GET"])
    def resubmit_requests(self, request: IRequest) -> bytes:
        """Requests to deliver kept messages again."""
        return _many(request, [safetynet.resubmission(each) for each in self._relay.safety_net.requests()])

    @app.route("/v1/safety-net/requests", methods=["POST"])
    def resubmit(self, request: IRequest) -> bytes:
        """Deliver kept messages again."""
        net = safetynet.require(self._relay.safety_net)
        return _one(request, safetynet.resubmission(net.resubmit(safetynet.query(request))))

    @app.route("/v1/safety-net/requests/<id>", methods=["DELETE"])
    def cancel_resubmission(self, request: IRequest, id: str) -> bytes:
        """End a request that is under way."""
        found = {each.identity: each for each in self._relay.safety_net.requests()}
        number = int(id) if id.isascii() and id.isdigit() and len(id) < 10 else 0
        if not self._relay.safety_net.cancel(number):
            raise RequestProblem(HTTPStatus.NOT_FOUND, f"No resubmit request {id} is under way.")
        return _one(request, safetynet.resubmission(found[number]))

    @app.route("/v1/openapi.json", methods=["GET"])
    def openapi(self, request: IRequest) -> bytes:
        """This API's description."""
        return _json(request, json.dumps(document(self._relay.version)))

    @app.handle_errors(Exception)
    def _failed(self, request: IRequest, failure: Failure) -> bytes:
        """Every error, as a document."""
        error = failure.value
        if isinstance(error, RequestProblem):
            return problem(request, error.status, str(error))
        if isinstance(error, UnknownConnector):
            return problem(request, HTTPStatus.NOT_FOUND, f"{error} Did you mean: {', '.join(error.suggestions)}?")
        if isinstance(error, HTTPException):
            return problem(request, error.code or 500, error.description or "")
        if isinstance(error, SpoolError):
            return problem(request, HTTPStatus.SERVICE_UNAVAILABLE, f"The spool cannot do it now: {error}")
        if isinstance(error, TimeoutError):
            return problem(request, HTTPStatus.GATEWAY_TIMEOUT, f"The spool did not answer within {ANSWER_TIMEOUT:.0f} seconds.")
        self._log.failure("a control request failed", failure=failure)
        return problem(request, HTTPStatus.INTERNAL_SERVER_ERROR, "The daemon failed to answer; its log says why.")
