"""Secrets in files: passwords, client secrets, refresh tokens.  Everything here blocks and belongs in a thread.

A path that begins with C{$CREDENTIALS_DIRECTORY/} is a systemd credential (LoadCredential= of the unit).
"""

from __future__ import annotations

import os

CREDENTIALS = "$CREDENTIALS_DIRECTORY/"

_LONGEST = 64 * 1024  #: octets of a line; refresh tokens have some thousand


class SecretError(Exception):
    """A secret cannot be had; C{str()} says why and what to do."""


class TokenError(SecretError):
    """There is no access token now; C{str()} says why and what to do."""


def located(path: str) -> str:
    """Where a secret's file is.

    @raise SecretError: it is a systemd credential, and the process has none.
    """
    if not path.startswith(CREDENTIALS):
        return path
    directory = os.environ.get("CREDENTIALS_DIRECTORY", "")
    name = path.removeprefix(CREDENTIALS)
    if not directory:
        raise SecretError(f"there are no systemd credentials: put LoadCredential={name}:FILE into the unit")
    return os.path.join(directory, name)


def read_secret(path: str) -> str:
    """The first line of a file; other octets than UTF-8 are kept.

    @raise SecretError: it cannot be read, or there is nothing in it.
    """
    try:
        with open(located(path), encoding="utf-8", errors="surrogateescape") as stream:
            line = stream.readline(_LONGEST).rstrip("\r\n")
    except OSError as error:
        raise SecretError(f"{path} cannot be read: {error.strerror}") from None
    if not line:
        raise SecretError(f"the first line of {path} is empty")
    return line
