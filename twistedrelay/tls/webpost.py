"""What webhooks post with: an address, and whom to trust there.

It decides what of an answer matters to a webhook: its status, how long to wait (C{Retry-After} in seconds), and of a refusal its beginning.

Source: RFC 9110 (Retry-After).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from twistedrelay.tls.webclient import WebClient, WebError, trust

#: Seconds for a whole request.
TIMEOUT = 10.0

#: Octets of an answer that are looked at, and that may come.
SHOWN = 1000
LONGEST = 64 * 1024

_SECONDS = re.compile(r"\d{1,6}", re.ASCII)


def poster(reactor: Any, url: str, ca_file: str) -> Callable[[bytes, dict[str, str]], Deferred[tuple[int, float, str]]]:
    """What posts to an address: gives the status, how many seconds to wait where that was said, and the beginning of the body.

    It fails with L{twistedrelay.tls.webclient.WebError}; cancelled, with L{twisted.internet.defer.CancelledError}.

    @raise ValueError: C{ca_file} has no certificates.
    @raise OSError: it cannot be read.
    """
    client = WebClient(reactor, _trusted(ca_file), seconds=TIMEOUT, octets=LONGEST, clear=True)

    async def post(body: bytes, headers: dict[str, str]) -> tuple[int, float, str]:
        answer = bytearray()
        try:
            response = await client.post(url, body, headers, answer.extend)
        except WebError as error:
            if 200 <= error.status < 300:  # a yes whose body never ends is a yes
                return error.status, 0.0, ""
            raise
        asked = (response.headers.getRawHeaders("retry-after") or [""])[0].strip()
        seconds = float(asked) if _SECONDS.fullmatch(asked) else 0.0
        return response.code, seconds, bytes(answer[:SHOWN]).decode("utf-8", "replace")

    return lambda body, headers: Deferred.fromCoroutine(post(body, headers))


def _trusted(path: str) -> Any:
    if not path:
        return None
    with open(path, "rb") as stream:
        content = stream.read()
    try:
        return trust(content)
    except ValueError:
        raise ValueError(f"there is no certificate in {path}") from None
