"""The credential checker of bearer tokens.

Decides whether the user that a good token names may log in here: the name in the SASL message must be the token's, and it must be a user
of the users file or an address in an accepted domain of ours.  A provider's word about a stranger is worth nothing: with a public provider
anyone can get a token.

Sources: RFC 7628 section 3.2 (the name and the token agree), RFC 9700 section 2.3 (tokens are for one audience).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.interfaces import IReactorTime
from zope.interface import Interface, implementer

from twistedrelay.config.domains import DomainIndex
from twistedrelay.config.schema import AcceptedDomain, Config, OAuthProvider
from twistedrelay.interfaces import IUsers
from twistedrelay.policy.credentials import IBearerToken
from twistedrelay.policy.oauth.keys import FetchedKeys, FileKeys, Keys, KeysError
from twistedrelay.policy.oauth.tokens import Provider, issuer_of, user_of
from twistedrelay.policy.realm import AvatarId
from twistedrelay.policy.threads import LoginUnavailable
from twistedrelay.values.address import AddressError, parse_address


@implementer(ICredentialsChecker)
class OAuthChecker:
    """Checks bearer tokens against the configured providers."""

    credentialInterfaces: Sequence[type[Interface]] = (IBearerToken,)

    def __init__(self, providers: Sequence[Provider], users: IUsers, domains: DomainIndex[AcceptedDomain]) -> None:
        self._providers = providers
        self._users = users
        self._domains = domains

    @inlineCallbacks
    def requestAvatarId(self, credentials: Any) -> Any:
        """See L{ICredentialsChecker}.  The avatar id is the user's address.  L{LoginUnavailable}: the keys cannot be had now."""
        token = credentials.token
        issuer = issuer_of(token)
        refusal: Exception = UnauthorizedLogin("no provider of ours is the token's issuer")
        for provider in self._providers:
            if provider.settings.issuer != issuer:
                continue
            try:
                named = yield user_of(token, provider)
            except UnauthorizedLogin as error:
                refusal = error
            except KeysError as error:
                refusal = LoginUnavailable(str(error))
            else:
                return (yield self._known(named, credentials.username.decode("utf-8", "replace")))
        raise refusal

    @inlineCallbacks
    def _known(self, named: str, wanted: str) -> Any:
        """The avatar id for a user that a good token names."""
        if wanted and wanted.lower() != named.lower():
            raise UnauthorizedLogin(f"the token is for {named}")
        user = yield self._users.find(named)
        if user is not None:
            return AvatarId(user.address, user)
        try:
            address = parse_address(named, utf8=True)
        except AddressError:
            raise UnauthorizedLogin(f"the token's user {named} is no user here") from None
        if not address.domain or self._domains.find(address.domain) is None:
            raise UnauthorizedLogin(f"the token's user {named} is neither a user here nor in an accepted domain")
        return AvatarId(named)


def make_checker(
    config: Config,
    users: IUsers,
    clock: IReactorTime,
    in_thread: Callable[..., Deferred[Any]],
    fetch: Callable[[str], Deferred[bytes]],
) -> OAuthChecker:
    """The checker for C{oauth_providers}.

    @param in_thread: calls a function with arguments in a thread.
    @param fetch: gives the octets at an https address.
    """

    def keys(settings: OAuthProvider) -> Keys:
        return FileKeys(settings.keys_file, in_thread) if settings.keys_file else FetchedKeys(settings.keys_url, fetch, clock)

    providers = [Provider(settings, keys(settings)) for settings in config.oauth_providers]
    return OAuthChecker(providers, users, DomainIndex(config.accepted_domains))
