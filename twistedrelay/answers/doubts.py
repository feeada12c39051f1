"""What a good configuration may yet be asked about: settings that weaken a connector, with whom they let in.

It decides what is worth a warning: what is meant for a few known devices and given to many addresses, and what has no effect.  A daemon
starts with all of it.  Connectors that are disabled or bound to loopback addresses only are nobody's door.

Sources: RFC 8996 (TLS 1.0 and 1.1), RFC 8314 section 3 (passwords in clear text), RFC 5321 section 2.3.8 and SMTP smuggling (bare line
feeds); the source article on relaying by address.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterator

from twistedrelay.config.problems import Path, Problem
from twistedrelay.config.schema import Config, ReceiveConnector
from twistedrelay.policy.rights import Rights, principal_at_connect, rights_of
from twistedrelay.values.netrange import IPRange

#: More addresses than these are no list of devices: a network of IPv4, a site of IPv6.
FEW = {4: 256, 6: 1 << 80}

#: Octets of a header section that sessions may hold in memory without a word of warning.
MUCH_HEADER = 4 * 1024 * 1024

#: The key, the code, and what is doubtful.
_Found = Iterator[tuple[str, str, str]]


def doubts(config: Config) -> Iterator[Problem]:
    """The warnings for all receive connectors."""
    for name, connector in config.receive_connectors.items():
        if connector.enabled:
            path: Path = ("receive_connectors", name)
            for key, code, text in (*_of_anybody(connector), *(_of_many(connector) if is_open(connector) else ())):
                yield Problem((*path, key), text, code=code)


def is_open(connector: ReceiveConnector) -> bool:
    """Whether more than a few addresses can reach it."""
    if all(ipaddress.ip_address(binding.host).is_loopback for binding in connector.bindings):
        return False
    return not connector.remote_ip_ranges or any(is_wide(entry.range) for entry in connector.remote_ip_ranges)


def is_wide(found: IPRange) -> bool:
    """Whether a range has more addresses than a list of devices."""
    return found.size > FEW[found.version]


def _of_anybody(connector: ReceiveConnector) -> _Found:
    """Doubts whoever may use the connector."""
    if "CramMd5" in connector.auth_mechanism:
        yield "auth_mechanism", "cram-md5", "CramMd5 needs passwords that are kept in clear text, and MD5 is weak; better ScramSha256 with Tls"
    if connector.message_rate_source == "None" and connector.message_rate_limit is not None:
        yield "message_rate_limit", "no-effect", "has no effect with message_rate_source: None"
    if connector.max_header_size > MUCH_HEADER:
        yield "max_header_size", "large-headers", f"is {connector.max_header_size} octets, which each session may hold in memory; better 256KB"
    today = datetime.date.today()
    for entry in connector.remote_ip_ranges:
        if entry.expires is not None and entry.expires < today:
            yield "remote_ip_ranges", "range-expired", f"{entry.range} expired on {entry.expires}: renew it, or take it out; it has no effect"
    for key in ("xclient_from", "proxy_protocol_from"):
        for found in getattr(connector, key):
            if is_wide(found):
                yield key, f"{key.partition('_')[0]}-wide", f"{found} lets {found.size} addresses pass for any other; list the proxies themselves"


def _of_many(connector: ReceiveConnector) -> _Found:
    """Doubts because it is not only for a few devices."""
    rights = rights_of(connector, principal_at_connect(connector))
    if Rights.SUBMIT | Rights.ACCEPT_ANY_RECIPIENT in rights:
        key = "auth_mechanism" if "ExternalAuthoritative" in connector.auth_mechanism else "extended_rights"
        yield key, "relay-wide", "an open relay: sessions without a login may send to anybody, and remote_ip_ranges lets in more than a few devices"
    if "Tls" in connector.auth_mechanism:
        if connector.tls_minimum_version < "TLSv1.2":
            yield "tls_minimum_version", "weak-tls", f"{connector.tls_minimum_version} is broken; give old devices a connector of their own"
        elif connector.tls_cipher_profile == "Old":
            yield "tls_cipher_profile", "weak-ciphers", "Old has broken ciphers; give old devices a connector of their own"
    clear = not connector.require_tls and not connector.implicit_tls
    if clear and "BasicAuth" in connector.auth_mechanism and "BasicAuthRequireTLS" not in connector.auth_mechanism:
        yield "auth_mechanism", "clear-text-auth", "BasicAuth without BasicAuthRequireTLS lets passwords cross the network in clear text"
    if not connector.bare_linefeed_rejection_enabled:
        yield (
            "bare_linefeed_rejection_enabled",
            "bare-linefeed",
            "false is for devices that send bare line feeds; from mail servers they may be SMTP smuggling",
        )
