"""What an operation of the API is: a method and a path, what it takes and answers, and the function behind it.

One table for both: the routes of L{twistedrelay.control.api} and the description of L{twistedrelay.control.openapi} are made of it, so
that neither can have what the other has not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import attrs
from pydantic import BaseModel

#: Behind an operation: C{handler(relay, request, **parts of the path[, body])} gives a model, a list of models, octets that are the whole
#: body (the handler has set their content type then), or a Deferred or coroutine of these.
Handler = Callable[..., Any]

#: Parameters of a query: name and JSON schema.
Query = tuple[tuple[str, dict[str, Any]], ...]

#: Parts of a path that may hold slashes.
_WHOLE = frozenset({"name", "identity", "address"})


@attrs.frozen(slots=True)
class Operation:
    """One thing the API can do.

    @ivar path: with its parts in braces: C{/v1/queues/{identity}/suspend}.
    @ivar answer: the model of the answer; None where it is no JSON.
    @ivar many: the answer is a list of them.
    @ivar body: the model of the request's body, which the handler gets as C{body}.
    @ivar content_type: of the answer.
    """

    method: str
    path: str
    summary: str
    answer: type[BaseModel] | None
    handler: Handler
    many: bool = False
    query: Query = ()
    body: type[BaseModel] | None = None
    content_type: str = "application/json"

    @property
    def parts(self) -> list[str]:
        """The names of the parts of the path."""
        return re.findall(r"{(\w+)}", self.path)

    @property
    def rule(self) -> str:
        """The path as werkzeug writes it."""
        return re.sub(r"{(\w+)}", lambda found: f"<{'path:' if found[1] in _WHOLE else ''}{found[1]}>", self.path)


class Resource:
    """The operations of one kind of object.  Its methods are decorators of the functions behind them."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def get(self, path: str, summary: str, answer: type[BaseModel] | None, **more: Any) -> Callable[[Handler], Handler]:
        """See it."""
        return self._add("get", path, summary, answer, more)

    def post(self, path: str, summary: str, answer: type[BaseModel] | None, **more: Any) -> Callable[[Handler], Handler]:
        """Do something, or make one."""
        return self._add("post", path, summary, answer, more)

    def patch(self, path: str, summary: str, answer: type[BaseModel] | None, **more: Any) -> Callable[[Handler], Handler]:
        """Change it."""
        return self._add("patch", path, summary, answer, more)

    def delete(self, path: str, summary: str, answer: type[BaseModel] | None, **more: Any) -> Callable[[Handler], Handler]:
        """Remove it."""
        return self._add("delete", path, summary, answer, more)

    def _add(
        self, method: str, path: str, summary: str, answer: type[BaseModel] | None, more: dict[str, Any]
    ) -> Callable[[Handler], Handler]:
        def add(handler: Handler) -> Handler:
            self.operations.append(Operation(method, path, summary, answer, handler, **more))
            return handler

        return add
