"""Send connectors."""

from __future__ import annotations

from typing import Any

from twisted.web.iweb import IRequest

from twistedrelay.answers.send_connectors import find_send_connector, send_connector_properties, send_connector_summary
from twistedrelay.control import models
from twistedrelay.control.changing import in_thread
from twistedrelay.control.live import Relay
from twistedrelay.control.operations import Resource
from twistedrelay.control.resources.changes import add_changes

resource = Resource()
add_changes(resource, "/v1/send-connectors", "send_connectors")


@resource.get("/v1/send-connectors", "The send connectors.", models.SendConnectorSummary, many=True)
def connectors(relay: Relay, request: IRequest) -> list[models.SendConnectorSummary]:
    """All of them."""
    config = relay.config
    return [models.SendConnectorSummary(**send_connector_summary(config, name)) for name in config.send_connectors]


@resource.get("/v1/send-connectors/{name}", "A send connector, by Name or SERVER\\Name.", models.SendConnector)
async def connector(relay: Relay, request: IRequest, name: str) -> models.SendConnector:
    """One of them, in a thread: it looks whether there is a grant on the disk."""
    config = relay.config
    found = find_send_connector(config, name)
    properties: dict[str, Any] = await in_thread(relay, lambda: send_connector_properties(config, found))
    return models.SendConnector(**properties)
