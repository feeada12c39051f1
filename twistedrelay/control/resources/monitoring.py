"""Health, back pressure and metrics: what monitoring asks, over the control socket."""

from __future__ import annotations

from typing import Any

from twisted.web.iweb import IRequest

from twistedrelay.control import monitoring_models as models
from twistedrelay.control.live import Relay
from twistedrelay.control.operations import Resource

resource = Resource()


@resource.get("/v1/health", "Whether the relay is fit for work, with each check.", models.Health)
async def health(relay: Relay, request: IRequest) -> models.Health:
    """All checks."""
    checks = await relay.health.check()
    shown = [models.HealthCheck(name=check.name, ok=check.ok, reason=check.reason) for check in checks]
    return models.Health(ready=all(check.ok for check in checks), checks=shown)


@resource.get("/v1/metrics", "The metrics, in Prometheus's text format.", None, content_type="text/plain")
async def metrics(relay: Relay, request: IRequest) -> bytes:
    """All of them; an Accept header may ask for OpenMetrics."""
    content_type, body = await relay.metrics.exposition(request.getHeader("accept") or "")
    request.setHeader(b"content-type", content_type.encode("ascii"))
    request.setHeader(b"cache-control", b"no-store")
    return body


@resource.get("/v1/back-pressure", "Which resources run short, and what follows.", models.BackPressure)
def back_pressure(relay: Relay, request: IRequest) -> models.BackPressure:
    """All resources."""
    pressure = relay.pressure
    return models.BackPressure(
        level=pressure.level.label,
        delay=pressure.delay,
        paused=pressure.paused,
        refused=pressure.refused,
        delayed=pressure.delayed,
        resources=[_resource(each) for each in pressure.resources.values()],
    )


def _resource(of: Any) -> models.Resource:
    limits, reading = of.thresholds, of.reading
    names = ("low_to_medium", "medium_to_high", "high_to_medium", "medium_to_low")
    return models.Resource(
        resource=of.name,
        level=of.level.label,
        value=None if reading is None else round(reading.value, 2),
        detail="" if reading is None else reading.detail,
        **{name: None if limits is None else getattr(limits, name) for name in names},
    )
