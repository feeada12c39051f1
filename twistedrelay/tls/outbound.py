"""TLS towards next hops: SNI always, and as much verification as the policy asks for.

========================  ============================================================  ==============================
level                     what the server proves                                        versions
========================  ============================================================  ==============================
C{may}                    nothing                                                       1.0 and above, old ciphers too
C{encrypt}                nothing                                                       1.2 and above
C{certificate}            a chain to an authority of the system                         1.2 and above
C{domain}                 such a chain, and the name                                    1.2 and above
C{dane}                   what its TLSA records say                                     1.2 and above
========================  ============================================================  ==============================

Where the alternative is clear text (C{may}, lenient policies) TLS 1.0 is better than that; RFC 8996 takes it away where TLS is a promise.
Nothing is resumed: there are no tickets and no kept sessions that one policy or login could lend another.  Whether TLS is used at all is
C{delivery}'s.

Sources: Set-SendConnector (TlsAuthLevel, TlsCertificateName), RFC 7435 (opportunistic security), RFC 8996, RFC 9325, RFC 6125 (names),
RFC 6066 section 3 (SNI), RFC 7672 section 8 (DANE's choice of SNI).
"""

from __future__ import annotations

import ipaddress
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from cryptography import x509
from OpenSSL import SSL, crypto
from service_identity import VerificationError
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.python.failure import Failure
from zope.interface import implementer

from twistedrelay.tls.dane import verify
from twistedrelay.tls.failures import UntrustedPeer, untrusted, wrong_name
from twistedrelay.tls.pem import CertificateError, KeyPair
from twistedrelay.tls.serverside import reason_text
from twistedrelay.tls.store import CertificateStore
from twistedrelay.values.route import TLSPolicy

__all__ = ["ClientContexts", "UntrustedPeer", "client_context", "objection_of"]

_Callback = Callable[[SSL.Connection, crypto.X509, int, int, int], bool]

_GOOD = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:ECDHE+AES:DHE+AES:RSA+AESGCM:RSA+AES:!aNULL:!eNULL:!PSK:!SRP:!DSS"
_CIPHERS = {SSL.TLS1_2_VERSION: f"{_GOOD}:@SECLEVEL=1", SSL.TLS1_VERSION: f"{_GOOD}:3DES:@SECLEVEL=0"}
#: What lenient policies did not hold against a peer.
_objections: weakref.WeakKeyDictionary[SSL.Connection, UntrustedPeer] = weakref.WeakKeyDictionary()
_OPTIONS = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET


class ClientContexts:
    """The contexts of the client's side, made when first needed and kept until their certificate changes.

    @param store: where the certificates are that we show.
    @param trust: the trusted authorities; None for the system's.
    """

    def __init__(self, store: CertificateStore | None = None, trust: Sequence[x509.Certificate] | None = None) -> None:
        self._store = store
        self._trust = trust
        self._contexts: dict[tuple[int, bool, str], tuple[KeyPair | None, SSL.Context]] = {}

    def warm(self) -> None:
        """Make the contexts without certificates now: reading the system's trust takes a moment and is better done in a thread."""
        for oldest in _CIPHERS:
            for trusting in (False, True):
                self._context(oldest, trusting, "")

    def creator(self, policy: TLSPolicy, host: str) -> IOpenSSLClientConnectionCreator:
        """Makes connections to a host under a policy.

        @param host: the next hop's name, or its IP address, for which no SNI is sent.
        @raise CertificateError: the certificate that we are to show is not there or cannot be used; no certificate can have such a name.
        """
        if policy.level == "none":
            raise ValueError("a route of level 'none' has no TLS")
        if not (host.isascii() and policy.name.isascii()):
            raise CertificateError(f"{policy.name or host} is a name that is not in ASCII (A-labels)")
        oldest = SSL.TLS1_VERSION if policy.level == "may" or policy.lenient else SSL.TLS1_2_VERSION
        context = self._context(oldest, policy.level in ("certificate", "domain"), policy.certificate)
        return _Creator(context, policy, host)

    def _context(self, oldest: int, trusting: bool, name: str) -> SSL.Context:
        pair = self._pair(name) if name else None
        known = self._contexts.get((oldest, trusting, name))
        if known is not None and known[0] is pair:
            return known[1]
        context = client_context(oldest, pair)
        if trusting:
            self._add_trust(context)
        self._contexts[oldest, trusting, name] = (pair, context)
        return context

    def _pair(self, name: str) -> KeyPair:
        pair = self._store.find(name) if self._store is not None else None
        if pair is None:
            raise CertificateError(f"the certificate {name!r} that is to be shown is not in the store")
        return pair

    def _add_trust(self, context: SSL.Context) -> None:
        if self._trust is None:
            context.set_default_verify_paths()
            return
        store = context.get_cert_store()
        assert store is not None
        for authority in self._trust:
            store.add_cert(crypto.X509.from_cryptography(authority))


def client_context(oldest: int, pair: KeyPair | None) -> SSL.Context:
    """A context that trusts nobody yet.

    @param oldest: the oldest version of TLS.
    @param pair: the certificate to show where a server asks.
    @raise CertificateError: it cannot be used.
    """
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_options(_OPTIONS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_min_proto_version(oldest)
    context.set_cipher_list(_CIPHERS[oldest].encode("ascii"))
    if pair is not None:
        try:
            context.use_privatekey(pair.key)
            context.use_certificate(pair.certificate)
            for other in pair.chain:
                context.add_extra_chain_cert(other)
        except (SSL.Error, ValueError, TypeError) as error:
            raise CertificateError(f"the certificate {pair.info.thumbprint} cannot be used: {reason_text(error)}") from None
    return context


def objection_of(connection: SSL.Connection) -> UntrustedPeer | None:
    """Why a lenient policy would have ended a session, had it been in earnest."""
    return _objections.get(connection)


@implementer(IOpenSSLClientConnectionCreator)
class _Creator:
    def __init__(self, context: SSL.Context, policy: TLSPolicy, host: str) -> None:
        self._context = context
        self._policy = policy
        self._host = host.rstrip(".")

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """A connection for a protocol."""
        policy = self._policy
        connection = SSL.Connection(self._context, None)
        # With a name of its own to prove (tls_domain, the owner of TLSA records), that is the name to ask for.
        asked = policy.name.rstrip(".") or self._host
        if not _is_ip(asked):
            connection.set_tlsext_host_name(asked.encode("ascii"))
        check: _Callback | None = None
        if policy.level == "dane":
            check = _by_records(policy, self._host)
        elif policy.level in ("certificate", "domain"):
            check = _by_authorities(asked if policy.level == "domain" else "")
        if check is not None:
            connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _guarded(check, tlsProtocol, policy.lenient))
        return connection


def _guarded(check: _Callback, protocol: Any, lenient: bool) -> _Callback:
    """A callback for OpenSSL that keeps no reference to the protocol and lets no exception out.

    Where the policy is lenient the first objection is remembered (L{objection_of}), and the handshake goes on.
    """
    peer = weakref.ref(protocol)

    def guarded(connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, ok: int) -> bool:
        try:
            return check(connection, certificate, error, depth, ok)
        except Exception as error:  # whatever it is, it must not pass for a good certificate
            objection = error if isinstance(error, UntrustedPeer) else UntrustedPeer("the server's certificate cannot be read")
            if lenient:
                _objections.setdefault(connection, objection)
                return True
            if fail := getattr(peer(), "failVerification", None):
                fail(Failure(objection))
            return False

    return guarded


def _by_authorities(wanted: str) -> _Callback:
    """Believe the system's authorities, and ask for a name where there is one."""

    def check(connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, ok: int) -> bool:
        if not ok:
            raise untrusted(error)
        if depth == 0 and wanted:
            _verify_name(certificate, wanted)
        return True

    return check


def _by_records(policy: TLSPolicy, host: str) -> _Callback:
    """Believe TLSA records: OpenSSL's own objections do not count, the chain it could build is judged as a whole at its end."""
    names = tuple(dict.fromkeys(name.rstrip(".").lower() for name in (policy.name or host, host, *policy.names)))
    chain: dict[int, crypto.X509] = {}

    def check(connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, ok: int) -> bool:
        chain[depth] = certificate
        if ok and depth == 0:
            verify(policy.tlsa, names, [chain[index].to_cryptography() for index in sorted(chain)])
        return True

    return check


def _verify_name(certificate: crypto.X509, wanted: str) -> None:
    try:
        if _is_ip(wanted):
            verify_certificate_ip_address(certificate.to_cryptography(), wanted)
        else:
            verify_certificate_hostname(certificate.to_cryptography(), wanted)
    except (VerificationError, ValueError):
        raise wrong_name(wanted) from None


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
