"""Getting a person's consent for a send connector: by a device code, or by a page whose address the person brings back.

It decides how long to wait and how often to ask.  What is shown, and how requests are sent, is the caller's.

Needs the extra C{[oauth]}.

Sources: RFC 8628 (device codes: interval, slow_down, time-outs), RFC 6749 section 4.1 with RFC 7636 (PKCE) and RFC 8252 section 7.3
(loopback redirection), for providers that have no device codes for mail.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import secrets
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from twistedrelay import __version__
from twistedrelay.config.sending import OAuthClient
from twistedrelay.values import oauth
from twistedrelay.values.oauth import DeviceCode, OAuthError, Tokens

#: Sends a request to an address: status and octets.
Post = Callable[[str, bytes], tuple[int, bytes]]

#: Seconds for one request.
TIMEOUT = 20.0

#: Where the browser is sent with the code; nobody listens there: the person copies the address.
REDIRECT = "http://127.0.0.1:49999/"

_SLOWER = 5.0  #: seconds more between questions (RFC 8628 section 3.5)
_SLOWEST = 60.0

_MEANINGS = {
    "access_denied": "the person, or a policy of the organisation, has said no",
    "expired_token": "the code has expired; run the command again",
}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A token endpoint that sends us elsewhere gets no secret."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def https_post(ca_file: str) -> Post:
    """Sends requests by HTTPS.

    @param ca_file: whom to trust; empty: the system's authorities.
    """
    context = ssl.create_default_context(cafile=ca_file or None)
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _NoRedirect)

    def post(url: str, body: bytes) -> tuple[int, bytes]:
        request = urllib.request.Request(url, body, {**oauth.HEADERS, "User-Agent": f"twistedrelay/{__version__}"})
        try:
            with opener.open(request, timeout=TIMEOUT) as response:
                return response.status, response.read(oauth.LONGEST_ANSWER)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(oauth.LONGEST_ANSWER)
        except urllib.error.URLError as error:
            raise OAuthError(f"{url}: {getattr(error.reason, 'strerror', None) or error.reason}") from None
        except OSError as error:
            raise OAuthError(f"{url}: {error.strerror or error}") from None
        except http.client.HTTPException as error:
            raise OAuthError(f"{url}: the answer is no HTTP ({type(error).__name__})") from None

    return post


def by_device(
    client: OAuthClient,
    secret: str,
    post: Post,
    show: Callable[[DeviceCode], None],
    waiting: Callable[[float], None],
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Tokens:
    """Wait until a person has typed a code into a page.

    @param show: shows what to do.
    @param waiting: is told how many seconds are left.
    @raise OAuthError: there are no tokens.
    """
    code = oauth.device_code_of(*post(client.device_authorization_url, oauth.device_request(client.client_id, client.scope)))
    show(code)
    deadline, interval = clock() + code.lifetime, code.interval
    while (left := deadline - clock()) > 0:
        waiting(left)
        sleep(min(interval, left))
        try:
            return oauth.tokens_of(*post(client.token_url, oauth.device_token_request(client.client_id, secret, code.device_code)))
        except OAuthError as error:
            if error.code == "slow_down":
                interval += _SLOWER
            elif not error.code:  # the network or the server failed: less often
                interval = min(interval * 2, max(_SLOWEST, interval))
            elif error.code != "authorization_pending":
                raise OAuthError(_explained(error.code, str(error)), error.code) from None
    raise OAuthError(_MEANINGS["expired_token"], "expired_token")


def by_page(client: OAuthClient, secret: str, post: Post, ask: Callable[[str], str]) -> Tokens:
    """Wait until a person has agreed on a page and brings back the address that the browser was sent to.

    @param ask: shows the page's address and returns what the person brings.
    @raise OAuthError: there are no tokens.
    """
    state, verifier = secrets.token_urlsafe(16), secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode("ascii")
    page = oauth.authorization_uri(client.authorization_url, client.client_id, REDIRECT, client.scope, state, challenge)
    code = _code_in(ask(page), state)
    return oauth.tokens_of(*post(client.token_url, oauth.code_request(client.client_id, secret, code, REDIRECT, verifier)))


def _code_in(address: str, state: str) -> str:
    """The code in the address that the browser was sent to."""
    try:
        query = parse_qs(urlsplit(address.strip()).query)
    except ValueError:
        query = {}
    if "error" in query:
        error = query["error"][0]
        raise OAuthError(_explained(error, error), error)
    if not query.get("code"):
        raise OAuthError("there is no code in that address; copy all of it, from the browser's address bar")
    if not hmac.compare_digest(query.get("state", [""])[0].encode(), state.encode()):
        raise OAuthError("that address belongs to another attempt; run the command again")
    return query["code"][0]


def _explained(code: str, text: str) -> str:
    return f"{_MEANINGS[code]} ({text})" if code in _MEANINGS else text


def by_itself(client: OAuthClient, secret: str, post: Post) -> Tokens:
    """A token in the application's own name, to see whether it would get one.

    @raise OAuthError: there is none.
    """
    return oauth.tokens_of(*post(client.token_url, oauth.client_request(client.client_id, secret, client.scope)))
