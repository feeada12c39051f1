"""Receive connectors."""

from __future__ import annotations

from twisted.web.iweb import IRequest

from twistedrelay.answers.connectors import connector_properties, connector_summary, find_connector
from twistedrelay.control import models
from twistedrelay.control.live import Relay
from twistedrelay.control.operations import Resource
from twistedrelay.control.resources.changes import add_changes

resource = Resource()
add_changes(resource, "/v1/connectors", "receive_connectors")


@resource.get("/v1/connectors", "The receive connectors.", models.ConnectorSummary, many=True)
def connectors(relay: Relay, request: IRequest) -> list[models.ConnectorSummary]:
    """All of them."""
    config = relay.config
    return [models.ConnectorSummary(**connector_summary(config, name)) for name in config.receive_connectors]


@resource.get("/v1/connectors/{name}", "A receive connector, by Name or SERVER\\Name.", models.Connector)
def connector(relay: Relay, request: IRequest, name: str) -> models.Connector:
    """One of them."""
    config = relay.config
    return models.Connector(**connector_properties(config, find_connector(config, name)))
