"""The connection of a trusted load balancer until its PROXY header is read; only then there is a session.

Everything is held back: the choice of the connector, the banner, implicit TLS.  A balancer that sends no header, a bad one, or takes too
long, is closed without a word, because whatever it carries would else have the balancer's own rights.  Only a health probe
(C{health_probe_from}) may go without: it gets a session that ends when it says more than a probe does.

Source: HAProxy, "The PROXY protocol", section 2 (the receiver's duties).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from twistedrelay.net.ends import Ends
from twistedrelay.values import events
from twistedrelay.values import reply as replies
from twistedrelay.values.printable import host_port
from twistedrelay.wire.proxyheader import ProxyHeaderError, read_proxy_header

if TYPE_CHECKING:
    from twistedrelay.net.factory import ESMTPFactory

#: Seconds for the header.
HEADER_TIMEOUT = 5.0

#: Seconds after which a health probe, which waits for the banner, is taken for one.  A balancer sends its header at once.
PROBE_SILENCE = 0.3


class ProxiedConnection(Protocol):
    """See the module.

    @ivar deadline: when L{deadline_passed} wants to be called.
    """

    transport: Any

    def __init__(self, binding: ESMTPFactory, is_probe: bool) -> None:
        """
        @param is_probe: the peer may be a health probe without a header.
        """
        self.binding = binding
        self._is_probe = is_probe
        self._received = b""
        self._silence: Any = None
        self._over = False

    def connectionMade(self) -> None:
        """Wait for the header."""
        relay = self.binding.relay
        self.deadline = relay.clock.seconds() + HEADER_TIMEOUT
        self.binding.sessions.add(self)
        relay.counts.enter()
        if self._is_probe:
            self._silence = relay.clock.callLater(PROBE_SILENCE, self._probe)

    def dataReceived(self, data: bytes) -> None:
        """Octets of the header, and perhaps of the client behind it."""
        if self._over:
            return
        self._received += data
        try:
            header = read_proxy_header(self._received)
        except ProxyHeaderError as error:
            if self._is_probe:
                self._probe()
            else:
                self._drop(str(error))
            return
        if header is not None:
            self._received = self._received[header.length :]
            self._begin(Ends.of(self.transport).behind(header))

    def _probe(self) -> None:
        self._begin(Ends.of(self.transport), headless=True)

    def _begin(self, ends: Ends, headless: bool = False) -> None:
        """Let a session have the connection."""
        transport, received = self.transport, self._received
        self._leave()
        session = self.binding.session()
        transport.protocol = session
        session.arrive(transport, ends, headless)
        if received and transport.protocol is not self:
            transport.protocol.dataReceived(received)

    def _drop(self, reason: str) -> None:
        """Close without a word."""
        peer = self.transport.getPeer()
        self.binding.relay.events.emit(
            events.ConnectionRefused("", "", host_port(peer.host, peer.port), f"proxy_protocol_from ({reason})", replies.SILENCE)
        )
        self._over = True
        self.transport.abortConnection()

    def _leave(self) -> None:
        self._over = True
        self.binding.sessions.discard(self)
        self.binding.relay.counts.leave()
        if self._silence is not None and self._silence.active():
            self._silence.cancel()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The balancer is gone."""
        self._leave()

    def wait_on(self, seconds: float) -> None:
        """The clock was set: the deadline is so much later."""
        self.deadline += seconds

    def deadline_passed(self, now: float) -> None:
        """No header came in time."""
        self._drop("no header within 5 s")

    def drain(self) -> None:
        """The relay stops."""
        self.abort()

    def abort(self) -> None:
        """The relay stops."""
        self._over = True
        self.transport.abortConnection()
