"""Queues: the messages for each next hop."""

from __future__ import annotations

import itertools
from http import HTTPStatus
from typing import Any

from twisted.internet.task import deferLater
from twisted.web.iweb import IRequest

from twistedrelay.answers.queues import NO_WAY_OUT, queue_name
from twistedrelay.control import models, views
from twistedrelay.control.bounds import PIECE, in_time
from twistedrelay.control.live import Relay
from twistedrelay.control.operations import Resource
from twistedrelay.control.peers import who
from twistedrelay.control.properties import FILTER, QUEUE_PROPERTIES, asked_filter, queue_values
from twistedrelay.control.requests import RequestProblem, argument, boolean, integer, text
from twistedrelay.control.resources.messages import link_next, server_of

resource = Resource()

#: The longest reason for a suspension, in characters.
MAX_REASON = 200

#: The longest suspension that ends by itself: ten years.
MAX_SECONDS = 10 * 366 * 86400

#: Queues that one answer lists at most.
MAX_QUEUES = 10_000

_SUSPENSION = (
    ("reason", {"type": "string", "maxLength": MAX_REASON, "default": ""}),
    ("seconds", {"type": "integer", "minimum": 1, "maximum": MAX_SECONDS, "description": "it ends by itself; else it does not"}),
)
_LIMIT = ("limit", {"type": "integer", "minimum": 1, "maximum": MAX_QUEUES, "default": MAX_QUEUES})
_AFTER = ("after", {"type": "string", "maxLength": 2000, "description": "the identity that the page before ended with"})
_RESUBMIT = ("resubmit", {"type": "boolean", "default": False, "description": "its messages look for their ways anew"})
_TO = ("to", {"type": "string", "minLength": 1, "maxLength": 300, "description": "HOST[:PORT]"})


@resource.get(
    "/v1/queues",
    "The queues that hold messages, one per next hop, in the order of their identities; the header Link says where the next page is.",
    models.Queue,
    many=True,
    query=(FILTER, _LIMIT, _AFTER),
)
async def queues(relay: Relay, request: IRequest) -> list[models.Queue]:
    """A page of them."""
    limit, after = integer(request, b"limit", MAX_QUEUES), argument(request, b"after")
    filter, server = asked_filter(relay, request, QUEUE_PROPERTIES), relay.config.server.name
    name = None if after is None else after.removeprefix(server + "\\")
    looked = await in_time(relay, relay.scheduler.look())
    found = sorted(looked, key=lambda lane: str(lane.identity))
    shown: list[models.Queue] = []
    rest = itertools.dropwhile(lambda lane: name is not None and lane.identity <= name, found)
    for number, lane in enumerate(rest, 1):
        queue = views.queue(server, lane)
        if filter is None or filter.matches(queue_values(server, queue)):
            if len(shown) == limit:
                link_next(request, shown[-1].identity)
                break
            shown.append(queue)
        if number % PIECE == 0:  # thousands of dead domains: let others have their turn
            await deferLater(relay.clock, 0.0)
    return shown


@resource.get("/v1/queues/{identity}", "A queue with all its properties and its ways.", models.QueueDetail)
async def show(relay: Relay, request: IRequest, identity: str) -> models.QueueDetail:
    """One queue."""
    name = _name(relay, identity)
    for lane in await in_time(relay, relay.scheduler.look()):
        if lane.identity == name:
            shown: dict[str, Any] = views.queue(relay.config.server.name, lane).model_dump()
            return models.QueueDetail(**shown, lanes=[views.lane(each) for each in relay.scheduler.queues.details(name)])
    raise RequestProblem(HTTPStatus.NOT_FOUND, f"There is no queue {name}; `relayctl queue list` shows them.")


@resource.post(
    "/v1/queues/{identity}/suspend",
    "Begin nothing new there; what is being sent ends, mail is accepted.",
    models.QueueChange,
    query=_SUSPENSION,
)
async def suspend(relay: Relay, request: IRequest, identity: str) -> models.QueueChange:
    """Suspend a queue."""
    name = _name(relay, identity)
    reason, seconds = text(request, b"reason", MAX_REASON), integer(request, b"seconds", 0)
    until = relay.clock.seconds() + seconds if seconds else 0.0
    if not await in_time(relay, relay.scheduler.queues.suspend(name, reason, until, who(request))):
        raise _no_queue(name)
    return views.queue_change(name, "suspend", until)


@resource.post("/v1/queues/{identity}/resume", "Let a suspended queue go on.", models.QueueChange)
async def resume(relay: Relay, request: IRequest, identity: str) -> models.QueueChange:
    """Let a queue go on."""
    name = _name(relay, identity)
    if not await in_time(relay, relay.scheduler.queues.resume(name)):
        raise RequestProblem(HTTPStatus.NOT_FOUND, f"There is no suspended queue {name}; `relayctl queue list` shows them.")
    return views.queue_change(name, "resume")


@resource.post(
    "/v1/queues/{identity}/retry", "Try a next hop now that is waited for, or route its mail anew.", models.QueueChange, query=(_RESUBMIT,)
)
async def retry(relay: Relay, request: IRequest, identity: str) -> models.QueueChange:
    """Try a next hop now."""
    name = _name(relay, identity)
    if boolean(request, b"resubmit", False):
        if not await in_time(relay, relay.scheduler.queues.resubmit(name)):
            raise _no_queue(name)
        return views.queue_change(name, "resubmit")
    if not relay.scheduler.queues.retry(name):
        shown = await in_time(relay, relay.scheduler.look())
        if not any(view.identity == name and view.next_hop_domain == name for view in shown):
            raise _no_queue(name)
    return views.queue_change(name, "retry")


@resource.post(
    "/v1/queues/{identity}/redirect", "Send what is in a queue, and what comes, to another server.", models.QueueChange, query=(_TO,)
)
async def redirect(relay: Relay, request: IRequest, identity: str) -> models.QueueChange:
    """Redirect a queue."""
    name, to = _name(relay, identity), server_of(text(request, b"to", 300), "to")
    if not await in_time(relay, relay.scheduler.queues.redirect(name, to, who(request))):
        raise _no_queue(name)
    return views.queue_change(name, "redirect", to=to)


@resource.delete("/v1/queues/{identity}/redirect", "Let a queue go its own way again.", models.QueueChange)
async def cancel_redirect(relay: Relay, request: IRequest, identity: str) -> models.QueueChange:
    """Redirect a queue no more."""
    name = _name(relay, identity)
    if not await in_time(relay, relay.scheduler.queues.cancel_redirect(name)):
        raise RequestProblem(HTTPStatus.NOT_FOUND, f"The queue {name} is not redirected.")
    return views.queue_change(name, "cancel-redirect")


def _name(relay: Relay, identity: str) -> str:
    """The name of the queue that is meant."""
    return queue_name(identity, relay.config.server.name)


def _no_queue(name: str) -> RequestProblem:
    if name in NO_WAY_OUT:
        return RequestProblem(HTTPStatus.CONFLICT, NO_WAY_OUT[name])
    return RequestProblem(HTTPStatus.NOT_FOUND, f"There is no queue {name}; `relayctl queue list` shows them.")
