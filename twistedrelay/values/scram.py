"""What a server keeps of a password for SCRAM-SHA-256, and what it proves with it.

Never sees a password: a verifier tells whether a client knows it, and shows the client that the server knows the verifier.

Sources: RFC 5802 section 3 (the keys), RFC 7677 (SHA-256), RFC 5803 (the verifier as text).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re

import attrs

_TEXT = re.compile(r"SCRAM-SHA-256\$([1-9][0-9]{3,6}):([A-Za-z0-9+/]+={0,2})\$([A-Za-z0-9+/]+={0,2}):([A-Za-z0-9+/]+={0,2})")


@attrs.frozen(slots=True)
class ScramVerifier:
    """The verifier of one password.

    @ivar iterations: how often PBKDF2 was applied to the password.
    """

    salt: bytes
    iterations: int
    stored_key: bytes = attrs.field(repr=False)
    server_key: bytes = attrs.field(repr=False)

    @classmethod
    def parse(cls, text: str) -> ScramVerifier:
        """From C{SCRAM-SHA-256$iterations:salt$stored key:server key}.

        @raise ValueError: it is not such a text; the text is not in the error.
        """
        found = _TEXT.fullmatch(text)
        if found is None:
            raise ValueError("no SCRAM-SHA-256 verifier (RFC 5803)")
        try:
            salt, stored, server = (base64.b64decode(part, validate=True) for part in found.groups()[1:])
        except binascii.Error:
            raise ValueError("no SCRAM-SHA-256 verifier (RFC 5803)") from None
        return cls(salt, int(found[1]), stored, server)

    def is_proof(self, auth_message: bytes, proof: bytes) -> bool:
        """Whether the client knows the password; in constant time."""
        if len(proof) != hashlib.sha256().digest_size:
            return False
        signature = hmac.digest(self.stored_key, auth_message, "sha256")
        client_key = bytes(ours ^ theirs for ours, theirs in zip(signature, proof, strict=True))
        return hmac.compare_digest(hashlib.sha256(client_key).digest(), self.stored_key)

    def signature(self, auth_message: bytes) -> bytes:
        """What shows the client that we know its verifier."""
        return hmac.digest(self.server_key, auth_message, "sha256")
