"""The users file: who may log in, with which password, and which addresses each may send as.

One user per line, fields separated by blanks; C{#} starts a comment line::

    # address            argon2id hash          SCRAM verifier (RFC 5803)          properties
    cengiz@example.org   $argon2id$v=19$...     SCRAM-SHA-256$4096:...             created=2026-11-22 send_as=info@example.org

Decides whose a login name is and whether a password fits.  What a user may do is C{policy}'s.  Everything here reads the disk or is slow by
intent: it belongs in a thread; a L{UsersFile} may be used by several.  A running daemon reads the file again when it changed and goes on
with the last good version where the new one is broken.
"""

from __future__ import annotations

import datetime
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs

from twistedrelay.config.passwords import Hasher, PasswordError, is_hash, prepared_name
from twistedrelay.config.replace import LockedFile, Stamp, stamp_of
from twistedrelay.config.simulated import Simulation
from twistedrelay.values.address import AddressError, parse_address
from twistedrelay.values.scram import ScramVerifier

__all__ = ["PasswordError", "User", "UsersAccessError", "UsersError", "UsersFile"]

_HEADER = """\
# Accounts of twistedrelay; edited by `relayctl user`.  One user per line:
# address  argon2id-hash  SCRAM-SHA-256-verifier  created=yyyy-mm-dd  [send_as=address,address]
"""


class UsersError(Exception):
    """The users file, or what is asked of it, is not good; C{str()} says why."""


class UsersAccessError(UsersError):
    """The system does not let us read or write the users file."""


@attrs.frozen(slots=True)
class User:
    """An account.

    @ivar address: the login name, and the address it sends as.
    @ivar send_as: further addresses it may send as.
    @ivar created: the day it was made.
    """

    address: str
    send_as: tuple[str, ...] = ()
    created: datetime.date | None = None


@attrs.frozen(slots=True)
class _Entry:
    """A line of the file."""

    user: User
    hash: str = attrs.field(repr=False)
    verifier: str = attrs.field(repr=False)

    def line(self) -> str:
        fields = [self.user.address, self.hash, self.verifier]
        if self.user.created:
            fields.append(f"created={self.user.created.isoformat()}")
        if self.user.send_as:
            fields.append(f"send_as={','.join(self.user.send_as)}")
        return " ".join(fields)


class UsersFile:
    """The accounts in a file.  A file that does not exist holds none.

    @param path: the file.
    @param report: told when a changed file is broken and the last good version stays in use.
    @param hasher: makes and checks hashes.
    @param secret: what the SCRAM verifiers of users that do not exist are made of; they change with it.
    """

    def __init__(
        self, path: str, report: Callable[[str], None] = lambda text: None, hasher: Hasher | None = None, secret: bytes = b""
    ) -> None:
        self.path = path
        self._report = report
        self._hasher = hasher or Hasher()
        self._simulation = Simulation(secret or secrets.token_bytes(32))
        self._lock = threading.Lock()
        self._stamp: Stamp | None = None
        self._entries: Mapping[str, _Entry] = {}

    def load(self) -> None:
        """Read the file now, and get ready for logins.  L{UsersError} where it is broken: nobody can log in until it changes."""
        self._hasher.warm()
        with self._lock:
            try:
                self._stamp = stamp_of(self.path)
            except OSError as error:
                raise UsersAccessError(f"{self.path}: cannot be read: {error.strerror}") from None
            self._entries = self._read()

    def find(self, name: str) -> User | None:
        """The user that a login name means; case does not count.

        @param name: an address, or C{DOMAIN\\user} or C{user}, which mean the only user with that local part.
        """
        entry = self._find(self._current(), name)
        return entry.user if entry else None

    def address_of(self, name: str) -> str | None:
        """The address of the user that L{find} finds."""
        user = self.find(name)
        return user.address if user is not None else None

    def verify(self, name: str, password: str) -> User | None:
        """The user, where the password is right.  Takes the same time for a name that does not exist."""
        entry = self._find(self._current(), name)
        right = self._hasher.verify(entry.hash if entry else None, password)
        return entry.user if entry and right else None

    def scram(self, name: str) -> tuple[User | None, ScramVerifier]:
        """The user that a login name means, and the SCRAM-SHA-256 verifier; a verifier without a password for one that does not exist."""
        entries = self._current()
        wanted = prepared_name(name)
        entry = self._find(entries, wanted)
        # Made for users that exist too: who asks must not see the difference in the time.
        simulated = self._simulation.verifier(wanted.casefold(), list(entries), lambda key: ScramVerifier.parse(entries[key].verifier))
        return (None, simulated) if entry is None else (entry.user, ScramVerifier.parse(entry.verifier))

    def list(self) -> list[User]:
        """All users, in the order of the file.  L{UsersError} where it is broken."""
        return [entry.user for entry in self._read().values()]

    def outdated(self) -> Sequence[str]:
        """The users whose password is kept with weaker parameters than those of new ones.  L{UsersError} where the file is broken."""
        return [entry.user.address for entry in self._read().values() if self._hasher.is_weaker(entry.hash, entry.verifier)]

    def add(self, address: str, password: str, send_as: Iterable[str] = ()) -> User:
        """Make an account.  L{UsersError} where it exists; L{PasswordError} where the password cannot be used."""
        user = User(checked_address(address), tuple(map(checked_address, send_as)), datetime.datetime.now(datetime.UTC).date())
        entry = _Entry(user, *self._hasher.make(password))

        def change(entries: dict[str, _Entry]) -> None:
            if entries.setdefault(address.casefold(), entry) is not entry:
                raise UsersError(f"the user {address!r} exists already")

        self._change(change)
        return user

    def remove(self, address: str) -> User:
        """Delete an account.  L{UsersError} where there is none."""
        removed: list[User] = []

        def change(entries: dict[str, _Entry]) -> None:
            removed.append(self._known(entries, address).user)
            del entries[address.casefold()]

        self._change(change)
        return removed[0]

    def passwd(self, address: str, password: str) -> User:
        """Give an account a new password.  L{UsersError} where there is none; L{PasswordError} likewise."""
        kept_hash, verifier = self._hasher.make(password)
        changed: list[User] = []

        def change(entries: dict[str, _Entry]) -> None:
            entry = self._known(entries, address)
            entries[address.casefold()] = attrs.evolve(entry, hash=kept_hash, verifier=verifier)
            changed.append(entry.user)

        self._change(change)
        return changed[0]

    def _known(self, entries: Mapping[str, _Entry], address: str) -> _Entry:
        entry = entries.get(address.casefold())
        if entry is None:
            raise UsersError(f"there is no user {address!r}")
        return entry

    def _find(self, entries: Mapping[str, _Entry], name: str) -> _Entry | None:
        wanted = name.casefold()
        if entry := entries.get(wanted):
            return entry
        bare = wanted.rpartition("\\")[2]
        if not bare or "@" in bare:
            return None
        same = [entry for key, entry in entries.items() if key.rpartition("@")[0] == bare]
        return same[0] if len(same) == 1 else None

    def _current(self) -> Mapping[str, _Entry]:
        """The entries, read again if the file changed; the last good ones where it is broken."""
        with self._lock:
            try:
                stamp = stamp_of(self.path)
                if stamp != self._stamp:
                    self._stamp = stamp
                    self._entries = self._read()
            except (UsersError, OSError) as error:
                self._report(f"the users file is not used as it is now, the last good version is: {error}")
            return self._entries

    def _read(self) -> dict[str, _Entry]:
        try:
            with open(self.path, encoding="utf-8") as stream:
                return self._parse(stream.read())
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise UsersAccessError(f"{self.path}: cannot be read: {error.strerror or error}") from None
        except UnicodeDecodeError as error:
            raise UsersError(f"{self.path}: is no UTF-8 text: {error.reason} at octet {error.start}") from None

    def _parse(self, text: str) -> dict[str, _Entry]:
        entries: dict[str, _Entry] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip() and not line.lstrip().startswith("#"):
                try:
                    entry = _parse_line(line)
                    if entries.setdefault(entry.user.address.casefold(), entry) is not entry:
                        raise UsersError(f"the user {entry.user.address!r} is there twice")
                except (UsersError, ValueError) as error:
                    raise UsersError(f"{self.path}:{number}: {error}") from None
        return entries

    def _change(self, change: Callable[[dict[str, _Entry]], None]) -> None:
        """Read, change and write under the lock of the file; comments that people wrote stay in front."""
        try:
            with LockedFile(self.path) as file:
                text = file.read() or _HEADER
                entries = self._parse(text)
                change(entries)
                comments = [line for line in text.splitlines() if line.lstrip().startswith("#")]
                file.write("\n".join([*comments, *(entry.line() for entry in entries.values()), ""]))
        except OSError as error:
            raise UsersAccessError(f"{self.path}: cannot be changed: {error.strerror or error}") from None
        except UnicodeDecodeError as error:
            raise UsersError(f"{self.path}: is no UTF-8 text: {error.reason} at octet {error.start}") from None


def _parse_line(line: str) -> _Entry:
    """An entry from its line.  Hashes are never shown in errors."""
    fields = line.split()
    if len(fields) < 3:
        raise UsersError(f"{len(fields)} fields; needed: address, argon2id hash, SCRAM-SHA-256 verifier")
    address, kept_hash, verifier, *properties = fields
    if not is_hash(kept_hash):
        raise UsersError("the second field is no argon2id hash")
    try:
        ScramVerifier.parse(verifier)
    except ValueError as error:
        raise UsersError(f"the third field is {error}") from None
    created: datetime.date | None = None
    send_as: tuple[str, ...] = ()
    for text in properties:
        key, _, value = text.partition("=")
        if key == "created":
            created = datetime.date.fromisoformat(value)
        elif key == "send_as":
            send_as = tuple(map(checked_address, value.split(",")))
        else:
            raise UsersError(f"the property {key!r} is unknown; allowed: created=, send_as=")
    return _Entry(User(checked_address(address), send_as, created), kept_hash, verifier)


def checked_address(text: str) -> str:
    """An address that can stand in the file."""
    try:
        address = parse_address(text, utf8=True)
    except AddressError as error:
        raise UsersError(f"{text!r} is no address: {error}") from None
    if not address.domain or text.startswith("#") or any(character.isspace() or character == "," for character in text):
        raise UsersError(f"{text!r} cannot be a user's address; allowed: local@domain without blanks and commas, and no # in front")
    return text
