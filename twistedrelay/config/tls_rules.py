"""What the TLS values of a send connector must be together.

DANE and MTA-STS are about what domains publish for their own mail hosts: they need delivery by MX, and a connector that leaves the proof to
them.

Source: Set-SendConnector (TlsCertificateName, TlsAuthLevel), RFC 7672, RFC 8461.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from twistedrelay.config.sending import SendConnector

_Findings = Iterator[tuple[tuple[str, ...], str]]
_NAME = re.compile(r"(?is)\s*(?:<I>.+<S>.+|(?:[0-9a-f]{2}[\s:]?){19}[0-9a-f]{2})\s*")


def send_tls(item: SendConnector) -> _Findings:
    """Rules for one of C{send_connectors}."""
    yield from _own_certificate(item)
    if item.smtp_dane == "Required":
        yield from _required(item)
    if item.smart_hosts:
        for key, off in (("smtp_dane", "None"), ("mta_sts_enabled", False)):
            if key in item.model_fields_set and getattr(item, key) not in (off, "Required"):
                yield (key,), "is only used without smart_hosts: it is about the mail hosts of recipient domains; leave it out"


def _own_certificate(item: SendConnector) -> _Findings:
    name, key = item.tls_certificate_name, ("tls_certificate_name",)
    if not name:
        return
    if not _NAME.fullmatch(name):
        allowed = "'<I>issuer<S>subject' or a thumbprint of 40 hex digits (relayctl certificate list)"
        yield key, f"{name!r} is no certificate name; allowed: {allowed}"
    if item.ignore_starttls:
        yield key, "is only shown under TLS, which ignore_starttls: true takes away"
    if any(hop.path for hop in item.smart_hosts):
        yield key, "is only shown on the network, not to a maildir: or a socket; leave it out"


def _required(item: SendConnector) -> _Findings:
    key = ("smtp_dane",)
    if item.smart_hosts:
        yield key, "Required needs delivery by MX; a smart host proves itself by tls_auth_level: DomainValidation"
    if item.ignore_starttls:
        yield key, "Required needs TLS, which ignore_starttls: true takes away"
    if item.tls_auth_level in ("CertificateValidation", "DomainValidation"):
        yield key, f"Required and tls_auth_level: {item.tls_auth_level} are two proofs that one server rarely has; leave one of them out"
    if item.force_helo:
        yield key, "Required needs STARTTLS, which force_helo: true takes away"
