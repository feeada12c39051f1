"""The HTTP API: what can be asked of a running relay, and done to it.

It decides how an operation becomes a route, how a body is read, and which error becomes which status code; what is shown is the business of
the C{resources}.  Who may use it is decided by the directory of its socket and nothing else.  No request, however malformed, reaches
further than an error document.

klein takes the global reactor when imported: this module and C{server} are imported once a reactor was chosen, never by a plugin file.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from klein import Klein
from pydantic import BaseModel, ValidationError
from twisted.internet.defer import Deferred, TimeoutError, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from werkzeug.exceptions import HTTPException

from twistedrelay.answers.connectors import UnknownConnector
from twistedrelay.control.bounds import ANSWER_TIMEOUT
from twistedrelay.control.live import Relay
from twistedrelay.control.openapi import document
from twistedrelay.control.operations import Operation
from twistedrelay.control.requests import RequestProblem, answer, problem
from twistedrelay.control.resources import connectors, messages, queues, safety_net, sessions, status, trace, tracking
from twistedrelay.interfaces import SpoolError

#: All that the API can do.
OPERATIONS: tuple[Operation, ...] = (
    *status.resource.operations,
    *connectors.resource.operations,
    *queues.resource.operations,
    *messages.resource.operations,
    *safety_net.resource.operations,
    *sessions.resource.operations,
    *tracking.resource.operations,
    *trace.resource.operations,
)


def _json(request: IRequest, text: str) -> bytes:
    request.setHeader(b"cache-control", b"no-store")
    return answer(request, b"application/json", text)


def _shown(request: IRequest, found: Any) -> bytes:
    """What an operation gave, as the body of the answer."""
    if isinstance(found, bytes):
        return found
    if isinstance(found, BaseModel):
        return _json(request, found.model_dump_json())
    return _json(request, "[" + ",".join([model.model_dump_json() for model in found]) + "]")


def _body(operation: Operation, request: IRequest) -> dict[str, Any]:
    """The body of a request, read; nothing where the operation takes none.

    @raise RequestProblem: it is not what the operation takes.
    """
    if operation.body is None:
        return {}
    content = request.content.read()
    try:
        return {"body": operation.body.model_validate_json(content)}
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        said = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'the body'}: {one['msg']}" for one in found[:20])
        raise RequestProblem(HTTPStatus.UNPROCESSABLE_ENTITY, said) from None


class ControlAPI:
    """The application; C{app.resource()} is what a site serves."""

    _log = Logger()

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self.app = Klein()
        for operation in OPERATIONS:
            self.app.route(operation.rule, methods=[operation.method.upper()], endpoint=f"{operation.method} {operation.path}")(
                self._route(operation)
            )
        self.app.route("/v1/openapi.json", methods=["GET"])(self._openapi)
        self.app.handle_errors(Exception)(self._failed)

    def close(self) -> None:
        """End the answers that go on."""
        self._relay.streams.close()

    def _route(self, operation: Operation) -> Callable[..., Deferred[bytes]]:
        def handle(request: IRequest, **parts: str) -> Deferred[bytes]:
            done = maybeDeferred(lambda: operation.handler(self._relay, request, **parts, **_body(operation, request)))
            return done.addCallback(lambda found: _shown(request, found))

        return handle

    def _openapi(self, request: IRequest) -> bytes:
        """This API's description."""
        return _json(request, json.dumps(document(OPERATIONS, self._relay.version)))

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
