"""The relay as a whole."""

from __future__ import annotations

from twisted.web.iweb import IRequest

from twistedrelay.control import models, views
from twistedrelay.control.bounds import in_time
from twistedrelay.control.live import Relay
from twistedrelay.control.operations import Resource

resource = Resource()


@resource.get("/v1/status", "The relay as a whole.", models.Status)
async def status(relay: Relay, request: IRequest) -> models.Status:
    """How it does."""
    count = await in_time(relay, relay.spool.count())
    queues = await in_time(relay, relay.scheduler.look())
    return views.status(relay, count, len(queues), await relay.health.check())
