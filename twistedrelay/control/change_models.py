"""What the API takes and answers about changes; the bodies of requests are made from the configuration's own models.

A value is written as in the configuration (C{"50MB"}, C{"10m"}, C{true}); whether it is allowed is the loader's business alone.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, create_model

from twistedrelay.config.keys import NAMED
from twistedrelay.config.model import Model
from twistedrelay.config.parameters import Parameter, parameters
from twistedrelay.config.schema import RemoteRange
from twistedrelay.config.usage_types import USAGE_TYPES

_STRICT = ConfigDict(extra="forbid")


class RangeEntry(BaseModel):
    """A range with who it belongs to and the last day it is good for."""

    model_config = _STRICT

    range: str
    owner: str = ""
    expires: str = ""


class ConfigurationChange(BaseModel):
    """A change that was made, or with C{what_if} what it would be.

    @ivar id: its number in the history.
    @ivar changes: what becomes different in the running relay.
    @ivar needs_restart: keys that are only read at a start.
    @ivar writable: whether the daemon itself may write these files; else C{directory} is where it may not.
    """

    what: str
    who: str
    what_if: bool
    id: int | None = None
    changes: list[str] = []
    warnings: list[str] = []
    needs_restart: list[str] = []
    files: list[str] = []
    diff: str = ""
    writable: bool = True
    directory: str = ""


class HistoryEntry(BaseModel):
    """A change in the history.

    @ivar undoes: the change that it took back.
    @ivar undone: it was taken back itself.
    """

    id: int
    time: str
    who: str
    what: str
    undoes: int | None
    undone: bool
    files: list[str]


class HistoryDetail(HistoryEntry):
    """The same with what it did to the files, as a unified diff."""

    diff: str


class Permission(BaseModel):
    """A right that somebody has on a receive connector, and what gives it."""

    identity: str
    user: str
    extended_right: str
    source: str


class PermissionChange(BaseModel):
    """Rights to give (Add-ADPermission) or to take away."""

    model_config = _STRICT

    connector: str
    user: str
    extended_rights: list[str] = Field(min_length=1)


def _no_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


def _absent() -> Any:
    """A field that may be left out, and has no null."""
    return Field(default=None, json_schema_extra=_no_default)


def _type(parameter: Parameter) -> Any:
    if parameter.kind == "switch":
        return bool
    if parameter.kind == "choice":
        return Literal[parameter.choices]
    if parameter.kind == "list":
        return list[RangeEntry | str] if parameter.item is RemoteRange else list[str]
    if parameter.kind == "mapping":
        return dict[str, list[str]] if parameter.of_lists else dict[str, str]
    return str | StrictInt  # which a true is none of


def _values(name: str, known: list[Parameter], depth: int = 0) -> type[BaseModel]:
    """A model of the parameters, those of objects in the object below their key."""
    fields: dict[str, Any] = {}
    for key in dict.fromkeys(parameter.path[depth] for parameter in known):
        below = [parameter for parameter in known if parameter.path[depth] == key]
        nested = len(below[0].path) > depth + 1
        kind = _values(f"{name}{key.title().replace('_', '')}", below, depth + 1) if nested else _type(below[0])
        fields[key] = (kind, _absent())
    made: type[BaseModel] = create_model(name, __config__=_STRICT, **fields)
    return made


def _bodies(model: type[Model], usage: bool) -> tuple[type[BaseModel], type[BaseModel]]:
    """The bodies that make and change an object."""
    name, known = model.__name__, list(parameters(model))
    values = _values(f"{name}Values", known)
    lists = _values(f"{name}Lists", [each for each in known if each.kind in ("list", "mapping") and len(each.path) == 1])
    more: dict[str, Any] = {"usage": (Literal[tuple(USAGE_TYPES)], _absent())} if usage else {}
    new: type[BaseModel] = create_model(
        f"New{name}", __config__=_STRICT, name=(str, Field(min_length=1, max_length=255)), set=(values, _absent()), **more
    )
    if not lists.model_fields:
        changed: type[BaseModel] = create_model(f"{name}Change", __config__=_STRICT, set=(values, _absent()), unset=(list[str], _absent()))
        return new, changed
    kinds: dict[str, Any] = {"set": values, "add": lists, "remove": lists, "unset": list[str]}
    fields: dict[str, Any] = {key: (kind, _absent()) for key, kind in kinds.items()}
    changed = create_model(f"{name}Change", __config__=_STRICT, **fields)
    return new, changed


#: By section, the bodies of POST and PATCH.
BODIES = {section: _bodies(model, section == "receive_connectors") for section, model in NAMED.items()}


def plain_values(section: str, values: BaseModel | None) -> dict[str, Any]:
    """The values of a body, by the names of their parameters, as plain data."""
    if values is None:
        return {}
    given = values.model_dump(exclude_unset=True)
    found: dict[str, Any] = {}
    for parameter in parameters(NAMED[section]):
        inner: Any = given
        for step in parameter.path:
            inner = inner.get(step) if isinstance(inner, dict) else None
        if inner is not None:
            found[parameter.name] = _plain(inner)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else str(value)
