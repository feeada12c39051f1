"""The operations that change objects of the configuration: the same for all kinds of them."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from pydantic import BaseModel
from twisted.internet.defer import Deferred
from twisted.web.iweb import IRequest

from twistedrelay.config.edit import KINDS
from twistedrelay.config.edit_change import wished
from twistedrelay.config.edit_request import Wish
from twistedrelay.control import change_models, changing
from twistedrelay.control.change_models import ConfigurationChange, plain_values
from twistedrelay.control.live import Relay
from twistedrelay.control.operations import Resource

_Changing = Coroutine[Deferred[Any], Any, ConfigurationChange]


def grant(relay: Relay, request: IRequest, wish: Wish) -> _Changing:
    """Make a wish true."""
    return changing.make(relay, request, lambda: wished(relay.applying.file, wish))


def add_changes(resource: Resource, base: str, section: str) -> None:
    """Let objects be made, changed and removed, and connectors enabled and disabled.

    @param base: the path of their list.
    """
    kind, (new, changed) = KINDS[section], change_models.BODIES[section]
    query = (changing.WHAT_IF,)

    @resource.post(base, f"Make a new {kind}.", ConfigurationChange, body=new, query=query)
    def make(relay: Relay, request: IRequest, body: Any) -> _Changing:
        values = plain_values(section, body.set)
        return grant(relay, request, Wish(section, body.name, "add", values, usage=getattr(body, "usage", None) or ""))

    @resource.patch(base + "/{name}", f"Change a {kind}.", ConfigurationChange, body=changed, query=query)
    def change(relay: Relay, request: IRequest, name: str, body: Any) -> _Changing:
        return grant(relay, request, wish_of(section, name, body))

    @resource.delete(base + "/{name}", f"Remove a {kind}.", ConfigurationChange, query=query)
    def remove(relay: Relay, request: IRequest, name: str) -> _Changing:
        return grant(relay, request, Wish(section, name, "remove"))

    if section == "accepted_domains":
        return

    @resource.post(base + "/{name}/enable", f"Let a {kind} take part.", ConfigurationChange, query=query)
    def enable(relay: Relay, request: IRequest, name: str) -> _Changing:
        return grant(relay, request, Wish(section, name, set={"enabled": "true"}))

    @resource.post(base + "/{name}/disable", f"Let a {kind} take part no more.", ConfigurationChange, query=query)
    def disable(relay: Relay, request: IRequest, name: str) -> _Changing:
        return grant(relay, request, Wish(section, name, set={"enabled": "false"}))


def wish_of(section: str, name: str, body: BaseModel) -> Wish:
    """What the body of a PATCH wants."""
    values, add, remove = (plain_values(section, getattr(body, part, None)) for part in ("set", "add", "remove"))
    return Wish(section, name, "set", values, add, remove, getattr(body, "unset", None) or [])
