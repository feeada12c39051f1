"""Documented keys and values that this version does not act on, and Exchange's that have no place here.

A key is never accepted and ignored: each one in L{NOT_YET} is an error that says it is not there yet, each one in L{NO_PLACE} is an
error that says why, and what to write instead.  This is data only; C{config.keys} reads it.

Sources: Set-ReceiveConnector, Set-AcceptedDomain, Set-SendConnector, Set-TransportService.
"""

from __future__ import annotations

from collections.abc import Mapping

_IS_THE_KEY = "the name is the key of the mapping itself"
_ACTIVE_DIRECTORY = "there is no Active Directory here; leave it out"
_CMDLET = "it steers the cmdlet and is no property of the object; leave it out"
_ONE_PROCESS = "there is one transport service here, without frontend and hub roles; leave it out"
_DIRECTORY_OBJECT = "it tells of an object in Active Directory, and cannot be set there either; leave it out"
_LANGUAGES = "the sender's language always comes first; write external_dsn_default_language or internal_dsn_default_language for the others"
_PLAIN_TEXT = "reports are plain text, which every mail program shows; leave it out"
_VERSIONS = "SQLite keeps no versions in memory, and its write-ahead log counts as database_used_space; leave it out"
_HYBRID = "it serves hybrid deployments with Exchange Online; leave it out"

#: What Get-ReceiveConnector and Get-SendConnector show beside the parameters.
_SHOWN_ONLY = (
    *("admin_display_name", "distinguished_name", "exchange_version", "guid", "id", "instance", "is_valid", "object_category"),
    *("object_class", "object_state", "organization_id", "originating_server", "ps_computer_name", "runspace_id", "when_changed"),
    *("when_changed_utc", "when_created", "when_created_utc"),
)

#: Keys by section that will work in a later version.
NOT_YET: Mapping[str, frozenset[str]] = {
    "": frozenset({"control_panel", "plugins"}),
    "transport": frozenset(
        {
            "shadow_redundancy_enabled",
            "reject_message_on_shadow_failure",
        }
    ),
}

#: Keys by section that have no place here, with the reason and the cure.
NO_PLACE: Mapping[str, Mapping[str, str]] = {
    "back_pressure": {"used_version_buckets": _VERSIONS},
    "accepted_domains": {
        "name": _IS_THE_KEY,
        "domain_name": _IS_THE_KEY,
        "identity": _IS_THE_KEY,
        "address_book_enabled": "write recipients: which addresses exist",
        "make_default": "the first accepted domain is the default one; leave it out",
        "match_sub_domains": "write the domain as '*.domain' for its subdomains",
        "domain_controller": _ACTIVE_DIRECTORY,
    },
    "receive_connectors": {
        "name": _IS_THE_KEY,
        "identity": _IS_THE_KEY,
        "server": "a connector belongs to the server of its configuration; leave it out",
        "domain_controller": _ACTIVE_DIRECTORY,
        "confirm": _CMDLET,
        "what_if": _CMDLET,
        "usage": "it only fills in other parameters; write permission_groups and auth_mechanism themselves",
        "custom": "it only fills in other parameters; write permission_groups and auth_mechanism themselves",
        "internet": "it only fills in other parameters; write permission_groups: [AnonymousUsers]",
        "internal": "it only fills in other parameters; write permission_groups: [ExchangeServers, ExchangeLegacyServers]",
        "client": "it only fills in other parameters; write permission_groups: [ExchangeUsers]",
        "partner": "it only fills in other parameters; write permission_groups: [Partners]",
        "transport_role": _ONE_PROCESS,
        "proxy_enabled": _ONE_PROCESS,
        "default_domain": "it is text without effect in Exchange; server.postmaster and accepted_domains decide",
        "service_discovery_fqdn": "there is no service discovery here; leave it out",
        "advertise_client_settings": "there is no Outlook on the web here that could show them; leave it out",
        "max_acknowledgement_delay": "it has had no effect since Exchange 2016: the 250 always waits for the disk; leave it out",
        "enable_auth_gssapi": "Kerberos and NTLM are not offered; clients log in with PLAIN or LOGIN (auth_mechanism: BasicAuth)",
        "extended_protection_policy": "it belongs to Integrated authentication, which is not offered; leave it out",
        "suppress_x_anonymous_tls": "X-ANONYMOUSTLS is never offered; leave it out",
        "tls_domain_capabilities": _HYBRID,
        "accept_consumer_mail": _HYBRID,
        **dict.fromkeys(_SHOWN_ONLY, _DIRECTORY_OBJECT),
        "live_credential_enabled": _HYBRID,
        "orar_enabled": "XORAR is an extension of Exchange that no client of a relay uses; leave it out",
        "long_addresses_enabled": "XLONGADDR is an extension for X.400 addresses; leave it out",
    },
    "send_connectors": {
        "name": _IS_THE_KEY,
        "identity": _IS_THE_KEY,
        "port": "write the port behind the smart host: smart_hosts: ['smtp.example.org:587']",
        "dns_routing_enabled": "leave smart_hosts out to route by MX",
        "usage": "it is only a label; leave it out",
        "custom": "it is only a label; leave it out",
        "internet": "it is only a label; leave it out",
        "internal": "it is only a label; leave it out",
        "partner": "it is only a label; leave it out",
        "source_transport_servers": "send connectors belong to the server of their configuration; leave it out",
        "home_mta": _ACTIVE_DIRECTORY,
        "domain_controller": _ACTIVE_DIRECTORY,
        "confirm": _CMDLET,
        "what_if": _CMDLET,
        "is_scoped_connector": "send connectors belong to the server of their configuration; leave it out",
        "frontend_proxy_enabled": _ONE_PROCESS,
        "connector_type": _HYBRID,
        "cloud_services_mail_enabled": _HYBRID,
        **dict.fromkeys(_SHOWN_ONLY, _DIRECTORY_OBJECT),
        "require_oorg": _HYBRID,
        "connection_inactivity_time_out": "write connection_inactivity_timeout, as at receive connectors",
        "domain_secure_enabled": "write require_tls: true, tls_auth_level: DomainValidation and tls_certificate_name",
        "use_external_dns_servers_enabled": "server.external_dns_servers are asked wherever they are given; leave it out",
        "linked_receive_connector": "write linked_send_connector at the receive connector",
        "is_smtp_connector": "every send connector speaks SMTP (or LMTP, or fills a maildir); leave it out",
    },
    "transport": {
        **dict.fromkeys(
            ("database_used_space", "used_disk_space", "private_bytes", "system_memory", "submission_queue_length"),
            "write it below back_pressure",
        ),
        "used_version_buckets": _VERSIONS,
        "message_tracking_log_max_age": "write tracking_max_age",
        "message_tracking_log_max_directory_size": "write tracking_max_size",
        "message_tracking_log_max_file_size": "files follow from tracking_max_size; leave it out",
        "max_idle_time_before_resubmit": "ways are decided anew at each attempt; leave it out",
        "external_postmaster_address": "write server.postmaster",
        "external_dsn_language_detection_enabled": _LANGUAGES,
        "internal_dsn_language_detection_enabled": _LANGUAGES,
        "external_dsn_send_html": _PLAIN_TEXT,
        "internal_dsn_send_html": _PLAIN_TEXT,
        "external_dsn_reporting_authority": "write server.fqdn",
        "internal_dsn_reporting_authority": "write server.fqdn",
        "dsn_conversion_mode": "reports of other systems pass as they are; leave it out",
        "priority_queuing_enabled": "priorities count where a receive connector takes them: mt_priority_enabled, x_priority_enabled",
    },
}

#: Values by the name of their key that Exchange has and this relay has not; C{True} is for those that will work in a later version.
VALUES: Mapping[str, Mapping[str, str | bool]] = {
    "auth_mechanism": {
        "Integrated": "NTLM and Kerberos are not offered; use BasicAuth with BasicAuthRequireTLS",
        "NTLM": "NTLM is not offered; use BasicAuth with BasicAuthRequireTLS",
        "Kerberos": "Kerberos is not offered; use BasicAuth with BasicAuthRequireTLS",
        "GSSAPI": "Kerberos is not offered; use BasicAuth with BasicAuthRequireTLS",
        "ExchangeServer": "X-EXPS and X-ANONYMOUSTLS are only spoken between Exchange servers; use ExternalAuthoritative for trusted hosts",
        "X-EXPS": "X-EXPS is only spoken between Exchange servers; use ExternalAuthoritative for trusted hosts",
        "OAuthBearer": "write XOAuth2: it offers XOAUTH2 and OAUTHBEARER both",
        "Login": "write BasicAuth: it offers LOGIN and PLAIN both",
        "Plain": "write BasicAuth: it offers LOGIN and PLAIN both",
        "DigestMd5": "DIGEST-MD5 is obsolete (RFC 6331); use ScramSha256",
        "ScramSha1": "SCRAM-SHA-1 is not offered; use ScramSha256",
    },
    "smart_host_auth_mechanism": {
        "ExchangeServer": "X-EXPS is only spoken between Exchange servers; use BasicAuthRequireTLS",
        "ExternalAuthoritative": "it says that the smart host is trusted and changes nothing on the wire; use None",
        "OAuthBearer": "write XOAuth2: it uses XOAUTH2 or OAUTHBEARER, whichever the server offers",
    },
    "tls_auth_level": {"DANE": "write smtp_dane: Required", "Dane": "write smtp_dane: Required"},
    "error_policies": {
        "DowngradeCustomFailures": "there are no custom lists of failures; leave it out",
        "UpgradeCustomFailures": "there are no custom lists of failures; leave it out",
    },
}
