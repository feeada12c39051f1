"""Which entry of C{remote_ip_ranges} a client stands in: whose it is, and until when.

It decides by the configuration as it is now.  Where the connector that once took the client holds it no longer (it has another name, or the
entry stands in another one), it is the most specific entry of the others.
"""

from __future__ import annotations

from twistedrelay.config.schema import Config, RemoteRange
from twistedrelay.values.netrange import RangeTable, parse_ip

#: Addresses of a family.
_EVERYBODY = {4: 2**32, 6: 2**128}


class Owners:
    """The ranges of all connectors of a configuration."""

    def __init__(self, config: Config) -> None:
        self._tables = {
            name: RangeTable((entry.range, entry) for entry in connector.remote_ip_ranges)
            for name, connector in config.receive_connectors.items()
        }

    def entry(self, connector: str, client: str) -> RemoteRange | None:
        """The entry of a client that a connector took."""
        return self.place(connector, client)[1]

    def place(self, connector: str, client: str) -> tuple[str, RemoteRange | None]:
        """Likewise, with the receive connector that it stands in."""
        try:
            address = parse_ip(client)
        except ValueError:  # a network, or many clients
            return connector, None
        if (table := self._tables.get(connector)) is not None and (found := table.lookup(address)):
            return connector, found[0][1]
        if not connector:  # none took it, and none was to
            return connector, None
        others = [(name, found[0][1]) for name, table in self._tables.items() if (found := table.lookup(address))]
        return min((each for each in others if not _is_everybody(each[1])), key=lambda each: each[1].range.size, default=(connector, None))


def is_restricted(config: Config, connector: str) -> bool:
    """Whether a connector is for some clients only, so that a new one is news."""
    found = config.receive_connectors.get(connector)
    return found is not None and not any(map(_is_everybody, found.remote_ip_ranges))


def _is_everybody(entry: RemoteRange) -> bool:
    return entry.range.size >= _EVERYBODY[entry.range.version]
