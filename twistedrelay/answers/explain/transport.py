"""The connection of a rehearsed session: nothing leaves this process, but TLS is OpenSSL's own.

A handshake is made in memory between the context that the relay would use and a client of the version asked for, so that versions and
ciphers agree or fail as they would.
"""

from __future__ import annotations

import contextlib
from typing import Any

from OpenSSL import SSL
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from twistedrelay.values.netrange import IPAddress

_VERSIONS = {
    "TLSv1": SSL.TLS1_VERSION,
    "TLSv1.1": SSL.TLS1_1_VERSION,
    "TLSv1.2": SSL.TLS1_2_VERSION,
    "TLSv1.3": SSL.TLS1_3_VERSION,
}

#: The port of a client that has none yet.
CLIENT_PORT = 50000

#: What a client takes that speaks an old version: whatever there is.
_ANY_CIPHER = b"ALL:@SECLEVEL=0"

#: Flights of a handshake, generously.
_FLIGHTS = 20


#: By the relay's context and the client's version: the relay's side of TLS, or why it came to none.
Handshakes = dict[tuple[SSL.Context, str], SSL.Connection | SSL.Error]


def _address(host: IPAddress, port: int) -> IPv4Address | IPv6Address:
    return (IPv4Address if host.version == 4 else IPv6Address)("TCP", str(host), port)


class Connection:
    """See the module.

    @ivar protocol: who has the connection; a balancer's connection hands it over.
    @ivar closed: the relay closed it, or the handshake failed.
    """

    bufferSize = 0

    def __init__(self, peer: IPAddress, local: IPAddress, port: int, tls: str, known: Handshakes | None = None) -> None:
        """
        @param known: handshakes that need not be done again.
        """
        self._known: Handshakes = {} if known is None else known
        self.protocol: Any = None
        self.closed = False
        self._gone = False
        self._peer, self._host = _address(peer, CLIENT_PORT), _address(local, port)
        self._tls = tls
        self._written: list[bytes] = []
        self._handshake: SSL.Connection | None = None
        self._secured: SSL.Connection | None = None
        self._listening: list[Deferred[None]] = []

    # -- for the client --------------------------------------------------------------------------------------------------

    def heard(self) -> bytes:
        """All that was said since the last time."""
        octets = b"".join(self._written)
        self._written.clear()
        return octets

    @property
    def silent(self) -> bool:
        """Whether nothing was said since, and more may come."""
        return not self._written and not self.closed and self._handshake is None

    def spoken(self) -> Deferred[None]:
        """Fires when there is something to hear."""
        waiting: Deferred[None] = Deferred()
        self._listening.append(waiting)
        return waiting

    @property
    def wants_tls(self) -> bool:
        """Whether the relay waits for the client's part of a handshake."""
        return self._handshake is not None

    def shake_hands(self) -> bool:
        """Do the client's part; whether both agreed."""
        server, self._handshake = self._handshake, None
        assert server is not None
        key = server.get_context(), self._tls
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = _agreed(server, self._tls)
        if isinstance(found, SSL.Error):
            self.closed = True
            self._lose(Failure(found))
            return False
        self._secured = found
        self.protocol.handshakeCompleted()
        return True

    def leave(self) -> None:
        """The client goes, whoever closed the connection."""
        self.closed = True
        if not self._gone:
            self._lose(Failure(ConnectionLost()))

    def _lose(self, reason: Failure) -> None:
        self._gone = True
        self.protocol.connectionLost(reason)

    def _tell(self) -> None:
        waiting, self._listening = self._listening, []
        for each in waiting:
            each.callback(None)

    # -- for the session -------------------------------------------------------------------------------------------------

    def getPeer(self) -> IPv4Address | IPv6Address:
        """The client."""
        return self._peer

    def getHost(self) -> IPv4Address | IPv6Address:
        """The relay."""
        return self._host

    def getHandle(self) -> SSL.Connection | None:
        """The relay's side of TLS."""
        return self._secured

    def write(self, data: bytes) -> None:
        """The relay speaks."""
        self._written.append(data)
        self._tell()

    def startTLS(self, creator: Any) -> None:
        """The relay waits for a handshake."""
        self._handshake = creator.serverConnectionForTLS(None)
        self._handshake.set_accept_state()
        self._tell()

    def loseConnection(self) -> None:
        """The relay closes."""
        self.closed = True
        self._tell()

    lingering_close = abortConnection = loseConnection

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """Nothing is ever too much here."""

    def unregisterProducer(self) -> None:
        """See L{registerProducer}."""

    def pauseProducing(self) -> None:
        """The client speaks in turn anyway."""

    def resumeProducing(self) -> None:
        """See L{pauseProducing}."""


def _agreed(server: SSL.Connection, version: str) -> SSL.Connection | SSL.Error:
    """The relay's side once both agree, or why they do not."""
    try:
        if version:
            _shake_hands(server, _client(version))
        else:  # the client knows nothing of TLS
            server.bio_write(b"EHLO client\r\n")
            server.do_handshake()
    except SSL.Error as error:
        return error
    return server


def _client(version: str) -> SSL.Connection:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    if version != "any":
        context.set_min_proto_version(_VERSIONS[version])
        context.set_max_proto_version(_VERSIONS[version])
        context.set_cipher_list(_ANY_CIPHER)
    client = SSL.Connection(context, None)
    client.set_connect_state()
    return client


def _shake_hands(server: SSL.Connection, client: SSL.Connection) -> None:
    """Let both talk until both are done.  L{SSL.Error} where the server will not."""
    done: set[SSL.Connection] = set()
    for _ in range(_FLIGHTS):
        for one, other in ((client, server), (server, client)):
            try:
                one.do_handshake()
                done.add(one)
            except SSL.WantReadError:
                done.discard(one)
            except SSL.Error:
                if one is server:
                    raise
            with contextlib.suppress(SSL.WantReadError):  # nothing to say yet
                other.bio_write(one.bio_read(1 << 20))
        if len(done) == 2:
            return
    raise SSL.Error([("SSL routines", "", "the handshake came to no end")])
