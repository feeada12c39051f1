"""Queues: the messages for each next hop."""

from __future__ import annotations

from http import HTTPStatus

from twisted.internet.task import deferLater
from twisted.web.iweb import IRequest

from twistedrelay.answers.queues import NO_WAY_OUT
from twistedrelay.control import models, views
from twistedrelay.control.bounds import PIECE, in_time
from twistedrelay.control.live import Relay
from twistedrelay.control.operations import Resource
from twistedrelay.control.requests import RequestProblem, integer, text

resource = Resource()

#: The longest reason for a suspension, in characters.
MAX_REASON = 200

#: The longest suspension that ends by itself: ten years.
MAX_SECONDS = 10 * 366 * 86400

_SUSPENSION = (
    ("reason", {"type": "string", "maxLength": MAX_REASON, "default": ""}),
    ("seconds", {"type": "integer", "minimum": 1, "maximum": MAX_SECONDS, "description": "it ends by itself; else it does not"}),
)


@resource.get("/v1/queues", "The queues that hold messages, one per next hop.", models.Queue, many=True)
async def queues(relay: Relay, request: IRequest) -> list[models.Queue]:
    """All of them."""
    server, shown = relay.config.server.name, []
    found = await in_time(relay, relay.scheduler.look())
    for number, lane in enumerate(found, 1):
        shown.append(views.queue(server, lane))
        if number % PIECE == 0:  # thousands of dead domains: let others have their turn
            await deferLater(relay.clock, 0.0)
    return shown


@resource.post(
    "/v1/queues/{identity}/suspend",
    "Begin nothing new there; what is being sent ends, mail is accepted.",
    models.QueueChange,
    query=_SUSPENSION,
)
async def suspend(relay: Relay, request: IRequest, identity: str) -> models.QueueChange:
    """Suspend a queue."""
    name = _name(relay, identity)
    reason, seconds = text(request, b"reason", MAX_REASON), integer(request, b"seconds", 0, 1, MAX_SECONDS)
    until = relay.clock.seconds() + seconds if seconds else 0.0
    if not await in_time(relay, relay.scheduler.queues.suspend(name, reason, until)):
        raise _no_queue(name)
    return views.queue_change(name, "suspend", until)


@resource.post("/v1/queues/{identity}/resume", "Let a suspended queue go on.", models.QueueChange)
async def resume(relay: Relay, request: IRequest, identity: str) -> models.QueueChange:
    """Let a queue go on."""
    name = _name(relay, identity)
    if not await in_time(relay, relay.scheduler.queues.resume(name)):
        raise RequestProblem(HTTPStatus.NOT_FOUND, f"There is no suspended queue {name}; `relayctl queue list` shows them.")
    return views.queue_change(name, "resume")


@resource.post("/v1/queues/{identity}/retry", "Try a next hop now that is waited for.", models.QueueChange)
async def retry(relay: Relay, request: IRequest, identity: str) -> models.QueueChange:
    """Try a next hop now."""
    name = _name(relay, identity)
    if not relay.scheduler.queues.retry(name):
        shown = await in_time(relay, relay.scheduler.look())
        if not any(view.identity == name and view.next_hop_domain == name for view in shown):
            raise _no_queue(name)
    return views.queue_change(name, "retry")


def _name(relay: Relay, identity: str) -> str:
    """A queue's name without the server's."""
    return identity.removeprefix(relay.config.server.name + "\\")


def _no_queue(name: str) -> RequestProblem:
    if name in NO_WAY_OUT:
        return RequestProblem(HTTPStatus.CONFLICT, NO_WAY_OUT[name])
    return RequestProblem(HTTPStatus.NOT_FOUND, f"There is no queue {name}; `relayctl queue list` shows them.")
