"""What the values of one object must be together: the rules of Set-ReceiveConnector and Set-AcceptedDomain, and ours.

Each function takes a validated object and yields C{(path below the object, what is wrong and what is allowed)}.  Rules between
connectors (who answers on a binding) are C{policy}'s and come in as checks.

Sources: Set-ReceiveConnector (legal combinations of AuthMechanism), Set-AcceptedDomain.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from twistedrelay.config.problems import Path, suggestion
from twistedrelay.config.schema import (
    AcceptedDomain,
    Acme,
    AuditException,
    Certificate,
    OAuthProvider,
    ReceiveConnector,
    Recipients,
    Server,
)
from twistedrelay.config.units import NextHopValue, dns_server, domain_name, duration_text
from twistedrelay.values.address import AddressError, parse_address
from twistedrelay.values.printable import public_url

Findings = Iterator[tuple[Path, str]]

_CERTIFICATE_NAMES = "; allowed: '<I>issuer<S>subject' or a thumbprint of 40 hex digits (relayctl certificate list)"
_SERVICES = ("SMTP", "IMAP", "POP", "IIS", "UM", "None")
_LONGEST_SOCKET_PATH = 107  #: octets that fit in sockaddr_un


def name(text: str) -> str | None:
    """What is wrong with the name of an object, or None."""
    if not text or len(text) > 64:
        return f"the name {text!r} has {len(text)} characters; allowed: 1 to 64"
    if text != text.strip():
        return f"the name {text!r} begins or ends with a space, which nobody sees"
    if "\\" in text or not text.isprintable():
        return f"the name {text!r} must not hold a backslash or control characters; the server's name is put in front by itself"
    return None


def _is_address(text: str) -> bool:
    """Whether it is a mail address with a domain."""
    try:
        return bool(parse_address(text).domain)
    except AddressError:
        return False


def server(item: Server) -> Findings:
    """Rules for C{server}."""
    if wrong := name(item.name):
        yield ("name",), wrong
    yield from fqdn(item.fqdn, "fqdn")
    if not item.fqdn:
        yield ("fqdn",), "is empty; allowed: the name of this host, such as relay.example.org"
    if not item.state_directory:
        yield ("state_directory",), "is empty; allowed: a directory"
    if item.workers != 1:
        yield ("workers",), f"{item.workers!r} workers are not there yet in this version; allowed: 1"
    if item.spool.partition(":")[0].lower() in ("postgresql", "postgres"):
        yield ("spool",), "a PostgreSQL spool is not there yet in this version; allowed: sqlite"
    elif item.spool != "sqlite":
        yield ("spool",), f"{item.spool.partition(':')[0]!r} is no spool; allowed: sqlite"
    if item.postmaster and not _is_address(item.postmaster):
        yield ("postmaster",), f"{item.postmaster!r} is no address; allowed: local@domain, such as postmaster@example.org"
    length = len(os.fsencode(item.control_socket))
    if length > _LONGEST_SOCKET_PATH:
        yield ("control_socket",), f"{item.control_socket!r} has {length} octets; a socket's path has {_LONGEST_SOCKET_PATH} at most"
    if item.logon_lockout_interval > item.logon_lockout_max_interval:
        key, first, most = "logon_lockout_interval", item.logon_lockout_interval, item.logon_lockout_max_interval
        text = f"{key} ({duration_text(first)}) must not be more than logon_lockout_max_interval ({duration_text(most)})"
        yield (key if key in item.model_fields_set else "logon_lockout_max_interval",), text
    for index, text in enumerate(item.external_dns_servers):
        try:
            dns_server(text)
        except ValueError as error:
            yield ("external_dns_servers", index), str(error)


def accepted_domain(item: AcceptedDomain) -> Findings:
    """Rules for one of C{accepted_domains}."""
    if item.domain_type == "Authoritative" and item.next_hop is None:
        text = "next_hop is required for an Authoritative domain: where its mailboxes are, such as 'mailbox.example.org:25'"
        yield (), text
    if item.recipients is not None:
        for below, text in _recipients(item.recipients, item.next_hop):
            yield ("recipients", *below), text


def _recipients(item: Recipients, next_hop: NextHopValue | None) -> Findings:
    if bool(item.file) + bool(item.ldap) + item.call_ahead != 1:
        yield (), "needs exactly one of file, ldap and call_ahead: true"
    elif item.file:
        for key in sorted(item.model_fields_set & {"cache_size", "positive_cache_time", "negative_cache_time"}):
            yield (key,), "is for ldap and call_ahead; a file is kept whole"
    elif item.call_ahead and (next_hop is None or next_hop.kind == "maildir"):
        yield ("call_ahead",), "needs a next_hop that speaks SMTP or LMTP"


def receive_connector(item: ReceiveConnector) -> Findings:
    """Rules for one of C{receive_connectors}."""
    if not item.bindings:
        yield ("bindings",), "is empty; allowed: at least one IP address:port"
    if "remote_ip_ranges" in item.model_fields_set and not item.remote_ip_ranges:
        yield ("remote_ip_ranges",), "is empty, so nobody could connect; leave the key out for all addresses, or set enabled: false"
    yield from fqdn(item.fqdn, "fqdn")
    if item.banner and not (item.banner.startswith("220 ") and item.banner.isprintable() and len(item.banner.encode()) <= 510):
        yield ("banner",), f"{item.banner!r} is no banner; it must start with '220 ' and be one line of at most 510 octets"
    yield from _mechanisms(item)
    yield from _groups(item)
    if item.tls_certificate_name:
        if not re.fullmatch(r"(?is)<I>.+<S>.+|[0-9a-f]{40}", item.tls_certificate_name.strip()):
            text = f"{item.tls_certificate_name!r} is no certificate name{_CERTIFICATE_NAMES}"
            yield ("tls_certificate_name",), text
        if "Tls" not in item.auth_mechanism:
            yield ("tls_certificate_name",), "needs Tls in auth_mechanism"
    if item.connection_inactivity_timeout >= item.connection_timeout:
        key, inactive, whole = "connection_inactivity_timeout", item.connection_inactivity_timeout, item.connection_timeout
        text = f"{key} ({duration_text(inactive)}) must be less than connection_timeout ({duration_text(whole)})"
        yield (key if key in item.model_fields_set else "connection_timeout",), text
    if item.require_tls and "Tls" not in item.auth_mechanism:
        yield ("require_tls",), "needs Tls in auth_mechanism"
    if item.tls_minimum_version > item.tls_maximum_version:
        yield ("tls_minimum_version",), f"{item.tls_minimum_version} is above tls_maximum_version, {item.tls_maximum_version}"
    if item.tls_minimum_version < "TLSv1.2" and item.tls_cipher_profile != "Old":
        yield ("tls_minimum_version",), f"{item.tls_minimum_version} needs tls_cipher_profile: Old, which alone has ciphers for it"
    if item.domain_secure_enabled and ("Tls" not in item.auth_mechanism or "ExternalAuthoritative" in item.auth_mechanism):
        yield ("domain_secure_enabled",), "needs Tls in auth_mechanism, and no ExternalAuthoritative"
    if item.tls_client_ca_file and "Tls" not in item.auth_mechanism:
        yield ("tls_client_ca_file",), "needs Tls in auth_mechanism"
    if "External" in item.auth_mechanism and not item.tls_client_ca_file:
        yield ("auth_mechanism",), "External needs tls_client_ca_file: who signs the certificates of those that log in"
    if item.binary_mime_enabled and not item.chunking_enabled and "binary_mime_enabled" in item.model_fields_set:
        yield ("binary_mime_enabled",), "needs chunking_enabled: binary messages come by BDAT only"
    if item.smtp_utf8_enabled and not item.eight_bit_mime_enabled and "smtp_utf8_enabled" in item.model_fields_set:
        yield ("smtp_utf8_enabled",), "needs eight_bit_mime_enabled (RFC 6531 section 3.1)"
    if item.protocol == "LMTP" and any(binding.port == 25 for binding in item.bindings):
        yield ("protocol",), "LMTP is not spoken on port 25 (RFC 2033 section 5)"
    if item.future_release_enabled and any(binding.port == 25 for binding in item.bindings):
        yield ("future_release_enabled",), "is for submission, not for port 25 (RFC 4865 section 4.2)"
    for who, rights in item.extended_rights.items():
        if not rights:
            yield ("extended_rights", who), "gives no right; allowed: a list such as [Accept-Any-Recipient]"


def _mechanisms(item: ReceiveConnector) -> Findings:
    mechanisms, path = item.auth_mechanism, ("auth_mechanism",)
    if not mechanisms:
        yield path, "is empty; allowed: [None], or a list such as [Tls, BasicAuth, BasicAuthRequireTLS]"
    if "None" in mechanisms and len(set(mechanisms)) > 1:
        yield path, "None stands alone; leave it or the others out"
    if "BasicAuthRequireTLS" in mechanisms and not {"BasicAuth", "Tls"} <= set(mechanisms):
        yield path, "BasicAuthRequireTLS needs BasicAuth and Tls beside it: [Tls, BasicAuth, BasicAuthRequireTLS]"
    if "XOAuth2" in mechanisms and "Tls" not in mechanisms:
        yield path, "XOAuth2 needs Tls beside it: bearer tokens are never taken in clear text"
    if "ExternalAuthoritative" in mechanisms:
        if not set(mechanisms) <= {"ExternalAuthoritative", "Tls"}:
            yield path, "ExternalAuthoritative stands alone or beside Tls"
        if "ExchangeServers" not in item.permission_groups:
            yield path, "ExternalAuthoritative needs ExchangeServers in permission_groups"
    if item.implicit_tls and "Tls" not in mechanisms:
        yield ("implicit_tls",), "implicit_tls needs Tls in auth_mechanism"


def _groups(item: ReceiveConnector) -> Findings:
    if not item.permission_groups:
        yield ("permission_groups",), "is empty; allowed: [None], or a list such as [AnonymousUsers]"
    if "None" in item.permission_groups and len(set(item.permission_groups)) > 1:
        yield ("permission_groups",), "None stands alone; leave it or the others out"


def certificate(item: Certificate) -> Findings:
    """Rules for one of C{certificates}."""
    for key in ("certificate", "private_key"):
        if not getattr(item, key):
            yield (key,), "is empty; allowed: a PEM file"
    for index, service in enumerate(item.services):
        if service not in _SERVICES:
            yield ("services", index), f"{service!r} is no service{suggestion(service, _SERVICES)}; allowed: {', '.join(_SERVICES)}"


def audit_exception(item: AuditException) -> Findings:
    """Rules for one of C{audit_exceptions}."""
    for key in ("code", "reason"):
        if not getattr(item, key).strip():
            yield (key,), "is empty; allowed: what `relayctl audit` shows" if key == "code" else "is empty; allowed: why it is accepted"


def oauth_provider(item: OAuthProvider) -> Findings:
    """Rules for one of C{oauth_providers}."""
    for key in ("issuer", "audience", "user_claim"):
        if not getattr(item, key):
            yield (key,), "is empty; allowed: what the provider's tokens say"
    if bool(item.keys_file) is bool(item.keys_url):
        yield (), "needs either keys_file (a JWK set) or keys_url (https://...)"
    if item.keys_url and not item.keys_url.startswith("https://"):
        yield ("keys_url",), f"{public_url(item.keys_url)!r} is not safe; allowed: https://..."


def acme(item: Acme) -> Findings:
    """Rules for C{acme}."""
    if not item.directory_url.startswith("https://"):
        yield ("directory_url",), f"{public_url(item.directory_url)!r} is no ACME directory; allowed: https://..."
    if not item.terms_of_service_agreed:
        yield ("terms_of_service_agreed",), "must be true: read the authority's terms of service, and agree to them"
    for index, name in enumerate(item.names):
        try:
            domain_name(name)
        except ValueError as error:
            yield ("names", index), str(error)


def fqdn(text: str, key: str) -> Findings:
    """A host name, or nothing."""
    if text:
        try:
            domain_name(text)
        except ValueError as error:
            yield (key,), str(error)
