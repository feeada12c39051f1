"""What is wrong with the ways out before any mail goes them: next hops that are this relay itself.

Decides by the configuration alone, so that a file can be checked on another machine; names are not looked up.  What this cannot see, the
resolver sees at delivery.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from twistedrelay.config.problems import Path, Problem
from twistedrelay.config.schema import Config
from twistedrelay.config.units import NextHopValue
from twistedrelay.routing.ourselves import Ourselves


def loop_problems(config: Config) -> Iterator[Problem]:
    """A problem for each smart host and next hop that is this relay."""
    ourselves = Ourselves(config, has_address=lambda text: ip_address(text).is_loopback)
    for path, hop in _hops(config):
        if hop.host and _is_ours(hop, ourselves):
            yield Problem(path, f"{str(hop)!r} is this relay itself, and mail would go round in circles; allowed: another server")


def _hops(config: Config) -> Iterator[tuple[Path, NextHopValue]]:
    for domain, accepted in config.accepted_domains.items():
        if accepted.next_hop is not None:
            yield ("accepted_domains", domain, "next_hop"), accepted.next_hop
    for name, connector in config.send_connectors.items():
        if connector.enabled:
            for index, hop in enumerate(connector.smart_hosts):
                yield ("send_connectors", name, "smart_hosts", index), hop


def _is_ours(hop: NextHopValue, ourselves: Ourselves) -> bool:
    try:
        return ourselves.listens(hop.host, hop.port)
    except ValueError:  # a name
        if hop.host == "localhost":
            return any(ourselves.listens(address, hop.port) for address in ("127.0.0.1", "::1"))
        return hop.host in ourselves.listening_names and ourselves.has_port(hop.port)
