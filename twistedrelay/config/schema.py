"""The configuration as typed objects: one pydantic model per kind of object.

A key is the Exchange parameter's name in snake_case, a value is Exchange's value; our additions follow the same style.
Defaults are what a fresh Exchange Server 2019 shows and never depend on an object's name.  C{load} fills these models from YAML
nodes and turns every error into C{file:line: path: what is wrong, what is allowed}.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

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
    integer,
    lasting,
    measuring,
)

Group = Literal["None", "AnonymousUsers", "ExchangeUsers", "ExchangeServers", "ExchangeLegacyServers", "Partners", "Custom"]
Mechanism = Literal[
    "None", "Tls", "BasicAuth", "BasicAuthRequireTLS", "ExternalAuthoritative", "ScramSha256", "CramMd5", "External", "XOAuth2"
]
TLSVersion = Literal["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]

_MAX = 2147483647
Delay = Annotated[Duration, lasting("0s", "1h")]
Interval = Annotated[Duration, lasting("1s", "1d")]


class Model(BaseModel):
    """What all models share: unknown keys are errors, objects do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


def _workers(value: Any) -> Any:
    return value if value == "auto" else integer(value, "a whole number or auto")


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
    external_dns_servers: list[str] = []
    max_connections: Annotated[Integer, between(10, 1_000_000)] = 20_000
    max_buffered_size: Annotated[Size, measuring("1MB", "1024GB")] = 256 * 1024 * 1024
    logon_lockout_threshold: Annotated[Integer, between(0, 1000)] = 10
    logon_lockout_interval: Annotated[Duration, lasting("1s", "1d")] = 30.0
    logon_lockout_max_interval: Annotated[Duration, lasting("1s", "7d")] = 3600.0


class AcceptedDomain(Model):
    """One of C{accepted_domains:} (Exchange's Set-AcceptedDomain)."""

    domain_type: Literal["Authoritative", "InternalRelay", "ExternalRelay"] = "Authoritative"
    next_hop: NextHop | None = None


class RemoteRange(Model):
    """An entry of C{remote_ip_ranges}: a range alone, or with who it belongs to and the last day it is good for."""

    range: Range
    owner: str = ""
    expires: Day | None = None

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
    limits_enabled: Switch = True
    reject_reserved_top_level_recipient_domains: Switch = False
    reject_reserved_second_level_recipient_domains: Switch = False
    reject_single_label_recipient_domains: Switch = False
    lenient_syntax_enabled: Switch = True
    require_ehlo_domain: Switch = False
    bare_linefeed_rejection_enabled: Switch = True
    max_message_size: Annotated[Size, measuring("64KB", str(_MAX))] = 36 * 1024 * 1024
    max_header_size: Annotated[Size, measuring("1", str(_MAX))] = 256 * 1024
    max_hop_count: Annotated[Integer, between(1, 500)] = 60
    max_local_hop_count: Annotated[Integer, between(0, 50)] = 5
    max_recipients_per_message: Annotated[Integer, between(1, 512000)] = 200
    max_inbound_connection: Annotated[Unlimited, between(1, _MAX)] = 5000
    max_inbound_connection_per_source: Annotated[Unlimited, between(1, 10000)] = 20
    max_inbound_connection_percentage_per_source: Annotated[Integer, between(1, 100)] = 2
    message_rate_limit: Annotated[Unlimited, between(1, _MAX)] = None
    message_rate_source: Literal["None", "IPAddress", "User", "All"] = "IPAddress"
    max_protocol_errors: Annotated[Unlimited, between(0, _MAX)] = 5
    max_logon_failures: Annotated[Integer, between(0, 10)] = 3
    tarpit_interval: Delay = 5.0
    auth_tarpit_interval: Delay = 5.0
    connection_timeout: Interval = 600.0
    connection_inactivity_timeout: Interval = 300.0
    min_data_rate: Annotated[Size, measuring("0", str(_MAX))] = 100  # octets a second, averaged over the message; 0 is off


class Credential(Model):
    """C{authentication_credential} of a send connector: the login at its smart hosts."""

    username: str
    password_file: str


class SendConnector(Model):
    """One of C{send_connectors:} (Exchange's Set-SendConnector)."""

    enabled: Switch = True
    comment: str = ""
    address_spaces: list[str]  # parsed by config.units.AddressSpace
    smart_hosts: list[NextHop] = []
    fqdn: str = ""
    require_tls: Switch = False
    ignore_starttls: Switch = False
    implicit_tls: Switch = False
    tls_auth_level: Literal["EncryptionOnly", "CertificateValidation", "DomainValidation"] | None = None
    tls_domain: str = ""
    smart_host_auth_mechanism: Literal["None", "BasicAuth", "BasicAuthRequireTLS"] = "None"
    authentication_credential: Credential | None = None


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


class Transport(Model):
    """C{transport:} retry, expiry, limits as Set-TransportService names them."""

    queue_glitch_retry_count: Annotated[Integer, between(0, 15)] = 4
    queue_glitch_retry_interval: Annotated[Duration, lasting("1s", "1h")] = 60.0
    transient_failure_retry_count: Annotated[Integer, between(0, 15)] = 6
    transient_failure_retry_interval: Annotated[Duration, lasting("1s", "12h")] = 300.0
    outbound_connection_failure_retry_interval: Annotated[Duration, lasting("1s", "20d")] = 600.0
    message_retry_interval: Interval = 300.0
    mailbox_delivery_queue_retry_interval: Interval = 300.0
    delay_notification_timeout: Annotated[Duration, lasting("1s", "30d")] = 4 * 3600.0
    message_expiration_timeout: Annotated[Duration, lasting("5s", "90d")] = 2 * 86400.0
    max_outbound_connections: Annotated[Unlimited, between(1, _MAX)] = 1000
    max_per_domain_outbound_connections: Annotated[Unlimited, between(1, _MAX)] = 40
    shutdown_timeout: Delay = 10.0


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
