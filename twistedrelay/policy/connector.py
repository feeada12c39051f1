"""Which receive connector a client meets: by the local address it connected to, then by its own address.

Decides the sockets to open and, for each accepted connection, the connector: one bound to the specific local address beats one bound to
the wildcard of the same port; then the smallest remote range that holds the client wins.  A client in no range of the specific
connectors goes on to the wildcard's.  Disabled connectors and entries past their last day take no part.  Never decides what a
session may do.

Source: Exchange Server, "Receive connectors" (local address bindings, remote addresses).
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterator

import attrs

from twistedrelay.config.problems import Problem
from twistedrelay.config.schema import Config, ReceiveConnector, RemoteRange
from twistedrelay.config.units import BindingValue
from twistedrelay.values.netrange import IPAddress, IPRange, RangeTable, parse_ip
from twistedrelay.values.printable import host_port

#: a local address and a port; the address is folded, so that two spellings are one binding
_Key = tuple[IPAddress, int]


@attrs.frozen(slots=True)
class ListeningBinding:
    """One socket to open.

    @ivar host: the address to bind, without brackets.
    @ivar implicit_tls: whether TLS starts with the connection.
    @ivar connectors: the names of all connectors that may serve a connection of this socket.
    @ivar proxies: the load balancers of all of them (C{proxy_protocol_from}): the connector is chosen only behind the PROXY header.
    @ivar probes: their health probes (C{health_probe_from}).
    """

    host: str
    port: int
    implicit_tls: bool
    connectors: tuple[str, ...]
    proxies: tuple[IPRange, ...] = ()
    probes: tuple[IPRange, ...] = ()


@attrs.frozen(slots=True)
class Choice:
    """A connector that was chosen, and the range entry that decided it."""

    name: str
    connector: ReceiveConnector
    entry: RemoteRange

    def is_good(self, today: datetime.date) -> bool:
        """Whether the entry's last day is not over."""
        return self.entry.expires is None or today <= self.entry.expires


def _key(binding: BindingValue) -> _Key:
    """A binding, for comparison."""
    return parse_ip(binding.host), binding.port


def _wildcard(version: int) -> IPAddress:
    """The wildcard of a family.  IPv6 sockets are V6ONLY, so each stands for its own family alone."""
    return ipaddress.IPv4Address(0) if version == 4 else ipaddress.IPv6Address(0)


def _enabled(config: Config) -> Iterator[tuple[str, ReceiveConnector]]:
    """The connectors that take part."""
    return ((name, connector) for name, connector in config.receive_connectors.items() if connector.enabled)


def _bound(config: Config) -> dict[_Key, dict[str, ReceiveConnector]]:
    """The enabled connectors of each binding, in the order of the configuration."""
    bound: dict[_Key, dict[str, ReceiveConnector]] = {}
    for name, connector in _enabled(config):
        for binding in connector.bindings:
            bound.setdefault(_key(binding), {})[name] = connector
    return bound


def _sockets(bound: dict[_Key, dict[str, ReceiveConnector]]) -> dict[_Key, dict[str, ReceiveConnector]]:
    """The sockets to open, each with all connectors behind it: a wildcard takes in the specific addresses of its port."""
    sockets: dict[_Key, dict[str, ReceiveConnector]] = {}
    for (address, port), connectors in bound.items():
        wildcard = (_wildcard(address.version), port)
        sockets.setdefault(wildcard if wildcard in bound else (address, port), {}).update(connectors)
    return sockets


class ConnectorTable:
    """The enabled receive connectors of a configuration, ready to be asked.

    @ivar bindings: the sockets to open.
    @ivar connectors: the enabled connectors by name.
    """

    def __init__(self, config: Config) -> None:
        bound = _bound(config)
        hosts = {_key(binding): binding.host for _, connector in _enabled(config) for binding in connector.bindings}
        self.connectors: dict[str, ReceiveConnector] = dict(_enabled(config))
        self.bindings = [
            ListeningBinding(
                # A scope id is part of what is bound, though not of what is compared.
                host=hosts[key] if "%" in hosts[key] else str(key[0]),
                port=key[1],
                implicit_tls=any(connector.implicit_tls for connector in connectors.values()),
                connectors=tuple(connectors),
                proxies=tuple(given for connector in connectors.values() for given in connector.proxy_protocol_from),
                probes=tuple(given for connector in connectors.values() for given in connector.health_probe_from),
            )
            for key, connectors in _sockets(bound).items()
        ]
        self._tables = {
            key: RangeTable(
                (entry.range, Choice(name, connector, entry))
                for name, connector in connectors.items()
                for entry in connector.remote_ip_ranges
            )
            for key, connectors in bound.items()
        }

    def choose(self, binding: ListeningBinding, local_ip: IPAddress, peer_ip: IPAddress, today: datetime.date) -> Choice | None:
        """The connector for a connection that a socket accepted, or None: C{421 4.3.2}.

        @param local_ip: the accepted socket's own address, folded by C{parse_ip}, as C{peer_ip}.
        """
        for _, choice in self.candidates(binding, local_ip, peer_ip):
            if choice.is_good(today):
                return choice
        return None

    def candidates(self, binding: ListeningBinding, local_ip: IPAddress, peer_ip: IPAddress) -> Iterator[tuple[IPAddress, Choice]]:
        """Whose ranges hold a client, the first one first, expired entries, too; with the address each is bound to."""
        wanted = parse_ip(binding.host)
        for address in (local_ip, wanted) if local_ip != wanted else (wanted,):
            table = self._tables.get((address, binding.port))
            if table is not None:
                for _, choice in table.lookup(peer_ip):
                    yield address, choice


def conflicts(config: Config) -> list[Problem]:
    """What makes the choice of a connector ambiguous, each naming both connectors.  Disabled connectors are not looked at."""
    bound = _bound(config)
    problems = [*_duplicate_bindings(config), *_implicit_tls_conflicts(bound)]
    seen: set[tuple[str | int, ...]] = set()
    for key, connectors in bound.items():
        for problem in _range_conflicts(_shown(key), connectors):
            # Two connectors that share several bindings have one conflict, not several.
            identity = (*problem.path, problem.text.replace(_shown(key), ""))
            if identity not in seen:
                seen.add(identity)
                problems.append(problem)
    return problems


def _shown(key: _Key) -> str:
    """A binding as people write it."""
    address, port = key
    return host_port(str(address), port)


def _duplicate_bindings(config: Config) -> Iterator[Problem]:
    """The same binding twice in one connector."""
    for name, connector in _enabled(config):
        seen: set[_Key] = set()
        for index, binding in enumerate(connector.bindings):
            if _key(binding) in seen:
                path = ("receive_connectors", name, "bindings", index)
                yield Problem(path=path, text=f"{_shown(_key(binding))} is given twice in {name!r}")
            seen.add(_key(binding))


def _implicit_tls_conflicts(bound: dict[_Key, dict[str, ReceiveConnector]]) -> Iterator[Problem]:
    """Connectors of one socket of which some begin with TLS and some do not."""
    reported: set[tuple[str, str]] = set()
    for key, connectors in _sockets(bound).items():
        (first, reference), *others = connectors.items()
        for name, connector in others:
            if connector.implicit_tls != reference.implicit_tls and (first, name) not in reported:
                reported.add((first, name))
                yield Problem(
                    path=("receive_connectors", name, "implicit_tls"),
                    text=f"{name!r} and {first!r} share {_shown(key)} and must agree on implicit_tls"
                    f" ({str(connector.implicit_tls).lower()} and {str(reference.implicit_tls).lower()})",
                )


def _range_conflicts(binding: str, connectors: dict[str, ReceiveConnector]) -> Iterator[Problem]:
    """Ranges of two connectors on one binding that are equal, or overlap without one containing the other."""
    entries = sorted(
        ((entry.range, name, index) for name, connector in connectors.items() for index, entry in enumerate(connector.remote_ip_ranges)),
        key=lambda entry: (entry[0].version, entry[0].first, -entry[0].last),
    )
    order = {name: place for place, name in enumerate(connectors)}
    open_ranges: list[tuple[IPRange, str, int]] = []
    for entry in entries:
        current, name, index = entry
        open_ranges = [other for other in open_ranges if other[0].overlaps(current)]
        for other, other_name, other_index in open_ranges:
            if name == other_name or (other.covers(current) and other != current):
                continue
            # The later connector of the file is the one to point at.
            blamed, place, at_fault, rival, rival_name = (
                (name, index, current, other, other_name)
                if order[name] > order[other_name]
                else (other_name, other_index, other, current, name)
            )
            how = "is also a range of" if other == current else f"overlaps {rival}, without one containing the other, of"
            yield Problem(
                path=("receive_connectors", blamed, "remote_ip_ranges", place),
                text=f"{at_fault} of {blamed!r} {how} {rival_name!r} on {binding}; every client must have one most specific range",
            )
        open_ranges.append(entry)
