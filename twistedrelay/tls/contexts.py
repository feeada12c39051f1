"""TLS contexts for listeners: which certificate a receive connector shows, and to whom.

A connector that names its certificate shows that one always; another shows the one for its fqdn, or the one for the name the client asks
for (SNI) where the store has it, or a self-signed one that is made.  While the relay runs a certificate that is gone stays in use until
there is a better one than a self-signed one, and an alarm says so: TLS is never lost in silence.  C{prepare} and C{refresh} read files
and belong in a thread.

Sources: Set-ReceiveConnector (TlsCertificateName), RFC 6066 section 3 (SNI).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from zope.interface import implementer

from twistedrelay.config.replace import stamp_of
from twistedrelay.config.schema import Config, ReceiveConnector
from twistedrelay.interfaces import ICertificates
from twistedrelay.tls.expiry import Expiry
from twistedrelay.tls.pem import CertificateError, CertificateInfo, KeyPair
from twistedrelay.tls.serverside import server_context, wants_rsa
from twistedrelay.tls.store import CertificateStore, is_rsa
from twistedrelay.values.events import ServiceEvent


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

    name: str
    connector: ReceiveConnector
    pair: KeyPair
    authorities: object  # changes when the file of client authorities does
    default: SSL.Context
    others: dict[KeyPair, SSL.Context] = attrs.Factory(dict)  # made when first asked for


@implementer(ICertificates)
class Contexts:
    """The contexts of one configuration's receive connectors: what sessions keep that began under it."""

    def __init__(self) -> None:
        self.entries: dict[int, _Entry] = {}

    def server_context(self, connector: Any) -> SSL.Context:
        """The context of a receive connector.  L{CertificateError} where it has none."""
        entry = self.entries.get(id(connector))
        if entry is None:
            raise CertificateError(f"no certificate is ready for {connector.tls_certificate_name or connector.fqdn}")
        return entry.default


@attrs.frozen(eq=False)
class Change:
    """The contexts of another configuration, ready to be used.

    @ivar notices: what has to be said of them that is not said of those in use.
    """

    config: Config
    store: CertificateStore
    contexts: Contexts
    lasting: set[ServiceEvent]
    notices: list[ServiceEvent]


@implementer(ICertificates)
class ServerContexts:
    """The contexts of all receive connectors.

    @ivar current: those of the configuration in use.
    @param store: where certificates come from; load it first.
    """

    def __init__(self, store: CertificateStore) -> None:
        self.current = Contexts()
        self._store = store
        self._config: Config | None = None
        self._told: set[ServiceEvent] = set()
        self._expiry = Expiry(store)
        self._lock = threading.Lock()

    def prepare(self, config: Config) -> list[ServiceEvent]:
        """Make the contexts for a configuration; they are used from then on.  Blocks.

        @return: what has to be said and was not said before.
        """
        with self._lock:
            self._config = config
            return self._prepare(config)

    def change(self, config: Config, store: CertificateStore) -> Change:
        """Make the contexts for another configuration, which nobody uses before L{use}.  Blocks.

        @param store: the certificates that go with it, which were read.
        """
        former = {entry.name: entry for entry in self.current.entries.values()}
        contexts = Contexts()
        contexts.entries, lasting, _ = self._made(config, store, lambda name, connector: former.get(name))
        return Change(config, store, contexts, lasting, sorted(lasting - self._told, key=lambda event: event.text))

    def use(self, change: Change) -> None:
        """Use other contexts from now on.  Not while L{refresh} runs."""
        self._store.become(change.store)
        self._config, self.current, self._told = change.config, change.contexts, change.lasting

    def refresh(self) -> list[ServiceEvent]:
        """Read changed certificate files; new connections use what changed, old ones keep what they have.  Blocks.

        @return: what is wrong with the files, and what L{prepare} says.
        """
        with self._lock:
            _, problems = self._store.refresh()
            found = [ServiceEvent("error", text) for text in problems]
            return found if self._config is None else found + self._prepare(self._config)

    def server_context(self, connector: Any) -> SSL.Context:
        """See L{Contexts.server_context}."""
        return self.current.server_context(connector)

    # -- which certificate -----------------------------------------------------------------------------------------------

    def _prepare(self, config: Config) -> list[ServiceEvent]:
        known = self.current.entries
        entries, lasting, found = self._made(config, self._store, lambda name, connector: known.get(id(connector)))
        found += sorted(lasting - self._told, key=lambda event: event.text)
        self._told, self.current.entries = lasting, entries
        return found + self._expiry.notices(_users(entries.values()))

    def _made(
        self, config: Config, store: CertificateStore, former: Callable[[str, ReceiveConnector], _Entry | None]
    ) -> tuple[dict[int, _Entry], set[ServiceEvent], list[ServiceEvent]]:
        """The contexts of a configuration, what is to be said once while it is so, and what is to be said now.

        @param former: what a connector had before.
        """
        entries: dict[int, _Entry] = {}
        lasting: set[ServiceEvent] = set()  # said once while it is so
        found: list[ServiceEvent] = []
        self_signed: dict[str, list[str]] = {}
        for name, connector in config.receive_connectors.items():
            if not connector.enabled or "Tls" not in connector.auth_mechanism:
                continue
            last = former(name, connector)
            entry = last if last is not None and last.connector is connector else None
            try:
                entry = self._entry(name, connector, self._choose(connector, store, last), entry)
            except CertificateError as error:
                lasting.add(ServiceEvent("error", f"{name}: {error}; {_consequence(last)}"))
                if last is not None and entry is None:  # its settings are others now, its certificate is the best that there is
                    entry = self._entry(name, connector, last.pair, None)
            else:
                if last is not None and entry.pair.info.thumbprint != last.pair.info.thumbprint:
                    found.append(ServiceEvent("info", f"{name}: from now on {_described(entry.pair)} is shown"))
                if store.made_here(entry.pair):
                    self_signed.setdefault(connector.fqdn, []).append(name)
            if entry is not None:
                entries[id(connector)] = entry
        for fqdn, names in self_signed.items():
            text = f"a self-signed certificate is shown for {fqdn} by {', '.join(names)}; clients will warn or refuse"
            lasting.add(ServiceEvent("warn", text))
        return entries, lasting, found

    def _choose(self, connector: ReceiveConnector, store: CertificateStore, last: _Entry | None) -> KeyPair:
        """The certificate of a connector."""
        pair = chosen(connector, store)
        if pair is not None and (connector.tls_certificate_name or not store.made_here(pair)):
            return pair
        if connector.tls_certificate_name:
            raise CertificateError(not_there(connector.tls_certificate_name, store))
        if last is not None and not store.made_here(last.pair) and store.is_valid(last.pair):
            raise CertificateError(f"no certificate for {connector.fqdn} is in the store any more")
        return pair or store.self_signed(connector.fqdn, wants_rsa(connector))

    def _entry(self, name: str, connector: ReceiveConnector, pair: KeyPair, last: _Entry | None) -> _Entry:
        """The contexts of a connector with a certificate: the last ones, where nothing changed."""
        authorities = _stamp(connector.tls_client_ca_file)
        if last is not None and last.pair is pair and last.authorities == authorities:
            for other in list(last.others):  # the reactor's thread adds to it
                if not self._store.holds(other):
                    last.others.pop(other, None)
            return last
        entry = _Entry(name, connector, pair, authorities, server_context(pair, name, connector))
        if not connector.tls_certificate_name:
            entry.default.set_tlsext_servername_callback(lambda connection: self._switch(entry, connection))
        return entry

    def _switch(self, entry: _Entry, connection: SSL.Connection) -> None:
        """Show the certificate for the name that the client asks for, where there is one."""
        asked = connection.get_servername()
        pair = self._store.for_fqdn(asked.decode("ascii", "replace"), wants_rsa(entry.connector)) if asked else None
        if pair is None or pair is entry.pair:
            return
        context = entry.others.get(pair)
        if context is None:
            try:
                context = server_context(pair, entry.name, entry.connector)
            except CertificateError:
                return  # the connector's own is better than none
            entry.others[pair] = context
        connection.set_context(context)


def chosen(connector: ReceiveConnector, store: CertificateStore) -> KeyPair | None:
    """The certificate of the store that a connector shows; None where it has none: then one is made, or TLS cannot be had."""
    if connector.tls_certificate_name:
        return store.find(connector.tls_certificate_name)
    old_clients = wants_rsa(connector)
    pair = store.for_fqdn(connector.fqdn, old_clients)
    unfit = pair is not None and old_clients and store.made_here(pair) and not is_rsa(pair)
    return None if unfit else pair


def not_there(name: str, store: CertificateStore) -> str:
    """What to say where a named certificate is not in the store."""

    def shown(info: CertificateInfo) -> str:
        return info.tls_certificate_name if "<" in name else f"{info.thumbprint} ({', '.join(info.names) or info.subject})"

    known = "; ".join(map(shown, store.list())) or "none"
    return f"the certificate {name!r} is not in the store; there are: {known}"


def _users(entries: Iterable[_Entry]) -> list[tuple[KeyPair, Sequence[str]]]:
    """The certificates in use, with the connectors that show them."""
    users: dict[KeyPair, list[str]] = {}
    for entry in entries:
        users.setdefault(entry.pair, []).append(entry.name)
    return list(users.items())


def _consequence(last: _Entry | None) -> str:
    return "there is no TLS" if last is None else f"{_described(last.pair)} stays in use"


def _described(pair: KeyPair) -> str:
    names = ", ".join(pair.info.names) or pair.info.subject
    return f"the certificate {pair.info.thumbprint} ({names}), valid until {pair.info.not_after:%Y-%m-%d},"


def _stamp(file: str) -> object:
    try:
        return stamp_of(file) if file else None
    except OSError as error:
        return error.errno
