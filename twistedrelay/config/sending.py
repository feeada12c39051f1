"""The sending half of the configuration: send connectors with their logins, and the transport service.

Defaults are those of Set-SendConnector and Set-TransportService, but for C{smtp_max_messages_per_connection} and
C{max_connection_rate_per_minute}, where Exchange's 20 and 1200 would cost most of the speed.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator

from twistedrelay.config.model import MAX, Delay, Interval, Model
from twistedrelay.config.pressure import BackPressure as BackPressure
from twistedrelay.config.units import (
    Duration,
    Integer,
    NextHop,
    Size,
    Switch,
    Unlimited,
    between,
    lasting,
    measuring,
    size_text,
    unlimited_size,
)


class OAuthClient(Model):
    """C{oauth} of a credential: how this relay gets access tokens (RFC 6749, RFC 8628)."""

    grant_type: Literal["client_credentials", "refresh_token"] = "refresh_token"
    client_id: str
    client_secret_file: str = ""
    client_secret_credential: str = ""  # a systemd credential
    refresh_token_file: str = ""  # the loader puts state_directory/tokens/<connector>; `relayctl send-connector authorize` writes it
    tenant: str = ""  # Microsoft's directory, for the preset's addresses
    token_url: str = ""  # the preset's where empty
    device_authorization_url: str = ""
    authorization_url: str = ""  # where a person agrees in a browser, for providers without device codes for mail
    scope: str = ""
    ca_file: str = ""  # whom to trust at token_url; the system's where empty


class Credential(Model):
    """C{authentication_credential} of a send connector: the login at its smart hosts."""

    username: str
    password_file: str = ""
    password_credential: str = ""  # a systemd credential
    oauth: OAuthClient | None = None


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, str) else value


class SendConnector(Model):
    """One of C{send_connectors:} (Exchange's Set-SendConnector)."""

    enabled: Switch = True
    comment: str = ""
    preset: Literal["None", "microsoft365", "google"] = "None"  # what it sets counts where the key is not given
    address_spaces: list[str]  # parsed by config.units.AddressSpace
    sender_address_spaces: list[str] = []  # only mail of these senders: "domain", "*.domain", "address"; empty: of all
    smart_hosts: list[NextHop] = []
    smart_host_selection: Literal["RoundRobin", "Failover"] = "RoundRobin"
    fqdn: str = ""
    source_ip_address: Annotated[list[str], BeforeValidator(_one_or_more)] = []  # at most one of each family
    force_helo: Switch = False
    chunking_enabled: Switch = True
    require_tls: Switch = False
    ignore_starttls: Switch = False
    implicit_tls: Switch = False
    tls_auth_level: Literal["EncryptionOnly", "CertificateValidation", "DomainValidation"] | None = None
    tls_domain: str = ""
    tls_certificate_name: str = ""  # the certificate that we show
    smtp_dane: Literal["None", "Opportunistic", "Required"] = "Opportunistic"
    mta_sts_enabled: Switch = True
    private_targets_enabled: Switch = False  # MX hosts with private, loopback or other special addresses
    smart_host_auth_mechanism: Literal["None", "BasicAuth", "BasicAuthRequireTLS", "XOAuth2"] = "None"
    authentication_credential: Credential | None = None
    max_message_size: Annotated[int | None, BeforeValidator(unlimited_size), between(65536, MAX, size_text)] = 35 * 1024 * 1024
    protocol_logging_level: Literal["None", "Verbose"] = "None"
    smtp_max_messages_per_connection: Annotated[Integer, between(0, MAX)] = 1000  # 0 is unlimited
    connection_inactivity_timeout: Interval = 600.0
    max_outbound_connections: Annotated[Unlimited, between(1, MAX)] = None  # to one next hop, or of one login; None: transport's
    message_rate_limit: Annotated[Unlimited, between(1, MAX)] = None  # messages a minute to one next hop, or of one login
    error_policies: Literal["Default", "DowngradeDnsFailures"] = "Default"
    sender_rewrite: dict[str, str] = {}  # pattern ("address", "*@domain", "*") to address; the first that fits
    sender_rewrite_headers_enabled: Switch = False  # From and Sender, too
    srs_domain: str = ""  # senders of other domains become SRS0=...@srs_domain
    redirect_all_to: str = ""  # every recipient becomes this address (test systems)
    allowed_recipients: list[str] = []  # but these: "address", "*@domain"; without redirect_all_to all others are returned


_LogAge = Annotated[Duration, lasting("1h", "3650d")]
_LogFile = Annotated[Size, measuring("64KB", str(MAX))]
_LogDirectory = Annotated[Size, measuring("1MB", str(MAX))]


class Transport(Model):
    """C{transport:} retry, expiry, limits as Set-TransportService names them."""

    queue_glitch_retry_count: Annotated[Integer, between(0, 15)] = 4
    queue_glitch_retry_interval: Annotated[Duration, lasting("1s", "1h")] = 60.0
    transient_failure_retry_count: Annotated[Integer, between(0, 15)] = 6
    transient_failure_retry_interval: Annotated[Duration, lasting("1s", "12h")] = 300.0
    outbound_connection_failure_retry_interval: Annotated[Duration, lasting("1s", "20d")] = 600.0
    message_retry_interval: Interval = 300.0
    mailbox_delivery_queue_retry_interval: Interval = 300.0
    queue_max_idle_time: Annotated[Duration, lasting("5s", "1h")] = 180.0
    delay_notification_timeout: Annotated[Duration, lasting("1s", "30d")] = 4 * 3600.0
    message_expiration_timeout: Annotated[Duration, lasting("5s", "90d")] = 2 * 86400.0
    max_outbound_connections: Annotated[Unlimited, between(1, MAX)] = 1000
    max_per_domain_outbound_connections: Annotated[Unlimited, between(1, MAX)] = 40
    shutdown_timeout: Delay = 10.0
    external_delay_dsn_enabled: Switch = True
    internal_delay_dsn_enabled: Switch = True
    external_dsn_max_message_attach_size: Annotated[Size, measuring("0", str(MAX))] = 10 * 1024 * 1024
    internal_dsn_max_message_attach_size: Annotated[Size, measuring("0", str(MAX))] = 10 * 1024 * 1024
    external_dsn_default_language: str = "en"
    internal_dsn_default_language: str = "en"
    generate_copy_of_dsn_for: list[str] = []  # enhanced status codes whose reports postmaster gets, too
    poison_threshold: Annotated[Integer, between(1, 10)] = 2
    safety_net_hold_time: Annotated[Duration, lasting("0s", "30d")] = 0.0  # 0s: off
    pickup_directory_path: str = ""  # empty: off
    replay_directory_path: str = ""  # empty: off
    pickup_directory_max_messages_per_minute: Annotated[Integer, between(1, 20000)] = 100
    pickup_directory_max_header_size: Annotated[Size, measuring("32KB", str(MAX))] = 64 * 1024
    pickup_directory_max_recipients_per_message: Annotated[Integer, between(1, 10000)] = 100
    ledger_max_age: Annotated[Duration, lasting("1d", "3650d")] = 400 * 86400.0
    ledger_reverse_names: Switch = False  # names of clients, asked of the DNS when somebody looks
    tls_report_socket: str = ""  # where tlsrpt-collectd listens; empty: no reports
    max_connection_rate_per_minute: Annotated[Unlimited, between(1, MAX)] = None  # connections that come in; Exchange: 1200
    back_pressure: BackPressure = BackPressure()
    message_tracking_log_enabled: Switch = True
    message_tracking_log_path: str = ""  # the loader puts state_directory/tracking
    message_tracking_log_subject_logging_enabled: Switch = True
    tracking_max_age: Annotated[Duration, lasting("1d", "3650d")] = 30 * 86400.0
    tracking_max_size: Annotated[Size, measuring("16MB", str(MAX))] = 1000 * 1024 * 1024  # of all files
    receive_protocol_log_path: str = ""  # the loader puts state_directory/logs/protocol, here and for the next
    receive_protocol_log_max_age: _LogAge = 30 * 86400.0
    receive_protocol_log_max_directory_size: _LogDirectory = 250 * 1024 * 1024
    receive_protocol_log_max_file_size: _LogFile = 10 * 1024 * 1024
    send_protocol_log_path: str = ""
    send_protocol_log_max_age: _LogAge = 30 * 86400.0
    send_protocol_log_max_directory_size: _LogDirectory = 250 * 1024 * 1024
    send_protocol_log_max_file_size: _LogFile = 10 * 1024 * 1024
    intra_org_connector_protocol_logging_level: Literal["None", "Verbose"] = "None"  # of the next hops of accepted domains
    connectivity_log_enabled: Switch = True
    connectivity_log_path: str = ""  # the loader puts state_directory/logs/connectivity
    connectivity_log_max_age: _LogAge = 30 * 86400.0
    connectivity_log_max_directory_size: _LogDirectory = 1000 * 1024 * 1024
    connectivity_log_max_file_size: _LogFile = 10 * 1024 * 1024
