"""The files of a configuration: reads the first one and what it includes, and merges them to one tree.

All files hold the same top level keys.  Named objects and lists add up, C{server}, C{transport} and C{users} are given once; what is given
twice is an error that names both places.  Nothing here knows the keys below the top level.
"""

from __future__ import annotations

import errno
import fnmatch
import glob
import os
from collections.abc import Mapping
from typing import Any

from twistedrelay.config import nodes
from twistedrelay.config.problems import Path, Place, Places, Problem

NAMED = ("accepted_domains", "receive_connectors", "send_connectors")  #: mappings from a name to an object
LISTS = ("certificates", "credential_checkers", "oauth_providers", "audit_exceptions", "webhooks")


def _names(pattern: str, name: str) -> bool:
    """Whether glob would find a file: those with a leading dot only by a pattern with one."""
    return fnmatch.fnmatchcase(name, pattern) and (not name.startswith(".") or pattern.startswith("."))


class Sources:
    """One configuration while its files are read.

    @ivar tree: the merged data, scalars as text.
    @ivar places: where each path of the tree was read.
    @ivar problems: what was found on the way.
    """

    def __init__(self, overlay: Mapping[str, bytes | None] | None = None) -> None:
        """
        @param overlay: what files would hold, by their absolute paths; None: there would be no such file.
        """
        self._overlay = {os.path.realpath(path): content for path, content in (overlay or {}).items()}
        self.tree: dict[str, Any] = {}
        self.places = Places()
        self.problems: list[Problem] = []
        self._seen: set[str] = set()
        self._names: dict[tuple[str, str], str] = {}  # section and name without letter case, to the name as written
        self._below: dict[Path, list[tuple[Path, Place]]] = {}  # the places of the file in hand, by their first one and two steps

    def read(self, file: str, wanted_by: tuple[Path, Place] | None = None) -> None:
        """Read a file and its includes.  A file that was read already is skipped.

        @param wanted_by: the C{include} entry that names it; an unreadable file is reported there.
        """
        real = os.path.realpath(file)
        if real in self._seen:
            return
        self._seen.add(real)
        try:
            content = self._content(real)
        except OSError as error:
            text = f"{file!r} cannot be read: {error.strerror or error}"
            if wanted_by is None:
                self.problems.append(Problem((), f"cannot be read: {error.strerror or error}", file))
            else:
                path, place = wanted_by
                self.problems.append(Problem(path, text, place.file, place.line))
            return
        self.places.add_file(file)
        document = nodes.read(file, content)
        self.problems.extend(document.problems)
        if document.data is None:
            return
        self._below = {}
        for path, place in document.places.items():
            for length in range(1, min(len(path), 2) + 1):
                self._below.setdefault(path[:length], []).append((path, place))
        includes = document.data.pop("include", None)
        for key, value in document.data.items():
            self._merge(document, key, value)
        if includes is not None:
            self._include(document, includes)

    def _content(self, real: str) -> bytes:
        if real in self._overlay:
            content = self._overlay[real]
            if content is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            return content
        with open(real, "rb") as stream:
            return stream.read()

    def _matching(self, pattern: str) -> list[str]:
        """The files that a pattern means, by name."""
        gone = {path for path, content in self._overlay.items() if content is None}
        found = {file for file in glob.glob(pattern) if os.path.realpath(file) not in gone}
        there = {os.path.realpath(file) for file in found}
        directory, name = os.path.split(pattern)
        if not glob.has_magic(directory):
            real = os.path.realpath(directory)
            for path, content in self._overlay.items():
                if content is not None and path not in there and os.path.dirname(path) == real and _names(name, os.path.basename(path)):
                    found.add(os.path.join(directory, os.path.basename(path)))
        return sorted(found)

    def _merge(self, document: nodes.Document, key: str, value: Any) -> None:
        place = document.places[(key,)]
        if value is None and key in (*NAMED, *LISTS):  # a section whose entries are all commented out
            self.places.add((key,), place)
        elif key in NAMED:
            if not isinstance(value, dict):
                self._problem((key,), place, "must be a mapping from names to objects")
                return
            self.places.add((key,), place)
            known = self.tree.setdefault(key, {})
            for name, item in value.items():
                self._add_named(document, (key, name), known, item)
        elif key in LISTS:
            if not isinstance(value, list):
                self._problem((key,), place, f"must be a list, such as {key}: [...]")
                return
            self.places.add((key,), place)
            known = self.tree.setdefault(key, [])
            self._keep_places((key,), len(known))
            known.extend(value)
        elif key in self.tree:
            self._problem((key,), place, f"is given twice; the first one is in {self.places.find((key,))}")
        else:
            self.tree[key] = value
            self._keep_places((key,))

    def _add_named(self, document: nodes.Document, path: Path, known: dict[str, Any], item: Any) -> None:
        section, name = str(path[0]), str(path[1])
        same = self._names.setdefault((section, name.casefold()), name)
        if name in known or same != name:
            first = self.places.find((section, same))
            written = "" if same == name else f" as {same!r} (letter case does not count)"
            self._problem(path, document.places[path], f"the name {name!r} is given twice; the first one is in {first}{written}")
            return
        known[name] = item
        self._keep_places(path)

    def _keep_places(self, prefix: Path, offset: int = 0) -> None:
        """Take over the places below a path; list indices of the section move by C{offset}."""
        for path, place in self._below[prefix]:
            moved = (path[0], path[1] + offset, *path[2:]) if len(path) > 1 and isinstance(path[1], int) else path
            self.places.add(moved, place)

    def _include(self, document: nodes.Document, includes: Any) -> None:
        if not isinstance(includes, list) or not all(isinstance(pattern, str) and pattern for pattern in includes):
            text = "must be a list of file names or patterns, such as [connectors.d/*.yaml]"
            self._problem(("include",), document.places[("include",)], text)
            return
        for index, pattern in enumerate(includes):
            wanted = os.path.join(os.path.dirname(document.file), pattern)
            for file in self._matching(wanted) if glob.has_magic(wanted) else [wanted]:
                self.read(file, (("include", index), document.places[("include", index)]))

    def _problem(self, path: Path, place: Place, text: str) -> None:
        self.problems.append(Problem(path, text, place.file, place.line))
