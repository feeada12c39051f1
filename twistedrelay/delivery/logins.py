"""Secrets for smart hosts, at the moment they are needed.

Passwords are read for each new connection, so that a renewed file counts at once.  Access tokens are kept by L{TokenKeeper}, one for each
token source.  Nothing secret is in an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from zope.interface import implementer

from twistedrelay.delivery.secrets import SecretError, TokenError, read_secret
from twistedrelay.delivery.session import own_reply
from twistedrelay.interfaces import ILogins, LoginError
from twistedrelay.values.route import Login, TokenSource
from twistedrelay.wire.client_values import Credentials

if TYPE_CHECKING:
    from twistedrelay.delivery.tokens import Endpoint, Files, TokenKeeper


def _nobody(text: str) -> None:
    """Nobody is told."""


@implementer(ILogins)
class Logins:
    """Reads and fetches.

    @param reactor: TCP, time, and the thread pool for files.
    @param files: reads the stamp of a file and replaces its content (L{twistedrelay.config.replace}); only tokens need it.
    @param report: takes what an administrator has to know, from any thread.
    @param endpoint: who asks for tokens; made when first needed.
    """

    def __init__(
        self, reactor: Any, files: Files | None = None, report: Callable[[str], None] = _nobody, endpoint: Endpoint | None = None
    ) -> None:
        self._reactor = reactor
        self._files = files
        self._report = report
        self._endpoint = endpoint
        self._keepers: dict[TokenSource, TokenKeeper] = {}

    def credentials(self, login: Login) -> Deferred[Credentials]:
        """See L{ILogins.credentials}."""
        return Deferred.fromCoroutine(self._credentials(login))

    def refused(self, login: Login, credentials: Credentials) -> bool:
        """See L{ILogins.refused}.  A password is not tried again: that locks accounts."""
        keeper = self._keepers.get(login.tokens) if login.tokens is not None else None
        return keeper is not None and keeper.refused(credentials.token)

    async def _credentials(self, login: Login) -> Credentials:
        try:
            if login.tokens is None:
                password = await self._in_thread(read_secret, login.password_file)
                return Credentials(login.username, password, login.requires_tls)
            token = await self._keeper(login.tokens).token()
        except TokenError as error:
            raise LoginError(own_reply(454, "4.7.0", str(error))) from None
        except SecretError as error:
            raise LoginError(own_reply(454, "4.7.0", f"No password for the smart host: {error}")) from None
        return Credentials(login.username, token=token)

    def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), function, *arguments)

    def _keeper(self, source: TokenSource) -> TokenKeeper:
        keeper = self._keepers.get(source)
        if keeper is None:
            from twistedrelay.delivery.tokenendpoint import TokenEndpoint  # the extra [oauth]
            from twistedrelay.delivery.tokens import TokenKeeper

            assert self._files is not None
            if self._endpoint is None:
                self._endpoint = TokenEndpoint(self._reactor)
            keeper = TokenKeeper(source, self._reactor, self._in_thread, self._endpoint, self._files, self._report)
            self._keepers[source] = keeper
        return keeper
