"""The configuration as typed objects: one pydantic model per kind of object.

A key is the Exchange parameter's name in snake_case, a value is Exchange's value; our additions follow the same style.
Defaults are what a fresh Exchange Server 2019 shows and never depend on an object's name.  C{load} fills these models from YAML
nodes and turns every error into C{file:line: path: what is wrong, what is allowed}.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, model_validator

from twistedrelay.config.model import MAX, Delay, Interval
from twistedrelay.config.model import Model as Model
from twistedrelay.config.sending import BackPressure as BackPressure
from twistedrelay.config.sending import Credential as Credential
from twistedrelay.config.sending import OAuthClient as OAuthClient
from twistedrelay.config.sending import SendConnector as SendConnector
from twistedrelay.config.sending import Transport as Transport
from twistedrelay.config.units import (
    Binding,
    Day,
    Duration,
    Integer,
    NextHop,
    Range,
    Size,
    Switch,
    Unlimited,
    between,
    binding,
    integer,
    lasting,
    measuring,
)
from twistedrelay.config.webhooks import Webhook as Webhook

Group = Literal["None", "AnonymousUsers", "ExchangeUsers", "ExchangeServers", "ExchangeLegacyServers", "Partners", "Custom"]
Mechanism = Literal[
    "None", "Tls", "BasicAuth", "BasicAuthRequireTLS", "ExternalAuthoritative", "ScramSha256", "CramMd5", "External", "XOAuth2"
]
TLSVersion = Literal["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]


def _workers(value: Any) -> Any:
    return value if value == "auto" else integer(value, "a whole number or auto")


def _metrics_address(value: Any) -> Any:
    if isinstance(value, str) and value.strip().startswith("unix:"):
        if not value.strip()[5:].strip():
            raise ValueError(f"{value!r} names no socket; allowed: IP address:port or unix:/path")
        return value.strip()
    return str(binding(value))


MetricsAddress = Annotated[str, BeforeValidator(_metrics_address)]
Workers = Annotated[int | Literal["auto"], BeforeValidator(_workers)]


class Server(Model):
    """C{server:} the relay as a whole."""

    name: str
    fqdn: str
    state_directory: str
    spool: str = "sqlite"
    workers: Workers = 1
    postmaster: str = ""
    control_socket: str = ""
    log_format: Literal["text", "json"] = "text"
    external_dns_servers: list[str] = []
    max_connections: Annotated[Integer, between(10, 1_000_000)] = 20_000
    max_buffered_size: Annotated[Size, measuring("1MB", "1024GB")] = 256 * 1024 * 1024
    logon_lockout_threshold: Annotated[Integer, between(0, 1000)] = 10
    logon_lockout_interval: Annotated[Duration, lasting("1s", "1d")] = 30.0
    logon_lockout_max_interval: Annotated[Duration, lasting("1s", "7d")] = 3600.0


class Recipients(Model):
    """C{recipients} of an accepted domain: which addresses exist, asked at RCPT (Exchange's recipient lookup).  One of the three."""

    file: str = ""  # an address or a local part a line
    ldap: str = ""  # a file of settings, as for the ldap checker
    call_ahead: Switch = False  # ask the next hop
    cache_size: Annotated[Integer, between(0, 1_000_000)] = 10_000
    positive_cache_time: Annotated[Duration, lasting("0s", "30d")] = 86400.0
    negative_cache_time: Annotated[Duration, lasting("0s", "1d")] = 3600.0


class AcceptedDomain(Model):
    """One of C{accepted_domains:} (Exchange's Set-AcceptedDomain)."""

    domain_type: Literal["Authoritative", "InternalRelay", "ExternalRelay"] = "Authoritative"
    next_hop: NextHop | None = None
    recipients: Recipients | None = None  # None: every address of the domain is taken


class RemoteRange(Model):
    """An entry of C{remote_ip_ranges}: a range alone, or with who it belongs to and the last day it is good for."""

    range: Range
    owner: str = ""
    expires: Day | None = None
    shared: Switch = False  # one address stands for many: DHCP, NAT, terminal servers

    @model_validator(mode="before")
    @classmethod
    def _range_alone(cls, value: Any) -> Any:
        return value if isinstance(value, dict | RemoteRange) else {"range": value}


class ReceiveConnector(Model):
    """One of C{receive_connectors:} (Exchange's Set-ReceiveConnector)."""

    enabled: Switch = True
    comment: str = ""
    bindings: list[Binding]
    remote_ip_ranges: list[RemoteRange] = []  # the loader puts "all addresses" where none are given
    fqdn: str = ""  # the loader puts server.fqdn
    banner: str = ""
    auth_mechanism: list[Mechanism] = ["Tls"]
    permission_groups: list[Group]
    extended_rights: dict[str, list[str]] = {}
    protocol: Literal["SMTP", "LMTP"] = "SMTP"
    implicit_tls: Switch = False
    require_tls: Switch = False
    tls_certificate_name: str = ""
    tls_minimum_version: TLSVersion = "TLSv1.2"
    tls_maximum_version: TLSVersion = "TLSv1.3"
    tls_cipher_profile: Literal["Modern", "Intermediate", "Old"] = "Intermediate"
    domain_secure_enabled: Switch = False
    tls_client_ca_file: str = ""
    proxy_protocol_from: list[Range] = []
    health_probe_from: list[Range] = []
    xclient_from: list[Range] = []
    i_know_this_is_an_open_relay: Switch = False
    protocol_logging_level: Literal["None", "Verbose"] = "None"
    size_enabled: Literal["Enabled", "Disabled", "EnabledWithoutValue"] = "Enabled"
    pipelining_enabled: Switch = True
    delivery_status_notification_enabled: Switch = True
    enhanced_status_codes_enabled: Switch = True
    eight_bit_mime_enabled: Switch = True
    binary_mime_enabled: Switch = True
    chunking_enabled: Switch = True
    smtp_utf8_enabled: Switch = True
    requiretls_enabled: Switch = True
    deliver_by_enabled: Switch = True
    future_release_enabled: Switch = False
    max_future_release_interval: Annotated[Duration, lasting("1s", "30d")] = 7 * 86400.0
    mt_priority_enabled: Switch = False
    x_priority_enabled: Switch = False
    linked_send_connector: str = ""
    limits_enabled: Switch = True
    reject_reserved_top_level_recipient_domains: Switch = False
    reject_reserved_second_level_recipient_domains: Switch = False
    reject_single_label_recipient_domains: Switch = False
    lenient_syntax_enabled: Switch = True
    require_ehlo_domain: Switch = False
    bare_linefeed_rejection_enabled: Switch = True
    max_message_size: Annotated[Size, measuring("64KB", str(MAX))] = 36 * 1024 * 1024
    max_header_size: Annotated[Size, measuring("1", str(MAX))] = 256 * 1024
    max_hop_count: Annotated[Integer, between(1, 500)] = 60
    max_local_hop_count: Annotated[Integer, between(0, 50)] = 5
    max_recipients_per_message: Annotated[Integer, between(1, 512000)] = 200
    max_inbound_connection: Annotated[Unlimited, between(1, MAX)] = 5000
    max_inbound_connection_per_source: Annotated[Unlimited, between(1, 10000)] = 20
    max_inbound_connection_percentage_per_source: Annotated[Integer, between(1, 100)] = 2
    message_rate_limit: Annotated[Unlimited, between(1, MAX)] = None
    message_rate_source: Literal["None", "IPAddress", "User", "All"] = "IPAddress"
    max_protocol_errors: Annotated[Unlimited, between(0, MAX)] = 5
    max_logon_failures: Annotated[Integer, between(0, 10)] = 3
    tarpit_interval: Delay = 5.0
    auth_tarpit_interval: Delay = 5.0
    connection_timeout: Interval = 600.0
    connection_inactivity_timeout: Interval = 300.0
    min_data_rate: Annotated[Size, measuring("0", str(MAX))] = 100  # octets a second, averaged over the message; 0 is off


class Certificate(Model):
    """One of C{certificates:} a PEM file pair in the store."""

    certificate: str
    private_key: str
    services: list[str] = ["SMTP"]


class OAuthProvider(Model):
    """One of C{oauth_providers:} whose bearer tokens XOAUTH2 and OAUTHBEARER accept (RFC 7628, RFC 9068)."""

    issuer: str
    audience: str
    keys_file: str = ""  # a JWK set
    keys_url: str = ""  # where to fetch one
    user_claim: str = "email"
    required_scope: str = ""


class Acme(Model):
    """C{acme:} certificates by ACME (RFC 8555), for the fqdn of each receive connector that names no certificate."""

    directory_url: str
    contact: str = ""
    terms_of_service_agreed: Switch = False
    http_listen: Binding
    ca_file: str = ""  # whom to trust at directory_url; the system's where empty
    names: list[str] = []  # further host names


class Metrics(Model):
    """C{metrics:} where monitoring asks by HTTP: C{/metrics} (Prometheus), C{/healthz}, C{/readyz}."""

    listen: MetricsAddress  # "address:port" or "unix:/path"


class SystemMessage(Model):
    """One of C{system_messages:} a text of our own for reports (Exchange's New-SystemMessage)."""

    dsn_code: str  # an enhanced status code such as 5.7.1
    language: str = "en"
    internal: Switch | None = None  # for senders of accepted domains, or for others; None: both
    text: str


class AuditException(Model):
    """One of C{audit_exceptions:} a finding of the audit that is accepted."""

    code: str
    object: str = ""  # as the finding names it, with or without the server's name; empty: every object
    reason: str
    expires: Day | None = None  # the last day that it is accepted


class Config(Model):
    """A whole configuration.  Names are the keys of the three dictionaries, in the order of the files."""

    server: Server
    accepted_domains: dict[str, AcceptedDomain] = {}
    receive_connectors: dict[str, ReceiveConnector] = {}
    send_connectors: dict[str, SendConnector] = {}
    certificates: list[Certificate] = []
    users: str = ""  # the loader puts state_directory/users
    credential_checkers: list[str] = []
    oauth_providers: list[OAuthProvider] = []
    acme: Acme | None = None
    transport: Transport = Transport()
    system_messages: list[SystemMessage] = []
    metrics: Metrics | None = None
    webhooks: list[Webhook] = []
    audit_interval: Annotated[Duration, lasting("1m", "30d")] = 86400.0
    audit_exceptions: list[AuditException] = []
