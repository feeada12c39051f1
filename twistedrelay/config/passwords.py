"""What is kept of a password: an argon2id hash for PLAIN and LOGIN, and a SCRAM-SHA-256 verifier.

Passwords are compared in Unicode normal form NFC, so that two keyboards that compose differently agree.  Everything here is slow by
intent and belongs in a thread.

Sources: RFC 9106 (argon2; its second recommended parameters), RFC 4013 (SASLprep), RFC 5803 and RFC 7677 (the verifier's format and
iteration count).
"""

from __future__ import annotations

import base64
import unicodedata

import argon2
import scramp
from scramp.utils import saslprep

_SCRAM_ROUNDS = 4096  #: RFC 7677 section 4

LONGEST = 1024  #: octets; longer ones are refused, as SASL names and passwords are (RFC 4616)


class PasswordError(ValueError):
    """A password cannot be set; C{str()} says why, without the password."""


class Hasher:
    """Makes and checks what is kept of passwords.

    @param argon: the argon2id parameters; hashes made with others are still checked with theirs.
    """

    def __init__(self, argon: argon2.PasswordHasher | None = None) -> None:
        self._argon = argon or argon2.PasswordHasher.from_parameters(argon2.profiles.RFC_9106_LOW_MEMORY)
        self._scram = scramp.ScramMechanism("SCRAM-SHA-256")
        self._nobody = ""

    def make(self, password: str) -> tuple[str, str]:
        """The argon2id hash and the SCRAM verifier of a new password."""
        if not password:
            raise PasswordError("the password is empty")
        if len(password.encode("utf-8", "surrogateescape")) > LONGEST:
            raise PasswordError(f"the password is longer than {LONGEST} octets")
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in password):
            raise PasswordError("the password holds control characters")
        try:
            salt, stored_key, server_key, count = self._scram.make_auth_info(password)
        except scramp.ScramException:
            raise PasswordError("the password holds characters that SASL does not allow") from None
        salt_text, stored, server = (base64.b64encode(part).decode("ascii") for part in (salt, stored_key, server_key))
        return self._argon.hash(_normal(password)), f"SCRAM-SHA-256${count}:{salt_text}${stored}:{server}"

    def verify(self, kept: str | None, password: str) -> bool:
        """Whether a password belongs to a hash.

        @param kept: None for a user that does not exist; that takes as long as for one that does, and is always False.
        """
        if kept is None or len(password) > LONGEST:
            self._matches(self._dummy(), "-")
            return False
        return self._matches(kept, password)

    def is_weaker(self, kept: str, verifier: str) -> bool:
        """Whether a hash takes less memory or time to guess at than a new one would, or its SCRAM verifier fewer rounds."""
        made, new = argon2.extract_parameters(kept), self._argon
        rounds = verifier.partition("$")[2].partition(":")[0]
        few = rounds.isdigit() and int(rounds) < _SCRAM_ROUNDS
        return few or made.memory_cost * made.time_cost < new.memory_cost * new.time_cost or made.hash_len < new.hash_len

    def warm(self) -> None:
        """Make the hash that unknown users are checked against, so that the first of them takes no longer than others."""
        self._dummy()

    def _matches(self, kept: str, password: str) -> bool:
        try:
            return self._argon.verify(kept, _normal(password))
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False

    def _dummy(self) -> str:
        if not self._nobody:
            self._nobody = self._argon.hash("nobody's password")
        return self._nobody


def is_hash(text: str) -> bool:
    """Whether a text is an argon2id hash."""
    try:
        argon2.extract_parameters(text)
    except argon2.exceptions.InvalidHashError:
        return False
    return text.startswith("$argon2id$")


def prepared_name(name: str) -> str:
    """A login name as SCRAM compares them (SASLprep); one that SASLprep does not allow stays as it is."""
    try:
        return str(saslprep(name))
    except scramp.ScramException:
        return name


def _normal(password: str) -> bytes:
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogateescape")
