"""The SASL mechanisms that there are, and which of them a client may use now.

Source: RFC 4954 section 3; RFC 8314 section 3 (nothing that can be read on the way in clear text).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

from twistedrelay.values import reply as replies
from twistedrelay.values.reply import Reply
from twistedrelay.wire.bearer import OAuthBearer, XOAuth2
from twistedrelay.wire.sasl import CramMD5, External, Login, Mechanism, Plain
from twistedrelay.wire.scram import Scram
from twistedrelay.wire.settings import ServerSettings

_PLUS = "SCRAM-SHA-256-PLUS"

#: Those that need TLS whatever the connector says: to bind to, to have a certificate of, or to hide a token in.
TLS_ONLY = frozenset({_PLUS, "EXTERNAL", "XOAUTH2", "OAUTHBEARER"})


def offered(settings: ServerSettings, secure: bool) -> tuple[str, ...]:
    """The mechanisms that may be used now, in the order to offer them."""
    if secure:
        return settings.auth_mechanisms
    if settings.auth_requires_tls:
        return ()
    return tuple(name for name in settings.auth_mechanisms if name not in TLS_ONLY)


def _scram(name: str, settings: ServerSettings, secure: bool) -> Mechanism:
    return Scram(name == _PLUS, _PLUS in offered(settings, secure))


def _cram(name: str, settings: ServerSettings, secure: bool) -> Mechanism:
    return CramMD5(f"<{secrets.token_hex(16)}.{int(time.time())}@{settings.fqdn}>".encode())


#: By name in upper case.
MECHANISMS: dict[str, Callable[[str, ServerSettings, bool], Mechanism]] = {
    "LOGIN": lambda name, settings, secure: Login(),
    "PLAIN": lambda name, settings, secure: Plain(),
    "SCRAM-SHA-256-PLUS": _scram,
    "SCRAM-SHA-256": _scram,
    "CRAM-MD5": _cram,
    "EXTERNAL": lambda name, settings, secure: External(),
    "XOAUTH2": lambda name, settings, secure: XOAuth2(),
    "OAUTHBEARER": lambda name, settings, secure: OAuthBearer(),
}


def refusal(settings: ServerSettings, secure: bool, name: str) -> Reply | None:
    """Why a mechanism cannot be used now, or None."""
    if not name:
        return replies.BAD_ARGUMENTS
    if name not in settings.auth_mechanisms:
        return replies.UNRECOGNIZED_AUTH
    return None if name in offered(settings, secure) else replies.AUTH_NEEDS_TLS
