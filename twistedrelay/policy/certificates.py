"""Logins by client certificate (EXTERNAL).

Decides whether a certificate is good for a login and who it names: a mailbox (rfc822Name, else emailAddress in the subject), else a host
(dNSName, else the common name).  The certificate must chain to the connector's C{tls_client_ca_file} and be one for clients; it is
verified here again, whatever the handshake made of it.  Its name must be a user of the users file, or have C{extended_rights} on the
connector, so that not everyone with a certificate of a large authority may relay.

Sources: RFC 4422 appendix A (EXTERNAL), RFC 5280 sections 4.2.1.6 (names) and 4.2.1.12 (purposes), RFC 8398 (names beyond ASCII: none).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import crypto
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, inlineCallbacks
from zope.interface import Interface, implementer

from twistedrelay.interfaces import IUsers
from twistedrelay.policy.credentials import IClientCertificate
from twistedrelay.policy.realm import AvatarId

if TYPE_CHECKING:
    from collections.abc import Generator

_PURPOSES = frozenset({ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE})
_LONGEST_CHAIN = 10


def names_of(certificate: x509.Certificate) -> list[str]:
    """Whom a certificate names, in the order to try; only names of the best kind that it has."""
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        alternative = x509.SubjectAlternativeName([])
    subject = certificate.subject
    kinds = (
        list(alternative.get_values_for_type(x509.RFC822Name)),
        [str(found.value) for found in subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS)],
        list(alternative.get_values_for_type(x509.DNSName)),
        [str(found.value) for found in subject.get_attributes_for_oid(NameOID.COMMON_NAME)],
    )
    for names in kinds:
        if names:
            return [name for name in names if name.isprintable() and name.strip()]
    return []


def fault(chain: Sequence[x509.Certificate], ca_file: str) -> str:
    """Why a certificate is no good, or C{""}.  Reads the file."""
    if not chain or len(chain) > _LONGEST_CHAIN:
        return "no certificate, or too many"
    store = crypto.X509Store()
    try:
        store.load_locations(ca_file)
    except crypto.Error:
        raise OSError(f"{ca_file} holds no certificates") from None
    leaf, *others = (crypto.X509.from_cryptography(certificate) for certificate in chain)
    try:
        crypto.X509StoreContext(store, leaf, others).verify_certificate()
    except crypto.X509StoreContextError as error:
        return f"the certificate is not valid: {error}"
    try:
        purposes = chain[0].extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return ""
    except ValueError:
        return "the certificate has broken extensions"
    return "" if _PURPOSES & set(purposes) else "the certificate is not one for clients"


@implementer(ICredentialsChecker)
class CertificateChecker:
    """Checks client certificates.

    @param in_thread: calls a function with arguments in a thread.
    """

    credentialInterfaces: Sequence[type[Interface]] = (IClientCertificate,)

    def __init__(self, users: IUsers, in_thread: Callable[..., Deferred[Any]]) -> None:
        self._users = users
        self._in_thread = in_thread

    @inlineCallbacks
    def requestAvatarId(self, credentials: Any) -> Generator[Deferred[Any], Any, Any]:
        """See L{ICredentialsChecker}.  The avatar id is the user's address, or the certificate's name."""
        wrong = yield self._in_thread(fault, credentials.chain, credentials.ca_file)
        if wrong:
            raise UnauthorizedLogin(wrong)
        names = names_of(credentials.chain[0])
        wanted = credentials.username.decode("utf-8", "replace").lower()
        for name in names:
            if wanted and name.lower() != wanted:
                continue
            user = yield self._users.find(name)
            if user is not None:
                return AvatarId(user.address, user)
            if name.lower() in credentials.principals:
                return AvatarId(name)
        shown = ", ".join(names) or "nobody"
        raise UnauthorizedLogin(f"the certificate names {shown}, who may not log in as {wanted}" if wanted else f"no user is {shown}")
