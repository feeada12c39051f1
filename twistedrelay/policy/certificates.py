"""Logins by client certificate (EXTERNAL).

Decides who the holder of a verified certificate is here: the user of the users file whose address it names in full, or a name that has
C{extended_rights} on the connector.  Nobody else, so that not everyone with a certificate of a large authority may relay.
Whether a certificate is good, the TLS handshake has found out by the connector's C{tls_client_ca_file}.

Sources: RFC 4422 appendix A (EXTERNAL), RFC 5280 section 4.2.1.6 (names).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, inlineCallbacks
from zope.interface import Interface, implementer

from twistedrelay.interfaces import IUsers
from twistedrelay.policy.credentials import IClientCertificate
from twistedrelay.policy.realm import AvatarId

if TYPE_CHECKING:
    from collections.abc import Generator

_MOST_NAMES = 20  #: looked up for one certificate


@implementer(ICredentialsChecker)
class CertificateChecker:
    """Checks client certificates."""

    credentialInterfaces: Sequence[type[Interface]] = (IClientCertificate,)

    def __init__(self, users: IUsers) -> None:
        self._users = users

    @inlineCallbacks
    def requestAvatarId(self, credentials: Any) -> Generator[Deferred[Any], Any, Any]:
        """See L{ICredentialsChecker}.  The avatar id is the user's address, or the certificate's name."""
        names = credentials.names[:_MOST_NAMES]
        wanted = credentials.username.decode("utf-8", "replace").lower()
        for name in names:
            if wanted and name.lower() != wanted:
                continue
            user = yield self._users.find(name)
            if user is not None and user.address.casefold() == name.casefold():  # a host "root" is not the user root@...
                return AvatarId(user.address, user)
            if name.lower() in credentials.principals:
                return AvatarId(name)
        shown = ", ".join(names) or "nobody"
        if wanted and wanted not in map(str.lower, names):
            raise UnauthorizedLogin(f"the certificate is for {shown}, not for {wanted}")
        raise UnauthorizedLogin(f"the certificate's {wanted or shown} is neither in the users file nor in the connector's extended_rights")
