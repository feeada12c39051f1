"""Which receive connector answers a connection: the question that policy answers at each one, asked of a configuration."""

from __future__ import annotations

import datetime

from twistedrelay.config.schema import Config
from twistedrelay.config.units import BindingValue
from twistedrelay.policy.connector import ConnectorTable
from twistedrelay.values.netrange import parse_ip


def answering_connector(config: Config, local: BindingValue, peer: str, today: datetime.date) -> str | None:
    """The name of the connector that answers a peer; None where none does.

    @param local: the address and port that the peer connects to.
    """
    table, address = ConnectorTable(config), parse_ip(local.host)
    for binding in table.bindings:
        bound = parse_ip(binding.host)
        if binding.port == local.port and bound.version == address.version and (bound == address or bound.is_unspecified):
            choice = table.choose(binding, address, parse_ip(peer), today)
            return None if choice is None else choice.name
    return None
