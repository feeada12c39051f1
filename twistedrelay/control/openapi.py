"""The description of the API (OpenAPI 3.1), made from its operations and their models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from twistedrelay.control import documents
from twistedrelay.control.operations import Operation

_Schemas = Mapping[tuple[Any, JsonSchemaMode], dict[str, Any]]


def _operation(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in operation.parts]
    parameters += [{"name": name, "in": "query", "schema": kind} for name, kind in operation.query]
    schema: dict[str, Any] = {"type": "string"}
    if operation.answer is not None:
        schema = schemas[operation.answer, "serialization"]
        if operation.many:
            schema = {"type": "array", "items": schema}
    failure = {"application/problem+json": {"schema": schemas[documents.Problem, "serialization"]}}
    described: dict[str, Any] = {
        "summary": operation.summary,
        "parameters": parameters,
        "responses": {
            "200": {"description": "done", "content": {operation.content_type: {"schema": schema}}},
            "default": {"description": "not done", "content": failure},
        },
    }
    if operation.body is not None:
        content = {"application/json": {"schema": schemas[operation.body, "validation"]}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _wanted(operations: Sequence[Operation]) -> Iterable[tuple[type[BaseModel], JsonSchemaMode]]:
    for operation in operations:
        if operation.answer is not None:
            yield operation.answer, "serialization"
        if operation.body is not None:
            yield operation.body, "validation"
    yield documents.Problem, "serialization"


def document(operations: Sequence[Operation], version: str) -> dict[str, Any]:
    """The OpenAPI document."""
    wanted = list(dict.fromkeys(_wanted(operations)))
    schemas, components = models_json_schema(wanted, ref_template="#/components/schemas/{model}")
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "twistedrelay control", "version": version},
        "paths": paths,
        "components": {"schemas": components["$defs"]},
    }
