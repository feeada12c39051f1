"""The access tokens of one token source: kept in memory, fetched when one is needed, renewed ahead of their end.

However many connections wait for a token, there is one request.  While an old token is still good it serves during the request, and if
that fails.  A failed request is repeated ever later (5 seconds to 5 minutes); until then whoever asks is told the reason at once.  A new
refresh token is on the disk before the access token that came with it is used; if a person has written another one meanwhile, that one
stays.  A grant that a person has renewed (the file has changed) is used at once.

Source: RFC 6749 sections 5.1, 5.2, 6 and 10.4 (rotation).
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from twistedrelay.delivery.secrets import SecretError, TokenError, located, read_secret
from twistedrelay.values import oauth
from twistedrelay.values.oauth import OAuthError, Tokens
from twistedrelay.values.printable import public_url
from twistedrelay.values.route import TokenSource

#: A token is renewed when less than this is left of it: seconds, and a part of its life.
AHEAD = (300.0, 0.2)

#: A token is not used any more when less than this is left of it, likewise: it has to get to the server.
SLACK = (10.0, 0.05)

#: Seconds between failed requests: at first and at most.
BACK_OFF = (5.0, 300.0)

#: Seconds within which only one token is thrown away because a server refused it.
REFUSALS = 120.0

Stamp = Any
#: Calls a function with arguments in a thread.
InThread = Callable[..., Deferred[Any]]


class Endpoint(Protocol):
    """Who asks."""

    def post(self, url: str, body: bytes, pem: bytes = b"") -> Awaitable[tuple[int, bytes]]:
        """The status and the octets of an answer; raises L{OAuthError}."""


class Files(Protocol):
    """How a refresh token is kept; each blocks."""

    def stamp_of(self, path: str) -> Stamp:
        """A value that changes when the file does; None where there is none."""

    def replace(self, path: str, text: str) -> None:
        """Replace its content in one step."""


class _Held(Exception):
    """It is too early to ask again."""


@attrs.frozen
class _Request:
    """What a request is made of."""

    body: bytes
    pem: bytes
    secrets: tuple[str, ...]


class TokenKeeper:
    """The tokens of one source.

    @param report: takes what an administrator has to know.
    """

    def __init__(
        self,
        source: TokenSource,
        clock: IReactorTime,
        in_thread: InThread,
        endpoint: Endpoint,
        files: Files,
        report: Callable[[str], None],
    ) -> None:
        self._source = source
        self._clock = clock
        self._in_thread = in_thread
        self._endpoint = endpoint
        self._files = files
        self._report = report
        self._token = ""
        self._expires = self._renew = 0.0
        self._waiting: list[Deferred[str]] = []
        self._fetching = False
        self._failures = 0
        self._reason = ""
        self._next_try = 0.0
        self._dropped = float("-inf")
        self._seen: Stamp = None  # what the files were like at the last request
        self._unsaved: tuple[Stamp, str] | None = None  # a refresh token that could not be written, and of which file

    def token(self) -> Deferred[str]:
        """A token that is good now.  Fails with L{TokenError}."""
        now = self._clock.seconds()
        good = bool(self._token) and now < self._expires
        done: Deferred[str] = Deferred(self._given_up)
        if good:
            done.callback(self._token)
        else:
            self._waiting.append(done)
        if (not good or now >= self._renew) and not self._fetching:
            self._begin(now)
        return done

    def refused(self, token: str) -> bool:
        """A server has refused a token: throw it away, if it is still the one.  Whether there is another one to try."""
        if token != self._token:
            return True
        now = self._clock.seconds()
        if now - self._dropped < REFUSALS:
            return False
        self._dropped, self._token = now, ""
        return True

    def _given_up(self, waiting: Deferred[str]) -> None:
        """Somebody waits no more; the request goes on for the others and for later."""
        self._waiting.remove(waiting)

    def _begin(self, now: float) -> None:
        self._fetching = True
        Deferred.fromCoroutine(self._fetch(now)).addCallbacks(self._fetched, self._failed)

    async def _fetch(self, now: float) -> Tokens:
        source = self._source
        stamp = await self._in_thread(self._stamp)
        if now < self._next_try and stamp == self._seen:
            raise _Held
        self._seen = stamp
        request: _Request = await self._in_thread(self._prepare, stamp)
        try:
            status, answer = await self._endpoint.post(source.token_url, request.body, request.pem)
            tokens = oauth.tokens_of(status, answer)
        except OAuthError as error:
            raise TokenError(_advice(source, error.code, error.shown(request.secrets))) from None
        if tokens.refresh and source.grant_type == "refresh_token" and tokens.refresh not in request.secrets:
            await self._in_thread(self._keep, tokens.refresh, stamp)
        return tokens

    def _fetched(self, tokens: Tokens) -> None:
        now = self._clock.seconds()
        self._token = tokens.access
        self._expires = now + tokens.lifetime - min(SLACK[0], tokens.lifetime * SLACK[1])
        self._renew = now + tokens.lifetime - min(AHEAD[0], tokens.lifetime * AHEAD[1])
        if self._failures:
            self._report(f"the token endpoint {public_url(self._source.token_url)} gives access tokens again")
        self._failures, self._next_try, self._reason = 0, 0.0, ""
        self._end(lambda waiting: waiting.callback(tokens.access))

    def _failed(self, failure: Failure) -> None:
        if failure.check(_Held) is None:
            self._count(_reason(failure))
        self._renew = max(self._renew, self._next_try)
        self._end(lambda waiting: waiting.errback(TokenError(self._reason)))

    def _count(self, reason: str) -> None:
        first, most = BACK_OFF
        self._next_try = self._clock.seconds() + min(first * 2.0 ** min(self._failures, 10), most)
        self._failures += 1
        if reason != self._reason:
            self._report(reason)
        self._reason = reason

    def _end(self, tell: Callable[[Deferred[str]], None]) -> None:
        self._fetching = False
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            tell(one)

    # In threads.

    def _stamp(self) -> Stamp:
        """Changes when somebody has renewed the grant or the secret."""
        stamps = []
        for path in (self._source.refresh_token_file, self._source.client_secret_file):
            try:
                stamps.append(self._files.stamp_of(located(path)) if path else None)
            except (OSError, SecretError):
                stamps.append(None)
        return tuple(stamps)

    def _prepare(self, stamp: Stamp) -> _Request:
        source = self._source
        secret = read_secret(source.client_secret_file) if source.client_secret_file else ""
        pem = b""
        if source.ca_file:
            with open(source.ca_file, "rb") as stream:
                pem = stream.read()
        if source.grant_type == "client_credentials":
            refresh = ""
            body = oauth.client_request(source.client_id, secret, source.scope)
        else:
            refresh = self._refresh_token(stamp)
            body = oauth.refresh_request(source.client_id, secret, refresh, source.scope)
        return _Request(body, pem, tuple(filter(None, (secret, refresh))))

    def _refresh_token(self, stamp: Stamp) -> str:
        if self._unsaved is not None and self._unsaved[0] == stamp:
            return self._unsaved[1]
        try:
            return read_secret(self._source.refresh_token_file)
        except SecretError as error:
            raise TokenError(f"There is no grant for the smart host yet; run: {_command(self._source)} ({error})") from None

    def _keep(self, refresh: str, stamp: Stamp) -> None:
        if self._stamp() != stamp:  # a person was faster
            return
        path = self._source.refresh_token_file
        try:
            self._files.replace(os.path.realpath(path), refresh + "\n")
            self._unsaved = None
        except (OSError, SecretError) as error:
            self._unsaved = (stamp, refresh)
            reason = getattr(error, "strerror", None) or str(error)
            self._report(f"{path} cannot be written ({reason}): the new refresh token is lost when the relay stops")


def _command(source: TokenSource) -> str:
    return f"relayctl send-connector authorize {shlex.quote(source.connector)}"


def _advice(source: TokenSource, code: str, text: str) -> str:
    """Why there is no token, and who can do what about it."""
    if code == "invalid_grant" and source.grant_type == "refresh_token":
        return f"The grant for the smart host is not valid any more; run: {_command(source)} ({text})"
    if code in ("invalid_client", "unauthorized_client"):
        return f"No access token for the smart host: check client_id and the client secret, which may have expired ({text})"
    return f"No access token for the smart host: {text} ({public_url(source.token_url)})"


def _reason(failure: Failure) -> str:
    error = failure.value
    if isinstance(error, TokenError):
        return str(error)
    if isinstance(error, OSError):
        return f"No access token for the smart host: {error.filename}: {error.strerror}"
    return f"No access token for the smart host: {error if isinstance(error, SecretError) else type(error).__name__}"
