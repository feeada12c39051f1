"""Connections to the servers of a directory, for one thread each.

Decides which server is asked (the first of the list that works; one that failed is left alone for a while) and when a connection is made
anew.  Every step has a time limit, certificates are always verified, and referrals are never followed: they would carry a password to a
server that nobody named.  All of it blocks.

Sources: RFC 4511, RFC 4513 (StartTLS, simple bind), ldap_set_option(3).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import ldap
from twisted.logger import Logger

from twistedrelay.policy.external.ldap_settings import ServerSettings
from twistedrelay.policy.threads import LoginUnavailable

_Result = TypeVar("_Result")

_LEFT_ALONE = 30.0  #: seconds that a server which failed is asked last
_LONGEST_LIFE = 300.0  #: seconds until a connection is made anew: the way back to the first server of the list

#: Failures of a server or of the way to it: another one may do better.
_BROKEN = (
    ldap.SERVER_DOWN,
    ldap.CONNECT_ERROR,
    ldap.TIMEOUT,
    ldap.TIMELIMIT_EXCEEDED,
    ldap.UNAVAILABLE,
    ldap.BUSY,
    ldap.PROTOCOL_ERROR,
    ldap.LOCAL_ERROR,
)


class _Kept:
    """A connection of one thread for one purpose."""

    def __init__(self, connection: Any, made: float) -> None:
        self.connection = connection
        self.made = made


class Servers:
    """The servers of a directory.  Threads share what is known of them and nothing else."""

    _log = Logger()

    def __init__(self, settings: ServerSettings, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._monotonic = monotonic
        self._failed: dict[str, float] = {}
        self._mine = threading.local()

    def use(self, purpose: str, prepare: Callable[[Any], None], work: Callable[[Any], _Result]) -> _Result:
        """Do something over this thread's connection for a purpose.

        @param prepare: called with a new connection before its first work.
        @param work: called with the connection; called again with another one where a server failed.
        @raise LoginUnavailable: no server could do it.
        """
        kept: dict[str, _Kept] = self._mine.__dict__.setdefault("kept", {})
        old = kept.pop(purpose, None)
        if old is not None:
            if self._monotonic() - old.made < _LONGEST_LIFE:
                with contextlib.suppress(*_BROKEN):  # the server ends idle connections; a new one will tell
                    return _keeping(kept, purpose, old, work)
            _close(old.connection)
        reason = ""
        for url in self._order():
            connection = None
            try:
                connection = self._connect(url)
                prepare(connection)
                result = _keeping(kept, purpose, _Kept(connection, self._monotonic()), work)
            except _BROKEN as error:
                reason = f"{url}: {told(error)}"
                self._failed[url] = self._monotonic()
                self._log.error("the directory server {url} fails: {reason}", url=url, reason=told(error))
                _close(connection)
            except Exception:
                if purpose not in kept:
                    _close(connection)
                raise
            else:
                self._failed.pop(url, None)
                return result
        raise LoginUnavailable(f"no directory server could be asked; the last: {reason}")

    def _order(self) -> list[str]:
        """The servers as configured, but those that failed lately at the end."""
        now = self._monotonic()
        return sorted(self._settings.urls, key=lambda url: now - self._failed.get(url, float("-inf")) < _LEFT_ALONE)

    def _connect(self, url: str) -> Any:
        """A connection, under TLS where that is asked for.  No password has crossed it yet."""
        settings = self._settings
        connection = ldap.initialize(url)
        connection.protocol_version = ldap.VERSION3
        connection.timeout = settings.timeout
        for option, value in (
            (ldap.OPT_REFERRALS, ldap.OPT_OFF),
            (ldap.OPT_NETWORK_TIMEOUT, settings.timeout),
            (ldap.OPT_TIMEOUT, settings.timeout),
            (ldap.OPT_RESTART, ldap.OPT_ON),
        ):
            connection.set_option(option, value)
        if not url.startswith("ldapi:"):
            connection.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_DEMAND)
            if settings.tls_ca_file:
                connection.set_option(ldap.OPT_X_TLS_CACERTFILE, settings.tls_ca_file)
            connection.set_option(ldap.OPT_X_TLS_NEWCTX, 0)  # takes the options above
            if url.startswith("ldap:") and settings.start_tls:
                connection.start_tls_s()
        return connection


def _keeping(kept: dict[str, _Kept], purpose: str, one: _Kept, work: Callable[[Any], _Result]) -> _Result:
    """Do the work, and keep the connection for the next one unless it broke: a refusal leaves it as good as it was."""
    try:
        result = work(one.connection)
    except _BROKEN:
        raise
    except Exception:
        kept[purpose] = one
        raise
    kept[purpose] = one
    return result


def _close(connection: Any) -> None:
    with contextlib.suppress(ldap.LDAPError):
        if connection is not None:
            connection.unbind_s()


def bind_service(connection: Any, bind_dn: str, password_file: str) -> None:
    """Bind as the relay itself.  The password is read anew for each connection, so that it can be changed."""
    with open(password_file, encoding="utf-8") as stream:
        password = stream.readline().rstrip("\r\n")
    if not password:
        raise LoginUnavailable(f"{password_file} holds no password")
    try:
        connection.simple_bind_s(bind_dn, password)
    except ldap.INVALID_CREDENTIALS:
        raise LoginUnavailable(f"the directory refuses {bind_dn} with the password of password_file") from None


def told(error: Exception) -> str:
    """What the library says of a failure: its words, never the operation's arguments."""
    details = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    words = [str(details[key]) for key in ("desc", "info") if details.get(key)]
    if "(unknown error code)" in words:  # how GnuTLS takes leave from a certificate
        words[-1] = "no reason given; often the server's certificate: its names, or who signed it (tls_ca_file)"
    return ": ".join(words) or type(error).__name__
