"""OAuth 2.0 messages of a client: requests for tokens as octets, answers as values.

Decides what is asked and how an answer or an error reads; it does no I/O and keeps nothing.  Secrets are in no error.

Needs the extra C{[oauth]}; import it only where OAuth is configured.

Sources: RFC 6749 (sections 2.3.1, 4.1, 4.4, 5 and 6), RFC 7636 (PKCE), RFC 8628 (device authorization).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

import attrs
from oauthlib.oauth2 import OAuth2Error
from oauthlib.oauth2.rfc6749.parameters import parse_token_response, prepare_grant_uri, prepare_token_request

from twistedrelay.values.printable import masked

#: Octets of an answer; a longer one is none.
LONGEST_ANSWER = 256 * 1024

#: Seconds that a token lasts where the server does not say.
LIFETIME = 3600.0

#: What requests are sent with.
HEADERS = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}

_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_TOKEN = re.compile(r"[\x21-\x7e]{1,65536}")
_CODE = re.compile(r"[a-zA-Z0-9_.-]{1,100}")
_LONGEST_REASON = 300
_LONGEST_WAIT = 86400  #: seconds that a device code lasts


class OAuthError(Exception):
    """There is no token; C{str()} says why, in the server's words: show it by L{shown}.

    @ivar code: the server's error code, such as C{"invalid_grant"}; C{""} where it gave none.
    """

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(masked(text, " "))
        self.code = code

    def shown(self, secrets: Iterable[str] = ()) -> str:
        """The text, of bounded length, without what a server may echo."""
        text = str(self)
        for secret in secrets:
            text = text.replace(secret, "***") if secret else text
        return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}…"


@attrs.frozen(slots=True)
class Tokens:
    """What a token endpoint gave.

    @ivar lifetime: seconds that the access token lasts.
    @ivar refresh: a new refresh token that takes the place of the old one, or C{""}.
    """

    access: str = attrs.field(repr=False)
    lifetime: float
    refresh: str = attrs.field(default="", repr=False)


@attrs.frozen(slots=True)
class DeviceCode:
    """What a person has to do, and how to find out that it was done.

    @ivar url: the page to open.
    @ivar user_code: what to type there.
    @ivar complete_url: the page with the code in it, or C{""}.
    @ivar interval: seconds between two questions.
    """

    device_code: str = attrs.field(repr=False)
    user_code: str
    url: str
    complete_url: str
    lifetime: float
    interval: float


def refresh_request(client_id: str, secret: str, refresh_token: str, scope: str) -> bytes:
    """Ask for an access token by a refresh token (RFC 6749 section 6)."""
    return _request("refresh_token", client_id, secret, scope, refresh_token=refresh_token)


def client_request(client_id: str, secret: str, scope: str) -> bytes:
    """Ask for an access token in the client's own name (RFC 6749 section 4.4)."""
    return _request("client_credentials", client_id, secret, scope)


def code_request(client_id: str, secret: str, code: str, redirect_uri: str, verifier: str) -> bytes:
    """Ask for tokens by an authorization code (RFC 6749 section 4.1.3, RFC 7636 section 4.5)."""
    return _request("authorization_code", client_id, secret, "", code=code, redirect_uri=redirect_uri, code_verifier=verifier)


def device_token_request(client_id: str, secret: str, device_code: str) -> bytes:
    """Ask whether the person is done (RFC 8628 section 3.4)."""
    return _request(_DEVICE_GRANT, client_id, secret, "", device_code=device_code)


def device_request(client_id: str, scope: str) -> bytes:
    """Ask for a code to show (RFC 8628 section 3.1)."""
    return urlencode({"client_id": client_id, "scope": scope}).encode("ascii")


def authorization_uri(url: str, client_id: str, redirect_uri: str, scope: str, state: str, challenge: str) -> str:
    """The page where a person agrees (RFC 6749 section 4.1.1, RFC 7636 section 4.3)."""
    proof = {"code_challenge": challenge, "code_challenge_method": "S256"}
    return str(prepare_grant_uri(url, client_id, "code", redirect_uri=redirect_uri, scope=scope, state=state, **proof))


def _request(grant: str, client_id: str, secret: str, scope: str, **more: str) -> bytes:
    parameters = {"client_id": client_id, **({"client_secret": secret} if secret else {}), **({"scope": scope} if scope else {}), **more}
    return str(prepare_token_request(grant, include_client_id=True, **parameters)).encode("ascii")


def tokens_of(status: int, answer: bytes) -> Tokens:
    """The tokens of an answer of the token endpoint.

    @raise OAuthError: there are none in it.
    """
    data = _answer(status, answer)
    try:
        parsed = parse_token_response(json.dumps({key: value for key, value in data.items() if key != "scope"}))
    except OAuth2Error as error:
        raise OAuthError(f"{error.error}: {error.description}" if error.description else str(error.error), str(error.error)) from None
    except (ValueError, TypeError, OverflowError):
        raise OAuthError("the answer of the token endpoint cannot be understood") from None
    access, refresh = parsed["access_token"], parsed.get("refresh_token", "")
    if not isinstance(access, str) or not _TOKEN.fullmatch(access):
        raise OAuthError("the access token holds characters that no token may hold")
    if str(parsed.get("token_type", "Bearer")).lower() != "bearer":
        raise OAuthError("the token endpoint gives tokens of another type than Bearer")
    lifetime = float(parsed.get("expires_in") or LIFETIME)
    valid = isinstance(refresh, str) and _TOKEN.fullmatch(refresh)
    return Tokens(access, lifetime if lifetime > 0 else LIFETIME, refresh if valid else "")


def device_code_of(status: int, answer: bytes) -> DeviceCode:
    """The codes of an answer of the device authorization endpoint.

    @raise OAuthError: there are none in it.
    """
    data = _answer(status, answer)
    try:
        url = data.get("verification_uri") or data["verification_url"]  # Google's spelling
        return DeviceCode(
            str(data["device_code"]),
            masked(str(data["user_code"])),
            masked(str(url)),
            masked(str(data.get("verification_uri_complete", ""))),
            _seconds(data.get("expires_in", 900)),
            _seconds(data.get("interval", 5)),
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        raise OAuthError("the answer of the device authorization endpoint cannot be understood") from None


def _seconds(number: Any) -> float:
    return float(min(max(int(number), 1), _LONGEST_WAIT))


def _answer(status: int, answer: bytes) -> dict[str, Any]:
    """The object in an answer that is no error."""
    try:
        data = json.loads(answer)
    except (ValueError, RecursionError):
        data = None
    if isinstance(data, dict) and isinstance(data.get("error"), str) and _CODE.fullmatch(data["error"]):
        said = data.get("error_description")
        reason = f": {said}" if isinstance(said, str) and said else ""
        raise OAuthError(f"{data['error']}{reason}", data["error"])
    if status != 200 or not isinstance(data, dict):
        raise OAuthError(f"HTTP status {status}" if status != 200 else "the answer is no JSON object")
    return data
