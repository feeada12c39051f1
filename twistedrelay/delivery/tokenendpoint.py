"""Requests to a token endpoint: HTTPS with a verified certificate, bounded in size and time, without redirects.

Needs the extra C{[oauth]}; imported only where a login needs a token.

Source: RFC 6749 section 3.2.
"""

from __future__ import annotations

from typing import Any

from twistedrelay.tls.webclient import WebClient, WebError, trust
from twistedrelay.values.oauth import HEADERS, LONGEST_ANSWER, OAuthError

#: Seconds for a whole request.
TIMEOUT = 20.0


class TokenEndpoint:
    """Sends requests.

    @param reactor: TCP and time.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    async def post(self, url: str, body: bytes, pem: bytes = b"") -> tuple[int, bytes]:
        """The status and the octets of an answer.

        @param pem: the authorities to trust, the system's where empty.
        @raise OAuthError: there is no answer.
        """
        try:
            policy = trust(pem) if pem else None
        except ValueError:
            raise OAuthError("there is no certificate in ca_file") from None
        answer = bytearray()

        def take(octets: bytes) -> None:
            answer.extend(octets)
            if len(answer) > LONGEST_ANSWER:
                raise WebError(f"the answer is longer than {LONGEST_ANSWER} octets")

        client = WebClient(self._reactor, policy, seconds=TIMEOUT, octets=2 * LONGEST_ANSWER)
        try:
            response = await client.post(url, body, HEADERS, take)
        except WebError as error:
            raise OAuthError(str(error)) from None
        return response.code, bytes(answer)
