"""What is wrong with the ways out before any mail goes them, and what is doubtful.

Errors are next hops that are this relay itself.  They are found by the configuration alone, so that a file can be checked on another
machine; names are not looked up.  What this cannot see, the resolver sees at delivery.  Doubts may look at this machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from twistedrelay.config.problems import Path, Problem
from twistedrelay.config.schema import Config
from twistedrelay.config.units import NextHopValue
from twistedrelay.routing.ourselves import Ourselves, has_address


def loop_problems(config: Config) -> list[Problem]:
    """A problem for each smart host and next hop that is this relay."""
    ourselves = Ourselves(config, has_address=lambda text: ip_address(text).is_loopback)
    circles = "is this relay itself, and mail would go round in circles; allowed: another server"
    return [Problem(path, f"{str(hop)!r} {circles}") for path, hop in _hops(config) if hop.host and _is_ours(hop, ourselves)]


def way_doubts(config: Config) -> Iterator[Problem]:
    """Links to connectors that are disabled, and addresses to connect from that this host has not."""
    for name, receiving in config.receive_connectors.items():
        link = config.send_connectors.get(receiving.linked_send_connector)
        if receiving.enabled and link is not None and not link.enabled:
            text = f"the send connector {receiving.linked_send_connector!r} is disabled: mail from here waits"
            yield Problem(("receive_connectors", name, "linked_send_connector"), text)
    for name, sending in config.send_connectors.items():
        for index, address in enumerate(sending.source_ip_address if sending.enabled else ()):
            if not has_address(address):
                text = f"{address!r} is no address of this host at the moment: nothing can be sent from there"
                yield Problem(("send_connectors", name, "source_ip_address", index), text)


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
