"""TLS contexts for listeners: which certificate a receive connector shows, and how its TLS is set up.

TLS 1.2 or newer with Twisted's choice of ciphers; each connector has contexts, and so session tickets, of its own, so that a session of one
is never resumed at another.  A connector that names its certificate shows that one always; another shows the one for its fqdn, or the
one for the name the client asks for (SNI) where the store has it.  C{prepare} and C{refresh} read files and belong in a thread.

Sources: Set-ReceiveConnector (TlsCertificateName), RFC 6066 section 3 (SNI), RFC 9325 (versions and ciphers).
"""

from __future__ import annotations

from typing import Any

import attrs
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.ssl import CertificateOptions
from zope.interface import implementer

from twistedrelay.config.problems import Problem
from twistedrelay.config.schema import Config, ReceiveConnector
from twistedrelay.interfaces import ICertificates
from twistedrelay.tls.store import CertificateError, CertificateStore, KeyPair


@implementer(IOpenSSLServerConnectionCreator)
class ServerCreator:
    """Makes the server's side of connections with a context, for C{transport.startTLS} and C{TLSMemoryBIOFactory}."""

    def __init__(self, context: SSL.Context) -> None:
        self._context = context

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        """A connection for a protocol."""
        return SSL.Connection(self._context, None)


@attrs.define(eq=False)
class _Entry:
    """The contexts of one connector.  It holds the connector so that its C{id} stays its own."""

    connector: ReceiveConnector
    default: SSL.Context
    thumbprint: str
    others: dict[str, SSL.Context] = attrs.Factory(dict)  # by thumbprint, made when first asked for


@implementer(ICertificates)
class ServerContexts:
    """The contexts of all receive connectors.

    @param store: where certificates come from; load it first.
    """

    def __init__(self, store: CertificateStore) -> None:
        self._store = store
        self._config: Config | None = None
        self._entries: dict[int, _Entry] = {}

    def problems(self, config: Config) -> list[Problem]:
        """Certificates that an enabled connector names and the store does not hold: errors at a start."""
        found = []
        for name, connector in config.receive_connectors.items():
            wanted = connector.tls_certificate_name
            if connector.enabled and wanted and self._store.find(wanted) is None:
                known = "; ".join(info.tls_certificate_name for info in self._store.list()) or "none"
                text = f"the certificate {wanted!r} is not in the store; there are: {known}"
                found.append(Problem(("receive_connectors", name, "tls_certificate_name"), text))
        return found

    def prepare(self, config: Config) -> list[str]:
        """Make the contexts for a configuration; they are used from then on.  Blocks.

        @return: warnings: connectors that show a self-signed certificate, or one that is not valid now.
        """
        entries: dict[int, _Entry] = {}
        warnings: list[str] = []
        for name, connector in config.receive_connectors.items():
            if connector.enabled and "Tls" in connector.auth_mechanism:
                try:
                    pair = self._choose(connector) or self._store.self_signed(connector.fqdn)
                    entries[id(connector)] = self._entry(connector, pair)
                except (CertificateError, SSL.Error, ValueError) as error:
                    warnings.append(f"{name}: no TLS: {error}")
                    continue
                if self._store.made_here(pair):
                    warnings.append(f"{name}: a self-signed certificate is shown for {connector.fqdn}; clients will warn or refuse")
                elif not self._store.is_valid(pair):
                    warnings.append(f"{name}: the certificate {pair.info.thumbprint} is valid only until {pair.info.not_after:%Y-%m-%d}")
        self._config, self._entries = config, entries
        return warnings

    def refresh(self) -> list[str]:
        """Read changed certificate files; new connections use what changed, old ones keep what they have.  Blocks.

        @return: what is wrong with the files, and warnings as of L{prepare}.
        """
        changed, problems = self._store.refresh()
        if changed and self._config is not None:
            problems += self.prepare(self._config)
        return problems

    def server_context(self, connector: Any) -> SSL.Context:
        """The context of a receive connector.  L{CertificateError} where it has none."""
        entry = self._entries.get(id(connector))
        if entry is None:
            raise CertificateError(f"no certificate is ready for {connector.tls_certificate_name or connector.fqdn}")
        return entry.default

    def _choose(self, connector: ReceiveConnector) -> KeyPair | None:
        """The certificate of a connector; None: a self-signed one is needed."""
        if not connector.tls_certificate_name:
            return self._store.for_fqdn(connector.fqdn)
        pair = self._store.find(connector.tls_certificate_name)
        if pair is None:
            raise CertificateError(f"the certificate {connector.tls_certificate_name!r} is not in the store")
        return pair

    def _entry(self, connector: ReceiveConnector, pair: KeyPair) -> _Entry:
        entry = _Entry(connector, server_context(pair), pair.info.thumbprint)
        if not connector.tls_certificate_name:
            entry.default.set_tlsext_servername_callback(lambda connection: self._switch(entry, connection))
        return entry

    def _switch(self, entry: _Entry, connection: SSL.Connection) -> None:
        """Show the certificate for the name that the client asks for, where there is one."""
        asked = connection.get_servername()
        pair = self._store.for_fqdn(asked.decode("ascii", "replace")) if asked else None
        if pair is None or pair.info.thumbprint == entry.thumbprint:
            return
        context = entry.others.get(pair.info.thumbprint)
        if context is None:
            context = entry.others[pair.info.thumbprint] = server_context(pair)
        connection.set_context(context)


def server_context(pair: KeyPair) -> SSL.Context:
    """A context that shows a certificate."""
    options = CertificateOptions(
        privateKey=crypto.PKey.from_cryptography_key(pair.key),
        certificate=crypto.X509.from_cryptography(pair.certificate),
        extraCertChain=[crypto.X509.from_cryptography(other) for other in pair.chain],
        enableSessionTickets=True,
    )
    return options.getContext()


def named_certificates(config: Config) -> list[Problem]:
    """A check for C{config.load}: reads the certificate files and finds those that connectors name and that are missing.  Blocks."""
    store = CertificateStore(config.certificates, config.server.state_directory)
    unreadable = store.load()
    reason = f" ({'; '.join(unreadable)})" if unreadable else ""
    return [attrs.evolve(problem, text=problem.text + reason) for problem in ServerContexts(store).problems(config)]
