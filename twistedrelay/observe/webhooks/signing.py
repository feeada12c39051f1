"""The signature of what is posted: who has the key can tell that it comes from here, when, and that nobody changed it.

Source: Standard Webhooks (webhook-id, webhook-timestamp, webhook-signature); RFC 2104, RFC 6234 (HMAC-SHA-256).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

#: Octets of a key at least.
SHORTEST = 24

_PREFIX = b"whsec_"


def key_of(content: bytes) -> bytes:
    """The key in a file: its text as it stands, or what C{whsec_...} encodes.

    @raise ValueError: it is too short, or not what it says.
    """
    text = content.strip()
    if text.startswith(_PREFIX):
        try:
            text = base64.b64decode(text[len(_PREFIX) :], validate=True)
        except binascii.Error:
            raise ValueError("the key is not in base64 behind whsec_") from None
    if len(text) < SHORTEST:
        raise ValueError(f"the key has {len(text)} octets; it needs {SHORTEST} or more, such as `openssl rand -base64 32` makes")
    return text


def headers(key: bytes, identity: str, timestamp: int, body: bytes) -> dict[str, str]:
    """What says which event it is, when it was sent, and the signature over both and the body."""
    signed = b"%s.%d." % (identity.encode("ascii"), timestamp) + body
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode("ascii")
    return {"webhook-id": identity, "webhook-timestamp": str(timestamp), "webhook-signature": f"v1,{signature}"}
