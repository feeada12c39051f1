"""Where a recipient's mail goes: all that delivery needs to know, decided by C{routing} at attempt time."""

from __future__ import annotations

from typing import Literal

import attrs


@attrs.frozen(slots=True)
class TLSPolicy:
    """What a next hop must prove (Exchange's RequireTLS and TlsAuthLevel).

    @ivar level: C{"none"} never STARTTLS; C{"may"} use it if offered, unverified, clear text else; C{"encrypt"} TLS or nothing, unverified
        (EncryptionOnly); C{"certificate"} a valid chain (CertificateValidation); C{"domain"} a valid chain and the name (DomainValidation).
    @ivar name: the name to verify at level C{"domain"}; C{""} means the host's name.
    """

    level: Literal["none", "may", "encrypt", "certificate", "domain"] = "may"
    name: str = ""


@attrs.frozen(slots=True)
class Login:
    """Credentials for a smart host.  The password file is read (in a thread) for each new connection, so that it can be renewed.

    @ivar requires_tls: never over clear text (BasicAuthRequireTLS).
    """

    username: str
    password_file: str
    requires_tls: bool = True


@attrs.frozen(slots=True)
class Hop:
    """A fixed next hop: a host name or an IP address without brackets, and a port."""

    host: str
    port: int


@attrs.frozen(slots=True)
class Target:
    """An address to connect to, after resolution.

    @ivar proven: the host's name is configured, or the DNS answer that named it was signed (DNSSEC), or it is the domain itself.
    """

    host: str
    address: str
    port: int
    proven: bool = True

    def __str__(self) -> str:
        return f"{self.host} [{self.address}]:{self.port}" if self.host != self.address else f"[{self.address}]:{self.port}"


DeliveryType = Literal["DnsConnectorDelivery", "SmartHostConnectorDelivery", "SmtpDeliveryToMailbox", "MaildirDelivery", "Unreachable"]


RouteKey = tuple[str, str, str, bool]


@attrs.frozen(slots=True, eq=False)
class Route:
    """A way out; routes with the same L{key} share a lane.  The router hands out the same object for the same way.

    @ivar connector: the send connector's name, or C{""} for the next hop of an accepted domain.
    @ivar next_hop: as queue views show it (NextHopDomain): a domain, or C{"[10.0.0.1],relay.x.com"} for smart hosts, C{"maildir:/path"}.
    @ivar kind: how to speak.
    @ivar hops: fixed hops (A/AAAA, no MX), tried in turn; empty means the MX of C{mx_domain}.
    @ivar path: the UNIX socket of C{lmtp} or the directory of C{maildir}, else C{""}.
    @ivar helo: the name for EHLO.
    @ivar require_tls: for messages with REQUIRETLS: the next hop proves its name and offers REQUIRETLS, or gets nothing (RFC 8689).
    """

    connector: str
    next_hop: str
    delivery_type: DeliveryType
    kind: Literal["smtp", "lmtp", "maildir"] = "smtp"
    hops: tuple[Hop, ...] = ()
    mx_domain: str = ""
    path: str = ""
    helo: str = "localhost"
    implicit_tls: bool = False
    tls: TLSPolicy = TLSPolicy()
    login: Login | None = None
    max_connections: int = 40
    max_messages_per_connection: int = 1000
    require_tls: bool = False

    @property
    def key(self) -> RouteKey:
        """(send connector, next hop, login, REQUIRETLS): connections and lanes are never shared across it."""
        return (self.connector, self.next_hop, self.login.username if self.login else "", self.require_tls)
