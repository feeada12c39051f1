"""Messages in the spool."""

from __future__ import annotations

from http import HTTPStatus

from twisted.web.iweb import IRequest

from twistedrelay.control import models, views
from twistedrelay.control.bounds import DEFAULT_LIMIT, LIMIT, MAX_LIMIT, MAX_OFFSET, in_time, message_id
from twistedrelay.control.live import Relay
from twistedrelay.control.operations import Resource
from twistedrelay.control.requests import RequestProblem, boolean, integer

resource = Resource()

_OFFSET = ("offset", {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET, "default": 0})
_WITH_NDR = ("with_ndr", {"type": "boolean", "default": True, "description": "whether its sender is told"})


@resource.get("/v1/messages", "Messages in the spool, by id.", models.MessageSummary, many=True, query=(LIMIT, _OFFSET))
async def messages(relay: Relay, request: IRequest) -> list[models.MessageSummary]:
    """A page of them."""
    limit = integer(request, b"limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
    offset = integer(request, b"offset", 0, 0, MAX_OFFSET)
    found = await in_time(relay, relay.spool.messages(limit, offset))
    return [views.summary(relay, message) for message in found]


@resource.get("/v1/messages/{id}", "A message with its recipients.", models.Message)
async def message(relay: Relay, request: IRequest, id: str) -> models.Message:
    """One message."""
    number = message_id(id)
    found = await in_time(relay, relay.spool.load([number]))
    if not found:
        raise no_message(number)
    return views.message(relay, found[0])


@resource.delete("/v1/messages/{id}", "Remove a message from the queue.", models.Removal, query=(_WITH_NDR,))
async def remove(relay: Relay, request: IRequest, id: str) -> models.Removal:
    """Remove a message."""
    number = message_id(id)
    with_ndr = boolean(request, b"with_ndr", True)
    if not await in_time(relay, relay.scheduler.remove(number, with_ndr)):
        raise no_message(number)
    return models.Removal(id=number, with_ndr=with_ndr)


@resource.post("/v1/messages/{id}/suspend", "Let a message take part no more.", models.MessageChange)
async def suspend(relay: Relay, request: IRequest, id: str) -> models.MessageChange:
    """Suspend a message."""
    number = message_id(id)
    if not await in_time(relay, relay.scheduler.suspend_message(number)):
        raise no_message(number)
    return models.MessageChange(id=number, action="suspend")


@resource.post("/v1/messages/{id}/resume", "Let a suspended or poison message take part again.", models.MessageChange)
async def resume(relay: Relay, request: IRequest, id: str) -> models.MessageChange:
    """Let a message go on."""
    number = message_id(id)
    if not await in_time(relay, relay.scheduler.resume_message(number)):
        raise no_message(number)
    return models.MessageChange(id=number, action="resume")


def no_message(id: int) -> RequestProblem:
    """There is none."""
    return RequestProblem(HTTPStatus.NOT_FOUND, f"There is no message {id} in the queue: it was delivered, returned or removed.")
