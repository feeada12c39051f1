"""What keeps a relay from starting as far as TLS towards next hops goes, and what it only warns of; used as checks by C{answers.check}.

Only reads: nothing is made here.

Source: Set-SendConnector (TlsCertificateName), RFC 7672 section 2.1 (who is to validate).
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator

import dns.resolver
from OpenSSL import SSL

from twistedrelay.config.problems import Problem
from twistedrelay.config.schema import Config
from twistedrelay.config.units import dns_server
from twistedrelay.tls.checks import ending
from twistedrelay.tls.contexts import not_there
from twistedrelay.tls.outbound import client_context
from twistedrelay.tls.pem import CertificateError
from twistedrelay.tls.store import CertificateStore

LONGEST_SOCKET = 107  #: octets of a UNIX socket's path


def sending_problems(config: Config) -> list[Problem]:
    """Certificates that enabled send connectors show and that cannot be had; DANE without anybody to trust; a socket that cannot be."""
    return [*_certificates(config), *_dane(config), *_socket(config)]


def _certificates(config: Config) -> Iterator[Problem]:
    store = CertificateStore(config.certificates, config.server.state_directory)
    unreadable = store.load()
    reason = f" ({'; '.join(unreadable)})" if unreadable else ""
    for name, connector in config.send_connectors.items():
        if not connector.enabled or not connector.tls_certificate_name:
            continue
        path = ("send_connectors", name, "tls_certificate_name")
        pair = store.find(connector.tls_certificate_name)
        if pair is None:
            yield Problem(path, not_there(connector.tls_certificate_name, store) + reason)
            continue
        try:
            client_context(SSL.TLS1_2_VERSION, pair)
        except CertificateError as error:
            yield Problem(path, str(error))


def _dane(config: Config) -> Iterator[Problem]:
    if all(ipaddress.ip_address(dns_server(text)[0]).is_loopback for text in config.server.external_dns_servers):
        return
    for name, connector in config.send_connectors.items():
        if connector.enabled and connector.smtp_dane == "Required":
            text = "Required needs a validating DNS server on this host: server.external_dns_servers must be loopback addresses"
            yield Problem(("send_connectors", name, "smtp_dane"), text)


def _socket(config: Config) -> Iterator[Problem]:
    if len(os.fsencode(config.transport.tls_report_socket)) > LONGEST_SOCKET:
        yield Problem(("transport", "tls_report_socket"), f"the path is longer than the {LONGEST_SOCKET} octets of a UNIX socket's address")


def sending_warnings(config: Config) -> Iterator[Problem]:
    """Certificates of enabled send connectors that end soon, or are over; DANE where the system's DNS servers are not here.  Blocks."""
    store = CertificateStore(config.certificates, config.server.state_directory)
    store.load()
    for name, connector in config.send_connectors.items():
        pair = store.find(connector.tls_certificate_name) if connector.enabled and connector.tls_certificate_name else None
        if pair is not None and (text := ending(pair, store)):
            yield Problem(("send_connectors", name, "tls_certificate_name"), text)
        if connector.enabled and connector.smtp_dane == "Required" and not config.server.external_dns_servers:
            elsewhere = [server for server in system_servers() if not ipaddress.ip_address(server).is_loopback]
            if elsewhere:
                text = f"mail will wait: Required needs a validating DNS server on this host, and the system asks {', '.join(elsewhere)}"
                yield Problem(("send_connectors", name, "smtp_dane"), text)


def system_servers() -> list[str]:
    """The DNS servers of the system."""
    try:
        return [str(server) for server in dns.resolver.Resolver().nameservers]
    except dns.resolver.NoResolverConfiguration:
        return []
