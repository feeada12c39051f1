"""Accepted domains."""

from __future__ import annotations

from twisted.web.iweb import IRequest

from twistedrelay.answers.domains import domain_properties, domain_summary, find_domain
from twistedrelay.control import models
from twistedrelay.control.live import Relay
from twistedrelay.control.operations import Resource
from twistedrelay.control.resources.changes import add_changes

resource = Resource()
add_changes(resource, "/v1/domains", "accepted_domains")


@resource.get("/v1/domains", "The accepted domains.", models.DomainSummary, many=True)
def domains(relay: Relay, request: IRequest) -> list[models.DomainSummary]:
    """All of them."""
    config = relay.config
    return [models.DomainSummary(**domain_summary(config, name)) for name in config.accepted_domains]


@resource.get("/v1/domains/{name}", "An accepted domain.", models.Domain)
def domain(relay: Relay, request: IRequest, name: str) -> models.Domain:
    """One of them."""
    config = relay.config
    return models.Domain(**domain_properties(config, find_domain(config, name)))
