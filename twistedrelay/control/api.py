"""The HTTP API: what can be asked of a running relay, and done to it.

It decides how an operation becomes a route, how a body is read, and which error becomes which status code; what is shown is the business of
the C{resources}.  Who may use it is decided by the directory of its socket and nothing else.  No request, however malformed, reaches
further than an error document.

klein takes the global reactor when imported: this module and C{server} are imported once a reactor was chosen, never by a plugin file.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from typing import Any

from klein import Klein
from pydantic import BaseModel, ValidationError
from twisted.internet.defer import Deferred, TimeoutError, maybeDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from werkzeug.exceptions import HTTPException

from twistedrelay.answers.connectors import UnknownConnector
from twistedrelay.answers.waiting import to_its_end
from twistedrelay.config.problems import ConfigError, path_text
from twistedrelay.control import resources
from twistedrelay.control.applying import ApplyError
from twistedrelay.control.bounds import ANSWER_TIMEOUT, PIECE
from twistedrelay.control.changing import in_thread
from twistedrelay.control.documents import Finding, ProblemPart
from twistedrelay.control.live import Relay
from twistedrelay.control.openapi import document
from twistedrelay.control.operations import Operation, Resource
from twistedrelay.control.queries import check_query
from twistedrelay.control.requests import RequestProblem, answer, problem
from twistedrelay.interfaces import SpoolError


def _operations() -> Iterator[Operation]:
    """Those of every module of C{resources} that has some; the relay as a whole first."""
    for name in sorted((found.name for found in pkgutil.iter_modules(resources.__path__)), key=lambda name: (name != "status", name)):
        resource = getattr(importlib.import_module(f"{resources.__name__}.{name}"), "resource", None)
        if isinstance(resource, Resource):
            yield from resource.operations


#: All that the API can do.
OPERATIONS: tuple[Operation, ...] = tuple(_operations())


def _json(request: IRequest, text: str) -> bytes:
    request.setHeader(b"cache-control", b"no-store")
    return answer(request, b"application/json", text)


def _listed(found: Sequence[BaseModel]) -> str:
    return "[" + ",".join([model.model_dump_json() for model in found]) + "]"


def _body(operation: Operation, request: IRequest) -> dict[str, Any]:
    """The body of a request, read, where the operation takes one.

    @raise RequestProblem: it is not what the operation takes.
    """
    if operation.body is None:
        if request.content.read(1):
            raise RequestProblem(HTTPStatus.BAD_REQUEST, "This operation takes no body.")
        return {}
    content = request.content.read()
    kind = (request.getHeader(b"content-type") or b"application/json").partition(b";")[0].strip().lower()
    if kind != b"application/json":
        raise RequestProblem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body must be JSON: send it with Content-Type: application/json.")
    try:
        return {"body": operation.body.model_validate_json(content)}
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)[:20]
        words = [one["msg"].removeprefix("Value error, ") for one in found]
        said = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'the body'}: {text}" for one, text in zip(found, words, strict=True))
        parts = [
            ProblemPart(detail=text, pointer="".join(f"/{_token(step)}" for step in one["loc"]))
            for one, text in zip(found, words, strict=True)
        ]
        raise RequestProblem(HTTPStatus.UNPROCESSABLE_ENTITY, said, parts) from None


def _token(step: int | str) -> str:
    """A part of a JSON pointer."""
    return str(step).replace("~", "~0").replace("/", "~1")


class ControlAPI:
    """The application; C{app.resource()} is what a site serves."""

    _log = Logger()

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self.app = Klein()
        self.app.url_map.merge_slashes = False  # a path with two is another one, and nobody is sent elsewhere
        for operation in OPERATIONS:
            self.app.route(operation.rule, methods=[operation.method.upper()], endpoint=f"{operation.method} {operation.path}")(
                self._route(operation)
            )
        self.app.route("/v1/openapi.json", methods=["GET"])(lambda request: Deferred.fromCoroutine(self._openapi(request)))
        self.app.handle_errors(Exception)(self._failed)

    def close(self) -> None:
        """End the answers that go on."""
        self._relay.streams.close()

    def _route(self, operation: Operation) -> Callable[..., Deferred[bytes]]:
        def handle(request: IRequest, **parts: str) -> Deferred[bytes]:
            done = maybeDeferred(self._ask, operation, request, parts)
            if operation.method != "get":  # klein cancels what a client does not wait for
                done = to_its_end(done, expected=RequestProblem)
            return done.addCallback(lambda found: self._shown(request, found))

        return handle

    def _ask(self, operation: Operation, request: IRequest, parts: dict[str, str]) -> Any:
        body = _body(operation, request)
        check_query(operation.query, request.args)
        return operation.handler(self._relay, request, **parts, **body)

    def _shown(self, request: IRequest, found: Any) -> bytes | Deferred[bytes]:
        """What an operation gave, as the body of the answer."""
        if isinstance(found, bytes):
            return found
        if isinstance(found, BaseModel):
            return _json(request, found.model_dump_json())
        if len(found) <= PIECE:
            return _json(request, _listed(found))
        return Deferred.fromCoroutine(self._in_pieces(request, found))

    async def _in_pieces(self, request: IRequest, found: Sequence[BaseModel]) -> bytes:
        """A long list, while others have their turns."""
        parts = []
        for start in range(0, len(found), PIECE):
            parts.append(_listed(found[start : start + PIECE])[1:-1])
            await deferLater(self._relay.clock, 0.0)
        return _json(request, f"[{','.join(parts)}]")

    @functools.cached_property
    def _description(self) -> str:
        """This API's description, which takes a tenth of a second to make."""
        return json.dumps(document(OPERATIONS, self._relay.version))

    async def _openapi(self, request: IRequest) -> bytes:
        text = await in_thread(self._relay, lambda: self._description)
        unchanged = request.setETag(b'"%s"' % hashlib.sha256(text.encode()).hexdigest()[:32].encode())
        request.setHeader(b"cache-control", b"no-cache")
        return b"" if unchanged else answer(request, b"application/json", text)

    def _failed(self, request: IRequest, failure: Failure) -> bytes:
        """Every error, as a document."""
        error = failure.value
        if isinstance(error, RequestProblem):
            return problem(request, error.status, str(error), error.errors)
        if isinstance(error, UnknownConnector):
            return problem(request, HTTPStatus.NOT_FOUND, f"{error} {error.advice}")
        if isinstance(error, ConfigError):
            found = [
                Finding(file=wrong.file, line=wrong.line, path=path_text(wrong.path), steps=list(wrong.path), text=wrong.text)
                for wrong in error.problems
            ]
            return problem(request, HTTPStatus.UNPROCESSABLE_ENTITY, f"The configuration cannot be used:\n{error}", (), found)
        if isinstance(error, ApplyError):
            return problem(request, HTTPStatus.CONFLICT, f"{error}.")
        if isinstance(error, HTTPException):
            for name, value in error.get_headers():
                if name == "Allow":
                    request.setHeader(b"allow", value.encode("ascii"))
            there = "There is nothing at this path; /v1/openapi.json describes those that there are."
            return problem(request, error.code or 500, there if error.code == HTTPStatus.NOT_FOUND else error.description or "")
        if isinstance(error, SpoolError):
            return problem(request, HTTPStatus.SERVICE_UNAVAILABLE, f"The spool cannot do it now: {error}")
        if isinstance(error, TimeoutError):
            told = f"This was not done within {ANSWER_TIMEOUT:.0f} seconds"
            goes_on = "" if request.method in (b"GET", b"HEAD") else "; what was asked for goes on: look before you ask for it again"
            return problem(request, HTTPStatus.GATEWAY_TIMEOUT, f"{told}{goes_on}.")
        self._log.failure("a control request failed", failure=failure)
        return problem(request, HTTPStatus.INTERNAL_SERVER_ERROR, "The daemon failed to answer; its log says why.")
