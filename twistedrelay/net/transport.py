"""What Twisted's TCP listener does not do by itself: V6ONLY and a longer backlog.

Source: RFC 3493 section 5.3 (IPV6_V6ONLY).
"""

from __future__ import annotations

import socket

from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.tcp import Port

#: Connections that wait to be accepted.  Twisted's default of 50 is lost in the first burst of a morning.
BACKLOG = 1024


class ListeningPort(Port):
    """A TCP listener.  An IPv6 one takes IPv6 only, so that C{0.0.0.0:25} and C{[::]:25} are two listeners with their own connectors."""

    def __init__(self, port: int, factory: IProtocolFactory, interface: str, reactor: object) -> None:
        super().__init__(port, factory, BACKLOG, interface, reactor)

    def createInternetSocket(self) -> socket.socket:
        """The socket before it is bound."""
        made: socket.socket = super().createInternetSocket()
        if self.addressFamily == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        return made
