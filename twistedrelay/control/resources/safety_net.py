"""The safety net: delivered messages that are kept, and requests to deliver them again."""

from __future__ import annotations

from http import HTTPStatus

from twisted.web.iweb import IRequest

from twistedrelay.control import models, safetynet
from twistedrelay.control.bounds import DEFAULT_LIMIT, LIMIT, ended_in_time
from twistedrelay.control.live import Relay
from twistedrelay.control.operations import Resource
from twistedrelay.control.requests import RequestProblem, integer

resource = Resource()

_AFTER = ("after", {"type": "string", "description": "go on behind this one: seconds since the epoch of its delivery, a comma, its id"})


@resource.get(
    "/v1/safety-net/messages",
    "Delivered messages that are kept, in the order of their delivery.",
    models.KeptMessage,
    many=True,
    query=(*safetynet.QUERY, LIMIT, _AFTER),
)
async def kept(relay: Relay, request: IRequest) -> list[models.KeptMessage]:
    """A page of them."""
    net = safetynet.require(relay.safety_net)
    limit = integer(request, b"limit", DEFAULT_LIMIT)
    finding = net.find(safetynet.query(request), limit, safetynet.position(request))
    return [safetynet.kept(each) for each in await ended_in_time(relay, finding)]


@resource.get("/v1/safety-net/requests", "Requests to deliver kept messages again.", models.ResubmitRequest, many=True)
def requests(relay: Relay, request: IRequest) -> list[models.ResubmitRequest]:
    """Those of this run."""
    return [safetynet.resubmission(each) for each in relay.safety_net.requests()]


@resource.post("/v1/safety-net/requests", "Deliver kept messages again.", models.ResubmitRequest, query=safetynet.QUERY)
def resubmit(relay: Relay, request: IRequest) -> models.ResubmitRequest:
    """Begin to."""
    net = safetynet.require(relay.safety_net)
    return safetynet.resubmission(net.resubmit(safetynet.query(request)))


@resource.delete("/v1/safety-net/requests/{id}", "End a request that is under way.", models.ResubmitRequest)
def cancel(relay: Relay, request: IRequest, id: str) -> models.ResubmitRequest:
    """End one."""
    found = {each.identity: each for each in relay.safety_net.requests()}
    number = int(id) if id.isascii() and id.isdigit() and len(id) < 10 else 0
    if not relay.safety_net.cancel(number):
        raise RequestProblem(HTTPStatus.NOT_FOUND, f"No resubmit request {id} is under way; `relayctl safety-net requests` shows them.")
    return safetynet.resubmission(found[number])
