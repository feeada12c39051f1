"""Whether a bearer token is good, and for whom.

A token is a JWT that was signed by a key of the provider that it names as its issuer, with an algorithm that fits the key, for our
audience, not expired, with the scope that we want.  What a token says about itself (its algorithm, its key) only ever chooses among what
the configuration allows.

Sources: RFC 7519 (JWT), RFC 8725 (best current practices), RFC 9068 (access tokens), OpenID Connect Core section 5.1 (email_verified).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import jwt
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import inlineCallbacks

from twistedrelay.config.schema import OAuthProvider
from twistedrelay.policy.oauth.keys import Key, Keys

_LEEWAY = 60  #: seconds that clocks may differ
#: What is wrong with a token, by PyJWT's error; its texts might quote the token.
_REASONS: Mapping[type[Exception], str] = {
    jwt.ExpiredSignatureError: "the token has expired",
    jwt.ImmatureSignatureError: "the token is not valid yet",
    jwt.InvalidAudienceError: "the token is for another audience",
    jwt.InvalidIssuerError: "the token is of another issuer",
    jwt.InvalidSignatureError: "the token's signature is wrong",
    jwt.MissingRequiredClaimError: "the token lacks one of exp, iss, aud",
}
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})


@attrs.frozen(slots=True)
class Provider:
    """A provider, and where its keys come from."""

    settings: OAuthProvider
    keys: Keys


def issuer_of(token: str) -> str:
    """Whom a token, of which nothing is known yet, names as its issuer.

    @raise UnauthorizedLogin: it is no token.
    """
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise UnauthorizedLogin("the token is no JWT") from None
    issuer = claims.get("iss")
    return issuer if isinstance(issuer, str) else ""


@inlineCallbacks
def user_of(token: str, provider: Provider) -> Any:
    """The user that a token names; fires with a string.

    Fails with L{UnauthorizedLogin}, or with L{KeysError<twistedrelay.policy.oauth.keys.KeysError>} where the provider's keys cannot be had.
    """
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise UnauthorizedLogin("the token is no JWT") from None
    if "crit" in header or str(header.get("typ", "JWT")).lower() not in _TYPES:
        raise UnauthorizedLogin("the token is not of a kind for logins")
    identity = header.get("kid")
    key = yield provider.keys.find(identity if isinstance(identity, str) else None)
    if key is None:
        raise UnauthorizedLogin("the token's key is not one of its provider's")
    return _named(_claims(token, header.get("alg"), key, provider.settings), provider.settings)


def _claims(token: str, algorithm: object, key: Key, settings: OAuthProvider) -> Mapping[str, Any]:
    """What a good token says."""
    if algorithm not in key.algorithms:
        raise UnauthorizedLogin("the token's algorithm does not fit its key")
    try:
        claims: Mapping[str, Any] = jwt.decode(
            token,
            key.key,
            algorithms=[str(algorithm)],
            issuer=settings.issuer,
            audience=settings.audience,
            leeway=_LEEWAY,
            options={"require": ["exp", "iss", "aud"]},
        )
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise UnauthorizedLogin(_REASONS.get(type(error), f"the token is not valid: {type(error).__name__}")) from None
    return claims


def _named(claims: Mapping[str, Any], settings: OAuthProvider) -> str:
    """The user, where the token has the scope that is required."""
    if settings.required_scope and settings.required_scope not in _scopes(claims):
        raise UnauthorizedLogin(f"the token lacks the scope {settings.required_scope}")
    user = claims.get(settings.user_claim)
    if not isinstance(user, str) or not user or not user.isprintable():
        raise UnauthorizedLogin(f"the token has no claim {settings.user_claim}")
    if settings.user_claim == "email" and claims.get("email_verified", True) not in (True, "true"):
        raise UnauthorizedLogin("the token's email address is not verified")
    return user


def _scopes(claims: Mapping[str, Any]) -> set[str]:
    """C{scope} of RFC 9068; C{scp} of Microsoft, a text or a list."""
    found: set[str] = set()
    for name in ("scope", "scp"):
        value = claims.get(name, "")
        parts = value.split() if isinstance(value, str) else value if isinstance(value, list) else []
        found |= {part for part in parts if isinstance(part, str)}
    return found
