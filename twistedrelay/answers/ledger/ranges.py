"""Which entry of C{remote_ip_ranges} a client stands in: whose it is, and until when."""

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
        """The most specific entry of a connector that holds a client."""
        table = self._tables.get(connector)
        if table is None:
            return None
        try:
            found = table.lookup(parse_ip(client))
        except ValueError:  # a network, or many clients
            return None
        return found[0][1] if found else None


def is_restricted(config: Config, connector: str) -> bool:
    """Whether a connector is for some clients only, so that a new one is news."""
    found = config.receive_connectors.get(connector)
    return found is not None and all(entry.range.size < _EVERYBODY[entry.range.version] for entry in found.remote_ip_ranges)
