"""SCRAM verifiers of users that do not exist.

SCRAM tells a user's salt before anything is proved, so a login name that nobody has must get a salt as well: always the same one, also
after a restart, and in all that can be compared just as if the user existed.  Otherwise anyone could ask which users there are.

Sources: RFC 5802 section 9 (the server's first message), RFC 4954 section 9.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Sequence

from twistedrelay.config.replace import LockedFile
from twistedrelay.values.scram import ScramVerifier

_SIZE = 32  #: octets of a secret, a key, and of the salts that this relay makes
_ITERATIONS = 4096  #: of the verifiers that this relay makes


def lasting_secret(path: str) -> bytes:
    """The secret in a file that only we can read; made where there is none.  Blocks.  L{OSError} where it cannot be had."""
    with LockedFile(path) as file:
        try:
            secret = bytes.fromhex(file.read())
        except ValueError:
            secret = b""
        if len(secret) != _SIZE:
            secret = secrets.token_bytes(_SIZE)
            file.write(secret.hex() + "\n")
    return secret


class Simulation:
    """Makes verifiers from a secret; nobody can have the password to one.

    @param secret: as lasting as the users are.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def verifier(self, name: str, others: Sequence[str], verifier_of: Callable[[str], ScramVerifier]) -> ScramVerifier:
        """The verifier of a name.

        @param name: in lower case; without a domain it belongs to a domain of the others', as it would if the user existed.
        @param others: the login names that there are; what is simulated looks like one of theirs.
        @param verifier_of: gives that.
        """
        local, at, domain = name.rpartition("\\")[2].partition("@")
        size, iterations = _SIZE, _ITERATIONS
        if others:
            address = others[int.from_bytes(self._derive("choice", local)[:8], "big") % len(others)]
            like = verifier_of(address)
            size, iterations = len(like.salt), like.iterations
            domain = domain if at else address.rpartition("@")[2]
        address = f"{local}@{domain}"
        salt = b"".join(self._derive(f"salt {count}", address) for count in range(-(-size // _SIZE)))[:size]
        return ScramVerifier(salt, iterations, self._derive("stored key", address), self._derive("server key", address))

    def _derive(self, purpose: str, name: str) -> bytes:
        return hmac.digest(self._secret, f"{purpose}\0{name}".encode("utf-8", "surrogatepass"), "sha256")
