"""The checker C{pam}: logins judged by this machine's PAM, by a service file in C{/etc/pam.d}.

Decides how a login is put to PAM and which of its answers is a no: the others, as a module that cannot reach its server, are 454.  Asks for
authentication and for the account's state (C{pam_authenticate}, C{pam_acct_mgmt}) and for nothing else: no session, no credentials.
PAM holds a refusal back for seconds, so it has threads of its own.

Source: Linux-PAM Application Developers' Guide; X/Open Single Sign-on Service.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pam import PamAuthenticator
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, execute
from zope.interface import Interface, implementer

from twistedrelay.policy.external.names import LoginName, name_and_password, parse_name
from twistedrelay.policy.realm import AvatarId
from twistedrelay.policy.threads import CheckThreads, LoginUnavailable

_THREADS = 4
_WAITING = 32  #: about the refusals of twenty seconds

_DISALLOW_NULL_AUTHTOK = 0x1  #: an account without a password is no account, whatever C{nullok} says
_RHOST = 4  #: the item that says where a login comes from, for modules such as pam_faillock and pam_access

#: The answers that mean no, by Linux-PAM's numbers; all others mean that nobody can tell.
_REFUSALS = {
    6: "permission denied",
    7: "authentication failure",
    8: "insufficient credentials",
    10: "unknown user",
    11: "too many tries",
    12: "the password must be changed",
    13: "the account has expired",
    27: "the password has expired",
}


def _conversation(peer: str) -> PamAuthenticator:
    """One login, with what C{python-pam} leaves out."""
    made = PamAuthenticator()
    authenticate: Callable[[Any, int], int] = PamAuthenticator.pam_authenticate

    def ask(handle: Any, flags: int) -> int:
        if peer:
            made.pam_set_item(handle, _RHOST, peer.encode("ascii"))
        return authenticate(handle, flags | _DISALLOW_NULL_AUTHTOK)

    made.pam_authenticate = ask
    return made


def check_login(service: str, user: str, password: str, peer: str = "") -> None:
    """Put a login to PAM; blocks.

    @param peer: the client's address.
    @raise UnauthorizedLogin: PAM says no.
    @raise LoginUnavailable: PAM cannot tell.
    """
    conversation = _conversation(peer)
    if conversation.authenticate(user, password, service=service, resetcreds=False):
        return
    refusal = _REFUSALS.get(conversation.code)
    if refusal is None:
        raise LoginUnavailable(f"PAM's service {service!r}: {conversation.reason}")
    raise UnauthorizedLogin(f"PAM: {refusal}")


@implementer(ICredentialsChecker)
class PamChecker:
    """Asks PAM about names and passwords.

    With a C{domain} the system's users have no domain in their names, and are addresses of that domain here; without one, PAM is asked
    about whole addresses.
    """

    credentialInterfaces: Sequence[type[Interface]] = (IUsernamePassword,)

    def __init__(self, threads: CheckThreads, service: str, domain: str = "") -> None:
        self._threads = threads
        self._service = service
        self._domain = domain

    def stop(self) -> None:
        """End the threads: nobody asks any more."""
        self._threads.retire()

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        """See L{ICredentialsChecker}.  The avatar id is C{user@domain}."""
        return execute(self._named, credentials).addCallback(self._check, credentials)

    def _named(self, credentials: Any) -> tuple[LoginName, str]:
        name, password = name_and_password(credentials)
        login = parse_name(name, self._domain)
        if login.user.startswith("-") or "/" in login.user:  # PAM modules hand names to programs and look for files by them
            raise UnauthorizedLogin("not a name of the system's users")
        return login, password

    def _check(self, named: tuple[LoginName, str], credentials: Any) -> Deferred[AvatarId]:
        login, password = named
        facts = getattr(credentials, "facts", None)
        user = login.user if self._domain else login.login
        checked = self._threads.run(check_login, self._service, user, password, facts.peer_text if facts is not None else "")
        return checked.addCallback(lambda _: AvatarId(login.address))


def make_checker(reactor: Any, service: str, domain: str) -> PamChecker:
    """The checker for a PAM service.  Threads start with the first login."""
    threads = CheckThreads(reactor, "PAM", _THREADS, _WAITING, end_with_reactor=True)
    return PamChecker(threads, service, domain)
