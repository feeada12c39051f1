"""The history of the configuration: who changed what, when, with the files as they were before and after.

It decides how long changes are remembered, which change an undo is about, and whether it can still be undone: where a file was changed
again since, only if the two changes touch different lines.  Each change is a JSON file in C{state_directory/history}, with the whole of the
files and whatever secrets stand in them, which only the relay's user and root can read; what is shown of it has none.  Hand edits are not
seen; what they replaced is in the change before them.

Where the configuration is root's, so is what root records of it, and root takes nothing back that somebody else has recorded: the directory
is the relay's own, and whoever got hold of the relay could else let root write what he likes.

A change is kept as begun before its files are written, and as done behind that.  One that was begun by a process that did not live to see
its end counts where all of its files hold what it wanted, and else L{twistedrelay.config.edit_change.settle} takes back what it did.
"""

from __future__ import annotations

import contextlib
import datetime
import difflib
import json
import os
import re
import stat
from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from twistedrelay.config.edit import Contents, EditError, Plan
from twistedrelay.config.edit_write import read
from twistedrelay.config.masking import hidden
from twistedrelay.config.replace import make_directory, put_in_place, replace_content, stage, sync_directory

DIRECTORY = "history"  #: below the state directory
MOST_ENTRIES = 1000
MOST_DAYS = 730
MOST_OCTETS = 64 * 1024 * 1024
LARGEST = 4 * MOST_OCTETS  #: of one; nobody reads more

#: What a file may be that is no change, or one that is not for this process.
_UNREADABLE = (FileNotFoundError, PermissionError, ValueError, KeyError, TypeError)

_NAME = re.compile(r"(\d{8})\.(json|begun)")


@attrs.frozen
class Entry:
    """One change.

    @ivar time: in UTC, to the second (RFC 3339).
    @ivar who: the user who made it.
    @ivar what: in words.
    @ivar undoes: the change that this one takes back, 0 for none.
    @ivar before: what the files held, and C{after}: what they hold since.
    @ivar owner: who recorded it, by the system's number.
    """

    id: int
    time: str
    who: str
    what: str
    before: Contents
    after: Contents
    undoes: int = 0
    owner: int = attrs.field(default=0, eq=False)

    @property
    def is_trusted(self) -> bool:
        """Whether this process may do what it says: for root, where it is root's, or that of whom all of its files belong to."""
        return os.geteuid() != 0 or self.owner == 0 or all(_owner(path) == self.owner for path in self.after)

    def diff(self) -> str:
        """The change as a unified diff."""
        return diff(self.before, self.after)


class History:
    """The changes that are remembered.  It is written under the lock of L{twistedrelay.config.edit_write}.

    @ivar directory: where they are.
    """

    def __init__(self, state_directory: str) -> None:
        self.directory = os.path.join(state_directory, DIRECTORY)

    def entries(self) -> list[Entry]:
        """All of them, the newest last.  What cannot be read is left out.

        @raise OSError: the directory cannot be read.
        """
        found = []
        for _, path in self._files():
            with contextlib.suppress(*_UNREADABLE):
                entry = _read(path)
                if path.endswith(".json") or is_done(entry):
                    found.append(entry)
        return found

    def begun(self) -> list[Entry]:
        """The changes that were begun, and not said to be done.

        @raise OSError: the directory cannot be read.
        """
        found = []
        for _, path in self._files():
            if path.endswith(".begun"):
                with contextlib.suppress(*_UNREADABLE):
                    found.append(_read(path))
        return found

    def entry(self, id: int) -> Entry:
        """One of them.

        @raise EditError: there is none.
        """
        with contextlib.suppress(*_UNREADABLE):
            return _read(self._path(id))
        with contextlib.suppress(*_UNREADABLE):
            if is_done(entry := _read(self._path(id, "begun"))):
                return entry
        raise EditError(f"There is no change {id} in the history; `relayctl history` lists them.")

    def last_id(self) -> int:
        """The number of the newest change, 0 where there is none."""
        return max((id for id, _ in self._files()), default=0)

    def begin(self, plan: Plan, main: str, who: str, what: str, now: datetime.datetime, undoes: int = 0) -> Entry:
        """Remember a change that is about to be made, durably.  L{done} or L{remove} must follow.

        @param main: the main file.
        @raise OSError: it cannot be written.
        """
        make_directory(self.directory)
        moment = now.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        entry = Entry(self.last_id() + 1, moment, who, what, plan.before, plan.after, undoes)
        try:
            self._keep(self._path(entry.id, "begun"), (json.dumps(_plain(entry)) + "\n").encode(), main)
            self._forget_old(now)
        except OSError:
            self.remove(entry)
            raise
        return entry

    def _keep(self, path: str, content: bytes, main: str) -> None:
        if os.geteuid() != 0 or os.stat(main).st_uid != 0:
            replace_content(path, content)
            return
        temporary = stage(path, content, like=main)  # never the relay's, not even for a moment
        os.chmod(temporary, 0o640)
        os.chown(temporary, 0, os.stat(self.directory).st_gid)
        put_in_place(temporary, path)

    def done(self, entry: Entry) -> None:
        """A change was made.  Where that cannot be written, its files say so."""
        with contextlib.suppress(OSError):
            os.replace(self._path(entry.id, "begun"), self._path(entry.id))
            sync_directory(self.directory)

    def remove(self, entry: Entry) -> None:
        """Forget a change that was not made after all."""
        for kind in ("begun", "json"):
            with contextlib.suppress(OSError):
                os.unlink(self._path(entry.id, kind))

    def undoable(self) -> Entry:
        """The newest change that is neither an undo nor undone.

        @raise EditError: there is none.
        """
        entries = self.entries()
        undone = undone_ids(entries)
        for entry in reversed(entries):
            if not entry.undoes and entry.id not in undone:
                return entry
        raise EditError("There is nothing to undo.")

    def _path(self, id: int, kind: str = "json") -> str:
        return os.path.join(self.directory, f"{id:08d}.{kind}")

    def _files(self) -> list[tuple[int, str]]:
        try:
            names = os.listdir(self.directory)
        except FileNotFoundError:
            return []
        return sorted((int(found[1]), os.path.join(self.directory, name)) for name in names if (found := _NAME.fullmatch(name)))

    def _forget_old(self, now: datetime.datetime) -> None:
        files = self._files()
        oldest, octets = now.timestamp() - MOST_DAYS * 86400, 0
        for number, (_, path) in enumerate(reversed(files)):
            with contextlib.suppress(OSError):
                facts = os.stat(path)
                octets += facts.st_size
                if number and (number >= MOST_ENTRIES or octets > MOST_OCTETS or facts.st_mtime < oldest):
                    os.unlink(path)


def is_done(entry: Entry) -> bool:
    """Whether all of its files hold what a change wanted."""
    try:
        return all(read(path) == content for path, content in entry.after.items())
    except EditError:
        return False


def row(entry: Entry, undone: bool) -> dict[str, Any]:
    """A change, as a list shows it."""
    facts = {"id": entry.id, "time": entry.time, "who": entry.who, "what": entry.what}
    return {**facts, "undoes": entry.undoes or None, "undone": undone, "files": list(entry.before)}


def undone_ids(entries: Sequence[Entry]) -> set[int]:
    """The changes that were taken back, and not made again by undoing that."""
    undone: set[int] = set()
    for entry in reversed(entries):
        if entry.undoes and entry.id not in undone:
            undone.add(entry.undoes)
    return undone


def undo_plan(entry: Entry) -> Plan:
    """What takes a change back, as things are now.

    @raise EditError: it cannot be taken back.
    """
    before: Contents = {}
    after: Contents = {}
    for path, old in entry.before.items():
        new, now = entry.after[path], read(path)
        if now == old:
            continue
        before[path] = now
        if now == new:
            after[path] = old
        elif now is None or new is None or old is None:
            raise EditError(f"Change {entry.id} cannot be undone: {path} was {'removed' if now is None else 'changed or made'} since.")
        else:
            after[path] = _merged(new, now, old, f"Change {entry.id} cannot be undone: {path} was changed since, in the same place.")
    if not before:
        raise EditError(f"Change {entry.id} has nothing left to undo: the files are as they were before it.")
    return Plan(before, after)


def _merged(base: bytes, now: bytes, old: bytes, refused: str) -> bytes:
    """C{now} with the difference from C{base} to C{old}, where that touches other lines than the difference from C{base} to C{now}."""
    lines, current, wanted = (content.splitlines(keepends=True) for content in (base, now, old))
    moved, back = _changes(lines, current), _changes(lines, wanted)
    if any((a < d and c < b) or a in (c, d) or b in (c, d) for a, b, _ in moved for c, d, _ in back):
        raise EditError(refused)
    result = list(lines)
    for start, end, put in sorted([*moved, *back], reverse=True):
        result[start:end] = put
    return b"".join(result)


def _changes(base: list[bytes], other: list[bytes]) -> list[tuple[int, int, list[bytes]]]:
    opcodes = difflib.SequenceMatcher(None, base, other, autojunk=False).get_opcodes()
    return [(a, b, other[c:d]) for tag, a, b, c, d in opcodes if tag != "equal"]


def diff(before: Contents, after: Contents) -> str:
    """What becomes different in files, as a unified diff.  Secrets are not shown (L{twistedrelay.config.masking})."""
    return "".join(line for path in before for line in _file_diff(path, before[path], after[path]))


def _file_diff(path: str, before: bytes | None, after: bytes | None) -> Iterator[str]:
    texts = [hidden((content or b"").decode("utf-8", "replace")) for content in (before, after)]
    old, new = (text.splitlines(keepends=True) for text in texts)
    names = ("/dev/null" if before is None else path, "/dev/null" if after is None else path)
    if texts[0] == texts[1] and before and after and before != after:
        yield f"--- {path}\n+++ {path}\n@@ what is different is a secret, and not shown @@\n"
    for line in difflib.unified_diff(old, new, *names):
        yield line if line.endswith("\n") else line + "\n\\ No newline at end of file\n"


def _plain(entry: Entry) -> dict[str, Any]:
    files = [{"path": path, "before": _text(entry.before[path]), "after": _text(entry.after[path])} for path in entry.before]
    facts = {"id": entry.id, "time": entry.time, "who": entry.who, "what": entry.what, "undoes": entry.undoes}
    return {**facts, "files": files}


def _text(content: bytes | None) -> str | None:
    return None if content is None else content.decode("utf-8", "surrogateescape")


def _octets(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8", "surrogateescape")


def _owner(path: str) -> int:
    """Whom a file belongs to, or where it would be made."""
    while not os.path.exists(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return os.stat(path).st_uid


def _read(path: str) -> Entry:
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise ValueError(f"{path} is no file")
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), encoding="utf-8") as stream:
        facts = os.fstat(stream.fileno())
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > LARGEST:
            raise ValueError(f"{path} is no change")
        owner, found = facts.st_uid, json.load(stream)
    if int(found["id"]) != int(os.path.basename(path)[:8]):
        raise ValueError(f"{path} is the change {found['id']}")
    before = {file["path"]: _octets(file["before"]) for file in found["files"]}
    after = {file["path"]: _octets(file["after"]) for file in found["files"]}
    return Entry(int(found["id"]), found["time"], found["who"], found["what"], before, after, int(found["undoes"]), owner)
