"""What the files of a configuration would hold after a change of its objects.

It decides where an object is written: one that is there is changed in its own file, where everything else stays as it is; a new one gets a
file of its own in C{connectors.d/}, C{send_connectors.d/} or C{accepted_domains.d/} beside the main file, whose C{include} is completed
where it does not name it.  A file that held only the object that is removed goes with it, if it is in one of these directories.  Nothing
is written and nothing validated here: the contents go to the loader as its overlay, and then to L{twistedrelay.config.edit_write}.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from twistedrelay.config.edit_nodes import parse
from twistedrelay.config.edit_patch import CannotPatch, patched
from twistedrelay.config.edit_text import block
from twistedrelay.config.problems import ConfigError, names_advice
from twistedrelay.config.sources import Sources
from twistedrelay.config.units import domain_pattern

#: Where a new object is written, by its section.
DIRECTORIES: Mapping[str, str] = {
    "receive_connectors": "connectors.d",
    "send_connectors": "send_connectors.d",
    "accepted_domains": "accepted_domains.d",
}

#: What an object is called.
KINDS: Mapping[str, str] = {
    "receive_connectors": "receive connector",
    "send_connectors": "send connector",
    "accepted_domains": "accepted domain",
}

_HEAD = "# Written by relayctl.  It may be changed by hand, too: `relayctl reload` applies it.\n"
_LONGEST = 100  #: characters of a file's name

Contents = dict[str, bytes | None]  #: what files hold, by their real paths; None: there is no such file


class EditError(Exception):
    """A change cannot be made; C{str()} says why, and what to do."""


class NoSuchObject(EditError):
    """There is no object of that name.

    @ivar advice: which could be meant.
    """

    def __init__(self, section: str, name: str, known: Sequence[str]) -> None:
        super().__init__(f"There is no {KINDS[section]} '{name}'.")
        self.advice = names_advice(name, known)


@attrs.frozen
class Edit:
    """A change of one object.

    @ivar name: as it is written, or in any letter case.
    @ivar set: values by the path of their key below the object; a scalar is its text.
    @ivar unset: keys that are left to their default.
    @ivar new: there must be none of that name, and it is made.
    @ivar remove: it is taken out, whatever else is said.
    """

    section: str
    name: str
    set: Mapping[tuple[str, ...], Any] = attrs.Factory(dict)
    unset: Sequence[tuple[str, ...]] = ()
    new: bool = False
    remove: bool = False


@attrs.frozen
class Plan:
    """What files hold now, and what they would hold."""

    before: Contents
    after: Contents


class Written:
    """The objects of a configuration, as they are written.

    @param file: the main file.
    @raise ConfigError: the files cannot be read.
    """

    def __init__(self, file: str) -> None:
        self.file = os.path.abspath(file)  # a link counts as it stands: what it includes does, too
        self._sources = Sources()
        self._sources.read(self.file)
        if self._sources.problems:
            raise ConfigError(self._sources.problems)

    def names(self, section: str) -> list[str]:
        """The objects of a section."""
        return list(self._sources.tree.get(section) or ())

    def find(self, section: str, name: str) -> str:
        """A name as it is written, from one in any letter case, with or without the server's name before it.

        @raise NoSuchObject: there is none.
        """
        known = {each.casefold(): each for each in self.names(section)}
        server = self._sources.tree.get("server") or {}
        plain = name.casefold().removeprefix(f"{server.get('name', '')}\\".casefold()) if isinstance(server, dict) else name.casefold()
        found = known.get(name.casefold()) or known.get(plain)
        if found is None and section == "accepted_domains":
            found = next((each for each in known.values() if _same_domain(each, name)), None)
        if found is None:
            raise NoSuchObject(section, name, self.names(section))
        return found

    def data(self, section: str, name: str) -> dict[str, Any]:
        """What is written of an object."""
        found = self._sources.tree[section][name]
        return dict(found) if isinstance(found, dict) else {}

    def place(self, section: str, name: str) -> str:
        """The file that an object is in."""
        place = self._sources.places.find((section, name))
        assert place is not None
        return os.path.realpath(place.file)


def _same_domain(one: str, other: str) -> bool:
    try:
        return domain_pattern(one) == domain_pattern(other)
    except ValueError:
        return False


def plan(file: str, edits: Sequence[Edit]) -> Plan:
    """What the files would hold.

    @param file: the main file.
    @raise ConfigError: the files cannot be read as they are.
    @raise EditError: a change cannot be made.
    """
    planner = _Planner(file)
    for edit in edits:
        planner.make(edit)
    return planner.plan()


class _Planner:
    def __init__(self, file: str) -> None:
        self._written = Written(file)
        self._before: Contents = {}
        self._after: Contents = {}

    def plan(self) -> Plan:
        changed = [path for path, content in self._after.items() if content != self._before[path]]
        return Plan({path: self._before[path] for path in changed}, {path: self._after[path] for path in changed})

    def make(self, edit: Edit) -> None:
        if edit.new:
            self._add(edit)
            return
        name = self._written.find(edit.section, edit.name)
        file = self._written.place(edit.section, name)
        text = self._text(file)
        root = parse(text.removeprefix("\ufeff"))
        assert root is not None
        tree = root.data
        if edit.remove:
            own = os.path.realpath(self._own(edit.section))
            if len(tree) == 1 and len(tree[edit.section]) == 1 and os.path.dirname(file) == own:
                self._after[file] = None
                return
            del tree[edit.section][name]
        else:
            old = tree[edit.section][name]
            if old is not None and not isinstance(old, dict):
                raise EditError(f"{edit.section} {name!r} is no mapping in {file}; correct it by hand.")
            tree[edit.section][name] = changed(old or {}, edit)
        self._patch(file, text, tree, f"{edit.section} {name!r}")

    def _add(self, edit: Edit) -> None:
        if any(each.casefold() == edit.name.casefold() for each in self._written.names(edit.section)):
            where = self._written.place(edit.section, self._written.find(edit.section, edit.name))
            raise EditError(f"There is a {KINDS[edit.section]} {edit.name!r} already, in {where}; `set` changes it.")
        try:
            edit.name.encode("utf-8")
        except UnicodeEncodeError:
            raise EditError("The name is no UTF-8 text.") from None
        file = self._free(self._own(edit.section), edit.name)
        self._before[file] = None
        lines = block({edit.section: {edit.name: changed({}, edit)}})
        self._after[file] = (_HEAD + "\n".join(lines) + "\n").encode()
        self._include(file, os.path.join(DIRECTORIES[edit.section], "*.yaml"))

    def _include(self, file: str, pattern: str) -> None:
        """Let the main file include a new one by a pattern, where it does not yet."""
        sources = Sources(self._after)
        sources.read(self._written.file)
        if file in map(os.path.realpath, sources.places.files):
            return
        main = os.path.realpath(self._written.file)
        text = self._text(main)
        root = parse(text.removeprefix("\ufeff"))
        assert root is not None
        tree = root.data
        tree["include"] = [*(tree.get("include") or []), pattern]
        self._patch(main, text, tree, "include")

    def _text(self, file: str) -> str:
        """The text of a file, as it would be now."""
        if file not in self._after:
            try:
                with open(file, "rb") as stream:
                    self._before[file] = self._after[file] = stream.read()
            except OSError as error:
                raise EditError(f"{file} cannot be read: {error.strerror}.") from None
        content = self._after[file]
        try:
            return (content or b"").decode()
        except UnicodeDecodeError:
            raise EditError(f"{file} is no UTF-8 text any more.") from None

    def _patch(self, file: str, text: str, tree: dict[str, Any], what: str) -> None:
        try:
            self._after[file] = patched(text, tree).encode()
        except UnicodeEncodeError:
            raise EditError("A value is no UTF-8 text.") from None
        except CannotPatch as error:
            advice = "Change it by hand, then `relayctl reload`."
            raise EditError(f"{file}: {what} cannot be changed by a command: {error}.  {advice}") from None

    def _own(self, section: str) -> str:
        """The directory of new objects."""
        return os.path.join(os.path.dirname(self._written.file), DIRECTORIES[section])

    def _free(self, directory: str, name: str) -> str:
        """A file for a new object, named after it."""
        plain = re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:_LONGEST]
        plain = plain if plain[:1].isalnum() else f"_{plain.lstrip('._-')}"
        directory = os.path.realpath(directory)
        number, file = 1, os.path.join(directory, f"{plain}.yaml")
        while os.path.lexists(file) or file in self._after:
            number += 1
            file = os.path.join(directory, f"{plain}-{number}.yaml")
        return file


def changed(data: Mapping[str, Any], edit: Edit) -> dict[str, Any]:
    """An object's data after a change."""
    result = dict(data)
    for path in edit.unset:
        _without(result, path)
    for path, value in edit.set.items():
        holder = result
        for step in path[:-1]:
            inner = holder.get(step)
            holder[step] = dict(inner) if isinstance(inner, dict) else {}
            holder = holder[step]
        holder[path[-1]] = value
    return result


def _without(data: dict[str, Any], path: Sequence[str]) -> None:
    """Take a key out, and what holds nothing else."""
    key = path[0]
    if len(path) == 1:
        data.pop(key, None)
    elif isinstance(data.get(key), dict):
        data[key] = dict(data[key])
        _without(data[key], path[1:])
        if not data[key]:
            del data[key]
