"""A file of the addresses that exist.

An entry a line: C{user@example.org}, or C{user} for every domain that names the file, or C{@example.org} (C{*@example.org}) for all
addresses of a domain.  Behind C{#} are comments, and what follows an entry behind a blank does not count (so Postfix's C{user@x OK} can
stay as it is).  Case does not count, and C{user+anything} exists where C{user} does.

Decides what is in the list, and when to read it again: once it looks the same twice in a row, since somebody may still be writing it.
A list that is broken, empty or gone is never taken for one of nobody: the old one stays.  A list of a million addresses takes 8 MB: of an
entry only its hash is kept, which is keyed anew by each process; that a wrong address has the hash of one of them does not happen.

Sources: postconf(5) (relay_recipient_maps), RFC 5233 (subaddresses), RFC 5321 section 2.4 (case).
"""

from __future__ import annotations

import os
import re
import stat
import threading
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator

from twistedrelay.values.address import Address, AddressError, parse_address

#: Lines of entries of ASCII, comments and blanks, which most are: a million of them are read at once.  Others are looked at one by one.
_PLAIN = r"(?!\#)(?:[a-z0-9!#$%&'+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'+/=?^_`{|}~-]+)*(?:@[a-z0-9_.-]+)?|\*?@[a-z0-9_.-]+)"
_PLAIN_LINES = re.compile(rf"^[ \t]*({_PLAIN})(?:[ \t][^\n]*)?$|^[ \t]*(?:\#[^\n]*)?$", re.MULTILINE)
_AT_ONCE = 1 << 20

_State = tuple[int, int, int, int]


class RecipientFileError(Exception):
    """A list cannot be used; C{str()} says where and why."""


def read_entries(path: str) -> Iterator[str]:
    """The entries of a list, as they are compared; blocks.

    @raise RecipientFileError: it cannot be read, an entry is wrong, or there is none.
    """
    found = False
    try:
        with open(path, encoding="utf-8-sig") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise RecipientFileError(f"{path}: is no file")
            number = 1
            while lines := stream.readlines(_AT_ONCE):
                for entry in _entries(lines, path, number):
                    found = True
                    yield entry
                number += len(lines)
    except OSError as error:
        raise RecipientFileError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise RecipientFileError(f"{path}: is not in UTF-8") from None
    if not found:
        raise RecipientFileError(f"{path}: lists nobody; leave 'recipients' out to take mail for every address of the domain")


def _entries(lines: list[str], path: str, number: int) -> Iterator[str]:
    plain: list[str] = _PLAIN_LINES.findall("".join(lines).lower().removesuffix("\n"))
    if len(plain) == len(lines):
        yield from (entry.removeprefix("*") if entry[:2] == "*@" else entry for entry in plain if entry)
        return
    for place, line in enumerate(lines, number):
        words = line.split(None, 1)
        if words and not words[0].startswith("#"):
            yield _entry(words[0], f"{path}:{place}")


def _entry(text: str, place: str) -> str:
    lowered = text.lower()
    local, at, domain = lowered.rpartition("@")
    everybody = at and local in ("", "*")
    try:
        address = parse_address(f"x@{domain}" if everybody else lowered if at else f"{lowered}@x", utf8=True)
    except AddressError as error:
        wrong = f"{place}: {text!r} is no recipient ({error}); allowed: user@domain, user, @domain"
        raise RecipientFileError(wrong) from None
    return f"@{address.domain}" if everybody else f"{address.local}@{address.domain}" if at else address.local


class RecipientFile:
    """The list of a file.  L{load} and L{refresh} block; L{known} never does."""

    def __init__(self, path: str, report: Callable[[str], None]) -> None:
        """
        @param report: told why a changed list is not used, and when it is; called by whoever calls L{refresh}.
        """
        self.path = path
        self._report = report
        self._hashes = array("q")
        self._loaded: _State | None = None
        self._seen: _State | None = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._hashes)

    def load(self) -> None:
        """Read it.

        @raise RecipientFileError: it cannot be used; what was there before stays.
        """
        state = self._state()
        self._hashes = array("q", sorted(set(map(hash, read_entries(self.path)))))
        self._loaded = self._seen = state

    def refresh(self) -> None:
        """Read it again where it has changed and is at rest."""
        with self._lock:
            state = self._state()
            if state == self._loaded:
                return
            if state != self._seen:
                self._seen = state
                return
            try:
                self.load()
            except RecipientFileError as error:
                self._loaded = state  # once is enough
                self._report(f"the old list of recipients stays in use: {error}")
            else:
                self._report(f"{self.path}: {len(self)} recipients")

    def _state(self) -> _State | None:
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

    def known(self, recipient: Address) -> bool:
        """Whether it is in the list."""
        local, domain = recipient.local.lower(), recipient.domain
        if self._has(f"{local}@{domain}") or self._has(local) or self._has(f"@{domain}"):
            return True
        user, plus, _ = local.partition("+")
        return bool(plus and user) and (self._has(f"{user}@{domain}") or self._has(user))

    def _has(self, entry: str) -> bool:
        hashes, wanted = self._hashes, hash(entry)
        place = bisect_left(hashes, wanted)
        return place < len(hashes) and hashes[place] == wanted
