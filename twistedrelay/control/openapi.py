"""The description of the API (OpenAPI 3.1), made from the models.

It decides how the operations are documented; that they are all there, and no others, is a test's business.
"""

from __future__ import annotations

from typing import Any

import attrs
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from twistedrelay.control import models, safetynet

#: Most messages that one answer lists.
MAX_LIMIT = 1000
DEFAULT_LIMIT = 100
MAX_OFFSET = 2**31 - 1

#: The longest reason for a suspension, in characters.
MAX_REASON = 200

#: The longest suspension that ends by itself: ten years.
MAX_SECONDS = 10 * 366 * 86400


@attrs.frozen(slots=True)
class Operation:
    """One thing the API can do."""

    method: str
    path: str
    summary: str
    answer: type[BaseModel]
    many: bool = False
    query: tuple[tuple[str, dict[str, Any]], ...] = ()


OPERATIONS = (
    Operation("get", "/v1/status", "The relay as a whole.", models.Status),
    Operation("get", "/v1/connectors", "The receive connectors.", models.ConnectorSummary, many=True),
    Operation("get", "/v1/connectors/{name}", "A receive connector, by Name or SERVER\\Name.", models.Connector),
    Operation("get", "/v1/queues", "The queues that hold messages, one per next hop.", models.Queue, many=True),
    Operation(
        "post",
        "/v1/queues/{identity}/suspend",
        "Begin nothing new there; what is being sent ends, mail is accepted.",
        models.QueueChange,
        query=(
            ("reason", {"type": "string", "maxLength": MAX_REASON, "default": ""}),
            ("seconds", {"type": "integer", "minimum": 1, "maximum": MAX_SECONDS, "description": "it ends by itself; else it does not"}),
        ),
    ),
    Operation("post", "/v1/queues/{identity}/resume", "Let a suspended queue go on.", models.QueueChange),
    Operation("post", "/v1/queues/{identity}/retry", "Try a next hop now that is waited for.", models.QueueChange),
    Operation(
        "get",
        "/v1/messages",
        "Messages in the spool, by id.",
        models.MessageSummary,
        many=True,
        query=(
            ("limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}),
            ("offset", {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET, "default": 0}),
        ),
    ),
    Operation("get", "/v1/messages/{id}", "A message with its recipients.", models.Message),
    Operation("post", "/v1/messages/{id}/suspend", "Let a message take part no more.", models.MessageChange),
    Operation("post", "/v1/messages/{id}/resume", "Let a suspended or poison message take part again.", models.MessageChange),
    Operation(
        "delete",
        "/v1/messages/{id}",
        "Remove a message from the queue.",
        models.Removal,
        query=(("with_ndr", {"type": "boolean", "default": True, "description": "whether its sender is told"}),),
    ),
    Operation(
        "get",
        "/v1/safety-net/messages",
        "Delivered messages that are kept, in the order of their delivery.",
        models.KeptMessage,
        many=True,
        query=(
            *safetynet.QUERY,
            ("limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}),
            ("after", {"type": "string", "description": "go on behind this one: seconds since the epoch of its delivery, a comma, its id"}),
        ),
    ),
    Operation("get", "/v1/safety-net/requests", "Requests to deliver kept messages again.", models.ResubmitRequest, many=True),
    Operation("post", "/v1/safety-net/requests", "Deliver kept messages again.", models.ResubmitRequest, query=safetynet.QUERY),
    Operation("delete", "/v1/safety-net/requests/{id}", "End a request that is under way.", models.ResubmitRequest),
)

_REF = "#/components/schemas/{model}"


def _operation(operation: Operation) -> dict[str, Any]:
    schema: dict[str, Any] = {"$ref": _REF.format(model=operation.answer.__name__)}
    if operation.many:
        schema = {"type": "array", "items": schema}
    parameters = [
        {"name": part[1:-1], "in": "path", "required": True, "schema": {"type": "string"}}
        for part in operation.path.split("/")
        if part.startswith("{")
    ]
    parameters += [{"name": name, "in": "query", "schema": kind} for name, kind in operation.query]
    failure = {"application/problem+json": {"schema": {"$ref": _REF.format(model="Problem")}}}
    return {
        "summary": operation.summary,
        "parameters": parameters,
        "responses": {
            "200": {"description": "done", "content": {"application/json": {"schema": schema}}},
            "default": {"description": "not done", "content": failure},
        },
    }


def document(version: str) -> dict[str, Any]:
    """The OpenAPI document."""
    shown = list(dict.fromkeys([operation.answer for operation in OPERATIONS] + [models.Problem]))
    _, schemas = models_json_schema([(model, "serialization") for model in shown], ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "twistedrelay control", "version": version},
        "paths": paths,
        "components": {"schemas": schemas["$defs"]},
    }
