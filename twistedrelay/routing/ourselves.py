"""Who we are ourselves: the names that we go by and the addresses that we listen on, so that mail is never sent back to this relay.

Decides whether a host or an address with a port is this relay.  An address counts only with a port that we listen on: another mail
server may run beside us.  A binding to all addresses (C{0.0.0.0:25}) means those that this host has at the moment, which the kernel
is asked for: a datagram socket connected to an address of the host itself gets this address (nothing is sent).

Sources: RFC 5321 section 5.1 (MX that point to oneself).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from ipaddress import IPv6Address, ip_address

from twistedrelay.config.schema import Config

_ANY_PORT = 9  #: a datagram socket wants one, though nothing is sent


def has_address(text: str) -> bool:
    """Whether this host has an IP address."""
    address = ip_address(text)
    if address.is_loopback:
        return True
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((text, _ANY_PORT))
            mine: str = probe.getsockname()[0]
    except OSError:  # no way there, so it is not here
        return False
    return mine == text


def _folded(text: str) -> str:
    """An address as one would be reached by it: IPv4-mapped as IPv4, the unspecified one as loopback."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_unspecified:
        return "::1" if address.version == 6 else "127.0.0.1"
    return str(address)


def _normal(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.lower().removesuffix(".") for name in names if name)


class Ourselves:
    """See the module.

    @ivar names: our host names, in lower case.
    @ivar listening_names: those of them that are not only for EHLO.
    @param has_address: whether this host has an address; for tests.
    """

    def __init__(self, config: Config, has_address: Callable[[str], bool] = has_address) -> None:
        listening = [connector for connector in config.receive_connectors.values() if connector.enabled]
        sending = [connector for connector in config.send_connectors.values() if connector.enabled]
        self.listening_names = _normal([config.server.fqdn, *(connector.fqdn for connector in listening)])
        self.names = self.listening_names | _normal([connector.fqdn for connector in sending])
        self._has_address = has_address
        self._bound: set[tuple[str, int]] = set()
        self._everywhere: set[tuple[int, int]] = set()  # (IP version, port)
        for binding in (binding for connector in listening for binding in connector.bindings):
            address = ip_address(binding.host)
            if address.is_unspecified:
                self._everywhere.add((address.version, binding.port))
            else:
                self._bound.add((_folded(binding.host), binding.port))

    def listens(self, address: str, port: int) -> bool:
        """Whether a connection to there would come to this relay."""
        where = _folded(address)
        if (where, port) in self._bound:
            return True
        return (6 if ":" in where else 4, port) in self._everywhere and self._has_address(where)

    def has_port(self, port: int) -> bool:
        """Whether we listen on a port of any address."""
        return any(port == bound for _, bound in (*self._bound, *self._everywhere))
