"""A wish for a change of one object, as commands and the API express it, made into an L{Edit} of what is written now.

It decides what C{set}, C{add}, C{remove} and C{unset} of one wish mean together, and how the wish reads in the history.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from twistedrelay.config import edit_text, usage_types
from twistedrelay.config.edit import KINDS, Edit, EditError, Written
from twistedrelay.config.keys import NAMED
from twistedrelay.config.parameters import Parameter, parameters, with_added, without
from twistedrelay.config.problems import suggestion
from twistedrelay.config.rules import name as wrong_name

_LONGEST = 1000  #: characters of a wish in words


@attrs.frozen
class Wish:
    """What somebody wants.

    @ivar action: C{"add"}, C{"set"} or C{"remove"}.
    @ivar set: values by the name of their parameter (C{recipients.file}); likewise C{add} and C{remove}, for lists and mappings.
    @ivar usage: a usage type, for a new receive connector.
    """

    section: str
    name: str
    action: str = "set"
    set: Mapping[str, Any] = attrs.Factory(dict)
    add: Mapping[str, Any] = attrs.Factory(dict)
    remove: Mapping[str, Any] = attrs.Factory(dict)
    unset: Sequence[str] = ()
    usage: str = ""

    def words(self) -> str:
        """The wish in one line, for the history."""
        said = [f"{self.action} {KINDS[self.section]} {self.name}"]
        said += [f"{key}={_value(value)}" for key, value in self.set.items()]
        said += [f"{key}+={_value(value)}" for key, value in self.add.items()]
        said += [f"{key}-={_value(value)}" for key, value in self.remove.items()]
        said += [f"unset {key}" for key in self.unset]
        words = f"{said[0]}: {', '.join(said[1:])}" if said[1:] else said[0]
        return words if len(words) <= _LONGEST else words[: _LONGEST - 1] + "…"


def _value(value: Any) -> str:
    return value if isinstance(value, str) else edit_text.flow(value)


def edit_of(wish: Wish, written: Written) -> Edit:
    """The change of what is written.

    @raise EditError: it makes no sense, or there is no such object.
    """
    if wish.action == "remove":
        return Edit(wish.section, wish.name, remove=True)
    known = {parameter.name: parameter for parameter in parameters(NAMED[wish.section])}
    data: dict[str, Any] = {}
    if wish.action == "add":
        if wish.section != "accepted_domains" and (wrong := wrong_name(wish.name)):
            raise EditError(f"{wrong[0].upper()}{wrong[1:]}.")
    else:
        data = written.data(wish.section, written.find(wish.section, wish.name))
    values = {_known(known, name).path: value for name, value in wish.set.items()}
    for changes, change in ((wish.remove, without), (wish.add, with_added)):
        for name, items in changes.items():
            parameter = _listing(known, name)
            values[parameter.path] = change(parameter, values.get(parameter.path, _look(data, parameter.path)), items)
    if wish.usage:
        try:
            more = usage_types.filled(wish.usage, {path[0]: value for path, value in values.items()})
        except ValueError as error:
            raise EditError(f"{error}.") from None
        values.update({(key,): value for key, value in more.items()})
    unset = [path for name in wish.unset for path in _unset(known, name)]
    for path, value in list(values.items()):
        if value == {}:  # an empty mapping is the same as none
            del values[path]
            unset.append(path)
    if wish.action == "set" and not values and not unset:
        raise EditError("Nothing was said that is to change.")
    return Edit(wish.section, wish.name, values, unset, new=wish.action == "add")


def _known(known: Mapping[str, Parameter], name: str) -> Parameter:
    if name not in known:
        raise EditError(f"There is no parameter {name!r}{suggestion(name, known) or '.'}")
    return known[name]


def _listing(known: Mapping[str, Parameter], name: str) -> Parameter:
    parameter = _known(known, name)
    if parameter.kind not in ("list", "mapping"):
        raise EditError(f"{name} is one value: it is set, and nothing can be added to it.")
    return parameter


def _unset(known: Mapping[str, Parameter], name: str) -> list[tuple[str, ...]]:
    """A key, or a whole object of keys."""
    if any(parameter.path[0] == name for parameter in known.values()):
        return [(name,)]
    return [_known(known, name).path]


def _look(data: Mapping[str, Any], path: Sequence[str]) -> Any:
    found: Any = data
    for step in path:
        found = found.get(step) if isinstance(found, dict) else None
    return found
