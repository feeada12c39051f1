"""Where a recipient's mail goes: all that delivery needs to know, decided by C{routing} at attempt time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import attrs

if TYPE_CHECKING:
    from twistedrelay.interfaces import IRewrite


@attrs.frozen(slots=True)
class TLSA:
    """One TLSA record (RFC 6698 section 2.1)."""

    usage: int
    selector: int
    matching: int
    data: bytes


@attrs.frozen(slots=True)
class TLSPolicy:
    """What a next hop must prove (Exchange's RequireTLS and TlsAuthLevel, RFC 7672, RFC 8461).

    @ivar level: C{"none"} never STARTTLS; C{"may"} use it if offered, unverified, clear text else; C{"encrypt"} TLS or nothing, unverified
        (EncryptionOnly); C{"certificate"} a valid chain (CertificateValidation); C{"domain"} a valid chain and the name (DomainValidation);
        C{"dane"} one of C{tlsa}.
    @ivar name: the name to verify at level C{"domain"}; C{""} means the host's name.
    @ivar tlsa: the usable TLSA records of level C{"dane"}.
    @ivar names: further names that the certificate may hold at level C{"dane"} (RFC 7672 section 3.2.2).
    @ivar certificate: the certificate that we show (TlsCertificateName), C{""} for none.
    @ivar source: who asks for it: C{"connector"}, C{"dane"}, C{"mta-sts"} or C{"requiretls"}.
    @ivar lenient: what is not proven is only told, and clear text is allowed (MTA-STS testing, RFC 8461 section 5).
    """

    level: Literal["none", "may", "encrypt", "certificate", "domain", "dane"] = "may"
    name: str = ""
    tlsa: tuple[TLSA, ...] = ()
    names: tuple[str, ...] = ()
    certificate: str = ""
    source: Literal["connector", "dane", "mta-sts", "requiretls"] = "connector"
    lenient: bool = False


@attrs.frozen(slots=True)
class TLSAssessment:
    """What a domain that wants TLS reports has published about TLS, as these reports say it (RFC 8460 section 4.4).

    @ivar domain: the recipients' domain.
    @ivar record: its C{_smtp._tls} record: who wants the reports.
    @ivar kind: which policy applied to the host.
    @ivar policy_domain: whose policy: the domain, or at C{"tlsa"} the name that the records belong to.
    @ivar strings: the policy, a string for each line or record.
    @ivar patterns: the patterns of host names in an MTA-STS policy.
    """

    domain: str
    record: str
    kind: Literal["tlsa", "sts", "no-policy-found"] = "no-policy-found"
    policy_domain: str = ""
    strings: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()


@attrs.frozen(slots=True)
class TokenSource:
    """Where access tokens for a login come from (RFC 6749): one token endpoint, one client, one grant.

    Files are read in a thread for each request, so that they can be renewed.

    @ivar connector: whose login it is: who has to renew the grant is told so.
    """

    token_url: str
    client_id: str
    grant_type: Literal["client_credentials", "refresh_token"]
    client_secret_file: str = ""
    refresh_token_file: str = ""
    scope: str = ""
    ca_file: str = ""
    connector: str = ""


@attrs.frozen(slots=True)
class Login:
    """Credentials for a smart host.  The password file is read (in a thread) for each new connection, so that it can be renewed.

    @ivar requires_tls: never over clear text (BasicAuthRequireTLS, XOAuth2).
    @ivar tokens: log in by XOAUTH2 or OAUTHBEARER with tokens from there, and with no password.
    """

    username: str
    password_file: str = ""
    requires_tls: bool = True
    tokens: TokenSource | None = None


@attrs.frozen(slots=True)
class Hop:
    """A fixed next hop: a host name or an IP address without brackets, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        """As queue views show it: C{[10.0.0.1]}, C{relay.x.com:2525}."""
        name = f"[{self.host}]" if ":" in self.host or self.host.replace(".", "").isdigit() else self.host
        return name if self.port == 25 else f"{name}:{self.port}"

    @classmethod
    def of(cls, text: str) -> Hop:
        """The hop of what C{str()} gave.

        @raise ValueError: it was none.
        """
        host, _, port = text[1:].partition("]") if text.startswith("[") else text.partition(":")
        if not host:
            raise ValueError(f"{text!r} is no host and port")
        return cls(host, int(port.removeprefix(":") or 25))


@attrs.frozen(slots=True)
class Target:
    """An address to connect to, after resolution.

    @ivar proven: the host's name is configured, or the DNS answer that named it was signed (DNSSEC), or it is the domain itself.
    @ivar tls: what this host must prove, where that is more than the route asks for (DANE, MTA-STS).
    @ivar assessment: for the event that tells how TLS went; None where nobody wants to know.
    """

    host: str
    address: str
    port: int
    proven: bool = True
    tls: TLSPolicy | None = None
    assessment: TLSAssessment | None = None

    def __str__(self) -> str:
        return f"{self.host} [{self.address}]:{self.port}" if self.host != self.address else f"[{self.address}]:{self.port}"


DeliveryType = Literal["DnsConnectorDelivery", "SmartHostConnectorDelivery", "SmtpDeliveryToMailbox", "MaildirDelivery", "Unreachable"]


RouteKey = tuple[str, str, str, bool]
LimitKey = RouteKey | tuple[str, str]


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
    @ivar max_connections: at most so many at once, over all routes with the same C{limit_key}.
    @ivar message_rate: at most so many messages a minute, likewise; None for no limit.
    @ivar idle_timeout: seconds that a session may stand still (ConnectionInactivityTimeout).
    @ivar sources: our addresses to connect from, at most one of each family (SourceIPAddress).
    @ivar force_helo: HELO instead of EHLO.
    @ivar chunking: content goes by BDAT where that is offered.
    @ivar shuffle: the hops share the load; else they are tried in their order.
    @ivar private_targets: MX hosts may have private, loopback or other special addresses.
    @ivar dane: whether TLSA records are asked for; C{"Required"}: without them nothing is sent.
    @ivar mta_sts: whether MTA-STS policies are asked for.
    @ivar dns_failures_wait: a name that does not exist is a reason to wait (DowngradeDnsFailures).
    @ivar rewrite: how addresses change on this way, or None.
    @ivar logged: its connections are in the send protocol log.
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
    message_rate: int | None = None
    idle_timeout: float = 600.0
    sources: tuple[str, ...] = ()
    force_helo: bool = False
    chunking: bool = True
    shuffle: bool = False
    private_targets: bool = True
    dane: Literal["None", "Opportunistic", "Required"] = "None"
    mta_sts: bool = False
    dns_failures_wait: bool = False
    rewrite: IRewrite | None = None
    logged: bool = False

    @property
    def limit_key(self) -> LimitKey:
        """What the limits of connections and messages a minute count: the login where there is one, else the lane."""
        if self.login is not None:
            return (self.connector, self.login.username)
        return self.key

    @property
    def key(self) -> RouteKey:
        """(send connector, next hop, login, REQUIRETLS): connections and lanes are never shared across it."""
        return (self.connector, self.next_hop, self.login.username if self.login else "", self.require_tls)


#: Of recipients that no way leads to now.
UNREACHABLE = Route("", "Unreachable", "Unreachable")
