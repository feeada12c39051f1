"""What an audit looks at: a configuration, where it stands, and what is known of the world it runs in.

The checks are functions of a L{Case} alone: what takes time to find out is in its L{Facts}.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

import attrs

from twistedrelay.answers.audit.finding import Finding, Severity
from twistedrelay.answers.audit.openness import far_clients, open_relays
from twistedrelay.answers.connectors import identity
from twistedrelay.answers.doubts import is_wide
from twistedrelay.config.problems import Path, Places
from twistedrelay.config.schema import Config, ReceiveConnector
from twistedrelay.policy.connector import ConnectorTable, ListeningBinding
from twistedrelay.values.netrange import IPAddress
from twistedrelay.values.usage import Usage

Findings = Iterator[Finding]

#: Sections whose objects have the server's name in front.
_OF_SERVER = ("receive_connectors", "send_connectors")

_SECTIONS = (*_OF_SERVER, "accepted_domains")


@attrs.frozen(slots=True, kw_only=True)
class Facts:
    """What is known beside the configuration.

    @ivar now: seconds since the epoch.
    @ivar usage: who used the relay, as the ledger has it; None: not known.
    @ivar own: addresses of this host's interfaces, without loopback.
    @ivar hosts: the addresses of names that were looked up.
    @ivar unreachable: next hops and smart hosts that were tried and did not answer, C{host:port}, and why.
    @ivar tried: whether they were tried at all.
    @ivar synchronised: whether the system keeps its clock by a time server; None: it does not say.
    """

    now: float
    usage: Sequence[Usage] | None = None
    own: tuple[IPAddress, ...] = ()
    hosts: Mapping[str, tuple[IPAddress, ...]] = attrs.Factory(dict)
    unreachable: Mapping[str, str] = attrs.Factory(dict)
    tried: bool = False
    synchronised: bool | None = None


@attrs.frozen(eq=False)
class Case:
    """One audit's subject."""

    config: Config
    places: Places
    facts: Facts

    @property
    def today(self) -> datetime.date:
        """The day."""
        return datetime.datetime.fromtimestamp(self.facts.now, datetime.UTC).date()

    @functools.cached_property
    def far(self) -> frozenset[str]:
        """The connectors whose clients may be elsewhere."""
        return far_clients(self.config)

    @functools.cached_property
    def open_relays(self) -> dict[str, str]:
        """The open relays, and how far they are open."""
        return open_relays(self.config)

    @functools.cached_property
    def sockets(self) -> tuple[ListeningBinding, ...]:
        """What is listened on."""
        return tuple(ConnectorTable(self.config).bindings)

    @property
    def enabled(self) -> Iterator[tuple[str, ReceiveConnector]]:
        """The receive connectors that take part."""
        return ((name, connector) for name, connector in self.config.receive_connectors.items() if connector.enabled)

    @property
    def wide(self) -> Iterator[tuple[str, ReceiveConnector]]:
        """Those of them that many can reach from elsewhere."""
        return ((name, connector) for name, connector in self.enabled if name in self.far and takes_many(connector))

    def finding(self, code: str, severity: Severity, path: Path, reason: str, cure: str = "", object: str = "") -> Finding:
        """A finding about what stands at a path."""
        place = self.places.find(path) if path else None
        return Finding(
            code=code,
            severity=severity,
            object=object or self.object_of(path),
            reason=reason,
            cure=cure,
            place=str(place) if place else "",
        )

    def object_of(self, path: Path) -> str:
        """What a path is part of."""
        if len(path) > 1 and path[0] in _SECTIONS:
            return identity(self.config, str(path[1])) if path[0] in _OF_SERVER else str(path[1])
        return self.config.server.name if not path or path[0] == "server" else str(path[0])


def takes_many(connector: ReceiveConnector) -> bool:
    """Whether its ranges are no list of devices."""
    return not connector.remote_ip_ranges or any(is_wide(entry.range) for entry in connector.remote_ip_ranges)


Check = Callable[[Case], Findings]
