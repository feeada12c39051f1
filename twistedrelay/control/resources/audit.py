"""What is dangerous about the running relay."""

from __future__ import annotations

from http import HTTPStatus

from twisted.web.iweb import IRequest

from twistedrelay.answers.audit.auditor import Busy
from twistedrelay.answers.audit.document import Report
from twistedrelay.control.bounds import ended_in_time
from twistedrelay.control.live import Relay
from twistedrelay.control.operations import Resource
from twistedrelay.control.requests import RequestProblem, boolean

resource = Resource()

_QUERY = (
    ("probe", {"type": "boolean", "default": False, "description": "try to relay through the own listeners as a stranger does"}),
    ("resolve", {"type": "boolean", "default": False, "description": "ask the DNS, and try next hops and smart hosts"}),
)


@resource.get("/v1/audit", "What is dangerous, and what cures it. Changes nothing.", Report, query=_QUERY)
async def audit(relay: Relay, request: IRequest) -> Report:
    """Audit now."""
    probe, resolve = boolean(request, b"probe", False), boolean(request, b"resolve", False)
    if relay.audit is None:
        raise RequestProblem(HTTPStatus.NOT_FOUND, "This relay is not audited.")
    try:
        return await ended_in_time(relay, relay.audit(probe=probe, resolve=resolve))
    except Busy as error:
        raise RequestProblem(HTTPStatus.SERVICE_UNAVAILABLE, f"{error}.") from None
