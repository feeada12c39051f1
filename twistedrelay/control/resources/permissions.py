"""Permissions: who may do what on which receive connector (Get-, Add- and Remove-ADPermission)."""

from __future__ import annotations

from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.iweb import IRequest

from twistedrelay.answers.connectors import find_connector
from twistedrelay.answers.permission_wishes import permission_wish
from twistedrelay.answers.permissions import permissions
from twistedrelay.control.change_models import ConfigurationChange, Permission, PermissionChange
from twistedrelay.control.changing import WHAT_IF, in_thread, make
from twistedrelay.control.live import Relay
from twistedrelay.control.operations import Resource
from twistedrelay.control.requests import RequestProblem, text

_Changing = Coroutine[Deferred[Any], Any, ConfigurationChange]

resource = Resource()

_LONGEST = 255
_CONNECTOR = ("connector", {"type": "string", "maxLength": _LONGEST, "description": "only of this one"})


@resource.get("/v1/permissions", "The rights on receive connectors, and what gives them.", Permission, many=True, query=(_CONNECTOR,))
async def list_permissions(relay: Relay, request: IRequest) -> list[Permission]:
    """All of them, in a thread: with many connectors they are many."""
    config, wanted = relay.config, text(request, b"connector", _LONGEST)
    names = [find_connector(config, wanted)] if wanted else list(config.receive_connectors)
    return await in_thread(relay, lambda: [Permission(**row) for name in names for row in permissions(config, name)])


@resource.post(
    "/v1/permissions", "Give somebody extended rights on a receive connector.", ConfigurationChange, body=PermissionChange, query=(WHAT_IF,)
)
def add(relay: Relay, request: IRequest, body: PermissionChange) -> _Changing:
    """Give rights."""
    return _change(relay, request, body, "add")


@resource.post(
    "/v1/permissions/remove",
    "Take extended rights on a receive connector away.",
    ConfigurationChange,
    body=PermissionChange,
    query=(WHAT_IF,),
)
def remove(relay: Relay, request: IRequest, body: PermissionChange) -> _Changing:
    """Take rights away."""
    return _change(relay, request, body, "remove")


def _change(relay: Relay, request: IRequest, body: PermissionChange, action: str) -> _Changing:
    try:
        asked = permission_wish(body.connector, body.user, body.extended_rights, action)
    except ValueError as error:
        raise RequestProblem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{error}.") from None
    return make(relay, request, lambda: asked(relay.applying.file))
