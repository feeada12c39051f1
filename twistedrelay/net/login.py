"""AUTH in a session: carries what the client has shown to the portal, and the outcome back.

Decides what a failed logon costs: a delay (AuthTarpitInterval), a count against the session (MaxLogonFailures), and one against the
client's network and the name (C{policy.lockout}).  A locked logon is answered 454 without looking: a client that is told 535 asks its user
for another password, or drops the one that it has.  Bearer tokens and certificates cannot be guessed, so they lock nobody out.  Who is let
in, the portal says.

Sources: RFC 4954 (454, 535), Set-ReceiveConnector (AuthMechanism and the limits).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from twistedrelay.config.principals import parse_principal
from twistedrelay.config.schema import ReceiveConnector
from twistedrelay.interfaces import IRelaySession
from twistedrelay.net.arrival import Arrival
from twistedrelay.policy import credentials as shown
from twistedrelay.policy.lockout import LIMIT
from twistedrelay.policy.realm import RelaySession, SessionFacts
from twistedrelay.tls.peer import channel_bindings, client_certificate
from twistedrelay.values import events
from twistedrelay.values import reply as replies
from twistedrelay.values.reply import Reply
from twistedrelay.values.scram import ScramVerifier
from twistedrelay.wire import events as wire
from twistedrelay.wire import sasl

if TYPE_CHECKING:
    from twistedrelay.net.factory import ESMTPFactory

Granted = tuple[Any, RelaySession, Callable[[], None]]  #: what a portal gives

#: What a value of C{auth_mechanism} offers; old devices take the first that they know.
SASL_MECHANISMS = {
    "BasicAuth": ("LOGIN", "PLAIN"),
    "ScramSha256": ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"),
    "CramMd5": ("CRAM-MD5",),
    "External": ("EXTERNAL",),
    "XOAuth2": ("XOAUTH2", "OAUTHBEARER"),
}

_GUESSABLE = (sasl.Password, sasl.Digest, sasl.Proof)


def sasl_mechanisms(connector: ReceiveConnector) -> tuple[str, ...]:
    """The mechanisms of a receive connector, in the order to offer them."""
    return tuple(name for mechanism, names in SASL_MECHANISMS.items() if mechanism in connector.auth_mechanism for name in names)


class LoginSession(Arrival):
    """The part of a session that deals with AUTH."""

    __slots__ = ("_granted", "_shown_by")

    if TYPE_CHECKING:

        def _answer(self, reply: Reply) -> None: ...

        def _answer_later(self, seconds: float, reply: Reply) -> None: ...

    def __init__(self, binding: ESMTPFactory) -> None:
        super().__init__(binding)
        self._granted: tuple[Granted, str] | None = None  # a login, and its mechanism, that the client has still to agree to
        self._shown_by: SessionFacts | None = None  # who has shown a certificate: not whom a trusted host speaks for since

    def handshakeCompleted(self) -> None:
        """The TLS layer.  EXTERNAL is for those who have shown a good certificate."""
        settings = self.engine.settings
        if "EXTERNAL" in settings.auth_mechanisms:
            if client_certificate(self.transport.getHandle()) is None:
                mechanisms = tuple(name for name in settings.auth_mechanisms if name != "EXTERNAL")
                self.engine.settings = attrs.evolve(settings, auth_mechanisms=mechanisms)
            else:
                self._shown_by = self.facts
        super().handshakeCompleted()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """A login that was not agreed to ends as well."""
        self._drop_granted()
        super().connectionLost(reason)

    # -- events of the engine --------------------------------------------------------------------------------------------

    def _scram_challenge(self, event: wire.ScramChallenge) -> None:
        """Look up the user's verifier; for one that does not exist there is one too."""
        if self.relay.lockout.is_locked(self.facts.peer, event.name):
            self._refuse_logon(replies.LOGON_LOCKED, LIMIT)
            return
        self._waiting = True
        found = self.relay.users.scram(event.name)
        found.addCallback(self._have_verifier, event)
        found.addErrback(self._no_login, event.mechanism, event.name, False)
        found.addErrback(self._failed)

    def _have_verifier(self, found: tuple[Any, ScramVerifier], event: wire.ScramChallenge) -> None:
        if self._disconnected or self._closing:
            return
        binding = b""
        if event.binding:
            binding = channel_bindings(self.transport.getHandle()).get(event.binding, b"")
            if not binding:
                raise UnauthorizedLogin(f"this connection has no {event.binding}")
        self._waiting = False
        self._peers_turn()
        self.engine.challenge(found[1], binding)
        if not self._pumping:
            self._pump()

    def _authenticate(self, event: wire.Authenticate) -> None:
        """Ask the portal."""
        given = event.credentials
        name, is_guess = given.authcid or given.authzid, isinstance(given, _GUESSABLE)
        if is_guess and self.relay.lockout.is_locked(self.facts.peer, name):
            self._refuse_logon(replies.LOGON_LOCKED, LIMIT)
            return
        self._waiting = True
        login: Deferred[Any] = maybeDeferred(self._credentials, given)
        login.addCallback(self.relay.portal.login, self.facts, IRelaySession)
        login.addCallback(self._may_log_in, event.mechanism, name, is_guess)
        login.addErrback(self._no_login, event.mechanism, name, is_guess)
        login.addErrback(self._failed)

    def _authenticated(self, event: wire.Authenticated) -> None:
        """The client has its 235: what it asks from now on, it asks as who it is."""
        assert self._granted is not None
        (login, mechanism), self._granted = self._granted, None
        self._emit(events.LoggedIn, mechanism, login[1].login)
        self._take_avatar(login)

    # -- the portal and its answer ---------------------------------------------------------------------------------------

    def _credentials(self, given: sasl.Credentials) -> Any:
        """What a SASL exchange has shown, as credentials.  L{UnauthorizedLogin} where nobody needs to be asked."""
        if isinstance(given, sasl.Unacceptable):
            raise UnauthorizedLogin(given.reason)
        if isinstance(given, sasl.Outside):
            return self._certificate(given.authzid)
        name = shown.login_identity(given.authzid, given.authcid)
        made: Any
        if isinstance(given, sasl.Password):
            made = shown.password_credentials(given.authzid, given.authcid, given.password, self.facts)
        elif isinstance(given, sasl.Proof):
            made = shown.ScramProof(name, given.auth_message, given.proof)
        elif isinstance(given, sasl.Digest):
            made = shown.DigestResponse(name, given.challenge, given.digest)
        else:
            assert isinstance(given, sasl.Token)
            made = shown.BearerToken(name, given.token)
        return made

    def _certificate(self, authzid: str) -> shown.NamedCertificate:
        certificate = client_certificate(self.transport.getHandle()) if self._shown_by is self.facts else None
        if certificate is None:
            raise UnauthorizedLogin("the client has shown no certificate that is good here")
        principals = frozenset(parse_principal(principal).lower() for principal in self.site.connector.extended_rights)
        return shown.NamedCertificate(certificate.emails or certificate.dns_names, authzid.encode("utf-8"), principals)

    def _may_log_in(self, login: Granted, mechanism: str, name: str, is_guess: bool) -> None:
        if self._disconnected or self._closing:
            login[2]()
            return
        if is_guess:
            lockout, peer = self.relay.lockout, self.facts.peer
            if lockout.is_locked(peer, name):  # by guesses at the same time, who must not see which was right
                login[2]()
                self._refuse_logon(replies.LOGON_LOCKED, LIMIT)
                return
            lockout.succeeded(peer, name)
        self._drop_granted()
        self._granted = (login, mechanism)
        self._answer(replies.AUTH_OK)

    def _no_login(self, failure: Failure, mechanism: str, name: str, is_guess: bool) -> None:
        """535, or 454 where no checker could tell."""
        if self._disconnected or self._closing:
            return
        self._emit(events.LoginFailed, mechanism, name, failure.getErrorMessage(), not failure.check(UnauthorizedLogin))
        if not failure.check(UnauthorizedLogin):
            # It may have been a guess that one of several checkers did look at.
            self._answer_later(self.site.connector.auth_tarpit_interval, replies.AUTH_TEMPORARY)
            return
        if is_guess:
            lock = self.relay.lockout.failed(self.facts.peer, name)
            if lock is not None:
                self._emit(events.LogonLocked, lock.user, lock.source, LIMIT, lock.seconds)
        self._refuse_logon(replies.AUTH_FAILED)

    def _refuse_logon(self, reply: Reply, limit: str = "") -> None:
        """After AuthTarpitInterval; after MaxLogonFailures it is the end."""
        connector = self.site.connector
        self._failed_logons += 1
        if connector.max_logon_failures and self._failed_logons >= connector.max_logon_failures:
            reply, self._reason = replies.TOO_MANY_FAILED_LOGONS, limit or "max_logon_failures"
        self._answer_later(connector.auth_tarpit_interval, reply)

    def _drop_granted(self) -> None:
        if self._granted is not None:
            self._granted[0][2]()
            self._granted = None

    def end(self) -> None:
        """An administrator ends it; a whole message is answered first, or the client would send it again."""
        reason = "ended by an administrator"
        if self._storing:
            self._draining = reason
        else:
            self._goodbye(replies.SERVICE_NOT_AVAILABLE, reason)
