"""What keeps a relay from starting as far as certificates go, and what it only warns of; used as checks by C{config.load}.

Only reads: nothing is made here.

Source: Set-ReceiveConnector (TlsCertificateName).
"""

from __future__ import annotations

import datetime
import importlib.util
from collections.abc import Iterator

from twistedrelay.config.problems import Problem
from twistedrelay.config.schema import Acme, Config, ReceiveConnector
from twistedrelay.tls.contexts import chosen, not_there
from twistedrelay.tls.pem import CertificateError, KeyPair, read_certificates
from twistedrelay.tls.serverside import client_authorities, server_context
from twistedrelay.tls.store import CertificateStore

#: Certificates that end within this time are findings of a check.
SOON = datetime.timedelta(days=14)


def certificate_problems(config: Config) -> list[Problem]:
    """Certificates that enabled connectors name and that cannot be had, likewise files of client authorities.  Blocks."""
    store = CertificateStore(config.certificates, config.server.state_directory)
    unreadable = store.load()
    reason = f" ({'; '.join(unreadable)})" if unreadable else ""
    found = []
    for name, connector in config.receive_connectors.items():
        if connector.enabled and "Tls" in connector.auth_mechanism:
            found += [Problem(("receive_connectors", name, key), text) for key, text in _of_connector(name, connector, store, reason)]
    return found + list(_of_acme(config.acme))


def _of_acme(acme: Acme | None) -> Iterator[Problem]:
    if acme is None:
        return
    if importlib.util.find_spec("acme") is None:
        yield Problem(("acme",), "needs the package acme, which is not installed: pip install 'twistedrelay[acme]'")
    if acme.ca_file:
        try:
            read_certificates(acme.ca_file)
        except CertificateError as error:
            yield Problem(("acme", "ca_file"), str(error))


def _of_connector(name: str, connector: ReceiveConnector, store: CertificateStore, reason: str) -> Iterator[tuple[str, str]]:
    if connector.tls_client_ca_file:
        try:
            client_authorities(connector)
        except CertificateError as error:
            yield "tls_client_ca_file", str(error)
            return
    wanted, pair = connector.tls_certificate_name, chosen(connector, store)
    key = "tls_certificate_name"
    if pair is not None:
        try:
            server_context(pair, name, connector)
        except CertificateError as error:
            yield key, str(error)
    elif wanted:
        yield key, not_there(wanted, store) + reason


def certificate_warnings(config: Config) -> Iterator[Problem]:
    """Certificates of enabled connectors that end soon, or are over.  Blocks."""
    store = CertificateStore(config.certificates, config.server.state_directory)
    store.load()
    seen = set()
    for name, connector in config.receive_connectors.items():
        if not connector.enabled or "Tls" not in connector.auth_mechanism:
            continue
        pair = chosen(connector, store)
        if pair is not None and pair.info.thumbprint not in seen and (text := ending(pair, store)):
            seen.add(pair.info.thumbprint)  # at the first connector that shows it
            yield Problem(("receive_connectors", name), text)


def ending(pair: KeyPair, store: CertificateStore) -> str:
    """What to say of a certificate that ends soon; nothing of one that is renewed without anyone's help."""
    if store.from_acme(pair) or store.made_here(pair) or pair.info.not_after - store.now() >= SOON:
        return ""
    word = "ends" if store.is_valid(pair) else "is not valid; it ended"
    return f"the certificate {pair.info.thumbprint} {word} on {pair.info.not_after:%Y-%m-%d}; renew {pair.info.file}"
