"""A change of the configuration, from a wish to the files: planned, then written with its place in the history.

Between the two, who makes the change lets the loader (and a running relay, where there is one) look at what the files would hold.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable

import attrs

from twistedrelay.config import edit_write
from twistedrelay.config.edit import EditError, Plan, Written, plan
from twistedrelay.config.edit_request import Wish, edit_of
from twistedrelay.config.history import Entry, History, diff, undo_plan


@attrs.frozen
class Change:
    """A change that is planned.

    @ivar what: in words.
    @ivar undoes: the number of the change that it takes back, 0 for none.
    """

    what: str
    plan: Plan
    undoes: int = 0

    @property
    def files(self) -> list[str]:
        """The files that it changes."""
        return list(self.plan.after)

    @property
    def diff(self) -> str:
        """It, as a unified diff."""
        return diff(self.plan.before, self.plan.after)


def wished(file: str, wish: Wish) -> Change:
    """The change that makes a wish true.

    @param file: the main file.
    @raise ConfigError: the files cannot be read.
    @raise EditError: it cannot be made.
    """
    written = Written(file)
    if wish.action != "add":
        wish = attrs.evolve(wish, name=written.find(wish.section, wish.name))
    return Change(wish.words(), plan(file, [edit_of(wish, written)]))


def undoing(history: History, id: int | None) -> Change:
    """The change that takes one back: the newest one that can be, where none is named.

    @raise EditError: it cannot be taken back.
    """
    try:
        entry = history.undoable() if id is None else history.entry(id)
    except OSError as error:
        raise EditError(f"The history cannot be read: {error.filename}: {error.strerror}.") from None
    if not entry.is_trusted:
        raise EditError(
            f"Change {entry.id} was recorded by another user than root, whose files it changes: see `relayctl history show {entry.id}`, "
            "and change them by hand."
        )
    return Change(f"undo {entry.id}: {entry.what}", undo_plan(entry), entry.id)


def write(change: Change, main: str, history: History, who: str, now: datetime.datetime) -> Entry:
    """Write a change, all of it or nothing.  The caller holds L{edit_write.one_at_a_time}.

    @raise EditError: nothing was changed.
    """
    entries: list[Entry] = []

    def record() -> Callable[[], None]:
        entries.append(history.begin(change.plan, main, who, change.what, now, change.undoes))
        return lambda: history.remove(entries[0])

    edit_write.write(change.plan, main, record)
    history.done(entries[0])
    return entries[0]


def settle(main: str, history: History) -> bool:
    """End what a process began that did not live to see its end: what it did not finish is taken back, and forgotten.

    @return: whether a file was changed.  It does nothing where that cannot be done.
    """
    changed = False
    with contextlib.suppress(EditError, OSError):
        if not history.begun():
            return False
        with edit_write.one_at_a_time(history.directory):
            for entry in history.begun():
                if not entry.is_trusted:
                    continue
                files = {path: edit_write.read(path) for path in entry.after}
                if all(files[path] == entry.after[path] for path in files):
                    history.done(entry)
                    continue
                if all(files[path] in (entry.before[path], entry.after[path]) for path in files):
                    for path in files:  # else somebody has looked at it since, and made of it what it should be
                        edit_write.put(path, entry.before[path], main)
                        changed = True
                history.remove(entry)
    return changed


def take_back(entry: Entry, main: str, history: History) -> None:
    """As if it had not been written, where a daemon refused it afterwards.

    @raise EditError: a file was changed meanwhile, or cannot be written.
    """
    edit_write.put_back(Plan(entry.before, entry.after), main)
    history.remove(entry)
