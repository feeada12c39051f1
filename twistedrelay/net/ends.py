"""The two ends of a session, as everything in it sees them: those of the socket, or what a load balancer or an XCLIENT said in their place.

They decide nothing; the connector's choice, counts, rates, log and trace header all start from them.
"""

from __future__ import annotations

from typing import Any

import attrs

from twistedrelay.values.netrange import IPAddress, parse_ip
from twistedrelay.values.printable import host_port
from twistedrelay.wire.proxyheader import ProxyHeader


@attrs.frozen(slots=True)
class Ends:
    """See the module.

    @ivar proxy: who speaks for the peer, C{"10.0.0.9:4711"} and what it told of itself; C{""} where the peer speaks for itself.
    """

    peer: IPAddress
    peer_port: int
    local: IPAddress
    local_port: int
    proxy: str = ""

    @classmethod
    def of(cls, transport: Any) -> Ends:
        """Those of a TCP transport."""
        peer, host = transport.getPeer(), transport.getHost()
        return cls(parse_ip(peer.host), peer.port, parse_ip(host.host), host.port)

    def behind(self, header: ProxyHeader) -> Ends:
        """Those of the client that a load balancer, the peer until now, speaks for."""
        if header.source is None or header.destination is None:
            return self
        told = [self.peer_text]
        if header.tls:
            told.append(f"tls={header.tls}")
        if header.authority:
            told.append(f"authority={header.authority}")
        return Ends(*header.source, *header.destination, " ".join(told))

    @property
    def peer_text(self) -> str:
        """C{"192.0.2.1:40000"}."""
        return host_port(str(self.peer), self.peer_port)

    @property
    def local_text(self) -> str:
        """C{"192.0.2.25:25"}."""
        return host_port(str(self.local), self.local_port)
