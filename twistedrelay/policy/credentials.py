"""What a session shows of itself when it logs in: the kinds of credentials that checkers are asked about.

Names and passwords are C{twisted.cred}'s own C{IUsernamePassword}, digests (CRAM-MD5) its C{IUsernameHashedPassword}, so that any checker
takes them; the others are ours.  Nothing here is looked up or decided, and nothing secret is in any C{repr}.

Sources: twisted.cred; RFC 5802 (SCRAM), RFC 6750 (bearer tokens), RFC 4422 appendix A (EXTERNAL), RFC 2195 (CRAM-MD5).
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs
from twisted.cred.credentials import ICredentials, IUsernameHashedPassword, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from zope.interface import Attribute, implementer

from twistedrelay.values.netrange import IPAddress
from twistedrelay.values.scram import ScramVerifier

if TYPE_CHECKING:
    from twistedrelay.policy.realm import SessionFacts


class IRemoteHost(ICredentials):
    """The credentials of a session that has not logged in: where it comes from."""

    host: IPAddress = Attribute("The peer's address.")


class IScramProof(ICredentials):
    """The proof of a SCRAM-SHA-256 exchange."""

    username: bytes = Attribute("The login name.")

    def proves(verifier: ScramVerifier) -> bool:
        """Whether the client knows the password of a verifier."""


class IBearerToken(ICredentials):
    """An OAuth 2.0 bearer token."""

    username: bytes = Attribute("The login name that came with it, b'' for none: then the token says it.")
    token: str = Attribute("The token.")


class IClientCertificate(ICredentials):
    """The certificate that a client has shown in its TLS handshake, and that was verified there."""

    names: Sequence[str] = Attribute("Whom it names: its mail addresses, or else its host names.")
    username: bytes = Attribute("Whom the client wants to be, b'' for whom the certificate names.")
    principals: frozenset[str] = Attribute("Login names that have rights of their own where the client connected, in lower case.")


@implementer(IRemoteHost)
class RemoteHost:
    """See L{IRemoteHost}."""

    def __init__(self, host: IPAddress) -> None:
        self.host = host


@implementer(IUsernameHashedPassword)
@attrs.frozen(slots=True)
class DigestResponse:
    """A CRAM-MD5 response."""

    username: bytes
    challenge: bytes = attrs.field(repr=False)
    digest: bytes = attrs.field(repr=False)

    def checkPassword(self, password: bytes | str) -> bool:
        """Whether the digest was made with a password; in constant time."""
        key = password.encode("utf-8") if isinstance(password, str) else password
        return hmac.compare_digest(hmac.digest(key, self.challenge, "md5"), self.digest)


@implementer(IScramProof)
@attrs.frozen(slots=True)
class ScramProof:
    """See L{IScramProof}."""

    username: bytes
    auth_message: bytes = attrs.field(repr=False)
    proof: bytes = attrs.field(repr=False)

    def proves(self, verifier: ScramVerifier) -> bool:
        """See L{IScramProof}."""
        return verifier.is_proof(self.auth_message, self.proof)


@implementer(IBearerToken)
@attrs.frozen(slots=True)
class BearerToken:
    """See L{IBearerToken}."""

    username: bytes
    token: str = attrs.field(repr=False)


@implementer(IClientCertificate)
@attrs.frozen(slots=True)
class NamedCertificate:
    """See L{IClientCertificate}."""

    names: Sequence[str]
    username: bytes = b""
    principals: frozenset[str] = frozenset()


class PasswordLogin(UsernamePassword):
    """A name and a password, with what is known of the session that they came in by (C{facts}); not known to other servers' logins."""

    facts: SessionFacts | None = None


def login_identity(authzid: str, authcid: str) -> bytes:
    """The name that a login is judged by.

    @raise UnauthorizedLogin: it asks to act as somebody else, which is never granted.
    """
    if authzid and authzid.lower() != authcid.lower():
        raise UnauthorizedLogin("authorization identity differs from the login")
    return authcid.encode("utf-8")


def password_credentials(authzid: str, authcid: str, password: str, facts: SessionFacts | None = None) -> PasswordLogin:
    """Credentials from a name and a password.

    @param facts: the session's, for checkers that tell a server of their own where a login comes from.
    @raise UnauthorizedLogin: as L{login_identity}.
    """
    credentials = PasswordLogin(login_identity(authzid, authcid), password.encode("utf-8"))
    credentials.facts = facts
    return credentials
