"""What is wrong with a configuration, and where.

A L{Problem} names the object by its path; L{Places} knows which line of which file that path was read from.  Nothing here decides what
is wrong.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from twistedrelay.config.schema import Config

Path = tuple[str | int, ...]  #: keys and list indices from the top of the configuration


@attrs.frozen(slots=True)
class Place:
    """A line of a file, counted from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@attrs.frozen(slots=True)
class Problem:
    """One thing that is wrong.

    @ivar path: what it is about, from the top: C{("receive_connectors", "IP_Relay", "bindings", 0)}.
    @ivar text: what is wrong and what is allowed.
    @ivar file: where; a check need not give it, the loader finds it by the path.
    @ivar blocks: a daemon does not start with it; otherwise it is a warning.
    @ivar code: what kind of warning it is, where the audit has to tell it from others of the same path.
    """

    path: Path
    text: str
    file: str = ""
    line: int = 0
    blocks: bool = True
    code: str = ""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, path_text(self.path), self.text) if part)

    @property
    def place(self) -> str:
        """C{file:line}, C{file} where no line is known, or nothing."""
        return f"{self.file}:{self.line}" if self.line else self.file


Check = Callable[["Config"], Sequence[Problem]]  #: a cross check; its problems carry a path only


class ConfigError(Exception):
    """A configuration cannot be used; C{str()} is one problem per line.

    @ivar problems: all that was found, in the order of the files.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)))


class Places:
    """Where each path of a configuration was read.

    A path that was not written (a default, a missing key) is placed at the nearest object round it.
    """

    def __init__(self) -> None:
        self._places: dict[Path, Place] = {}
        self._files: list[str] = []

    @property
    def files(self) -> tuple[str, ...]:
        """The files that were read, in order."""
        return tuple(self._files)

    def add_file(self, file: str) -> None:
        """A file that was read."""
        self._files.append(file)

    def add(self, path: Path, place: Place) -> None:
        """Remember where a path was read; the first place stays."""
        self._places.setdefault(path, place)

    def written(self, path: Path) -> bool:
        """Whether just this path was read from a file."""
        return path in self._places

    def find(self, path: Path) -> Place | None:
        """Where a path, or the nearest object round it, was read."""
        for end in range(len(path), 0, -1):
            if place := self._places.get(path[:end]):
                return place
        return Place(self._files[0], 1) if self._files else None

    def locate(self, problem: Problem) -> Problem:
        """The problem with its file and line."""
        if problem.file or not (place := self.find(problem.path)):
            return problem
        return attrs.evolve(problem, file=place.file, line=place.line)

    def order(self, problem: Problem) -> tuple[int, int]:
        """A sort key: the order of the files, then the line."""
        position = self._files.index(problem.file) if problem.file in self._files else len(self._files)
        return position, problem.line


def path_text(path: Path) -> str:
    """A path as text: C{receive_connectors."Default Frontend".bindings[1]}."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            shown = step if re.fullmatch(r"[\w-]+", step) else '"' + step.replace('"', '\\"') + '"'
            text += f".{shown}" if text else shown
    return text


_NAME = 100  #: characters of a name that are compared
_NAMED = 10  #: names that an advice has


def suggestion(word: str, known: Iterable[str]) -> str:
    """C{"; did you mean 'x'?"} where a known word is near, else an empty string.  Letter case, C{-} and C{_} do not count."""
    plain = {re.sub(r"[_\W]", "", candidate).lower(): candidate for candidate in known}
    near = difflib.get_close_matches(re.sub(r"[_\W]", "", word).lower(), plain, n=1, cutoff=0.7)
    return f"; did you mean {plain[near[0]]!r}?" if near else ""


def names_advice(name: str, known: Iterable[str]) -> str:
    """Which objects could be meant by a name that none has: those that come close, else all there are."""
    names = {one.lower(): one for one in known}
    if not names:
        return "There is none."
    near = difflib.get_close_matches(name.lower()[:_NAME], names, n=3, cutoff=0.5)
    if near:
        return f"Did you mean: {', '.join(names[one] for one in near)}?"
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"There are: {', '.join(list(names.values())[:_NAMED])}{more}."
