"""Rights given and taken away as changes of C{extended_rights}: Add-ADPermission and Remove-ADPermission.

It decides how principals and rights that were given in any spelling meet those that are written in any spelling.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twistedrelay.answers.permissions import canonical_right
from twistedrelay.config.edit import Edit, EditError, Written, plan
from twistedrelay.config.edit_change import Change
from twistedrelay.config.principals import parse_principal

_SECTION, _KEY = "receive_connectors", "extended_rights"


def permission_wish(connector: str, user: str, rights: Sequence[str], action: str) -> Callable[[str], Change]:
    """What plans the change, from the main file.  It raises L{EditError} where it cannot be made.

    @param action: C{"add"} or C{"remove"}.
    @raise ValueError: there is no such principal, or no such right.
    """
    principal = parse_principal(user)
    wanted = list(dict.fromkeys(map(canonical_right, rights)))

    def planned(file: str) -> Change:
        written = Written(file)
        name = written.find(_SECTION, connector)
        granted = written.data(_SECTION, name).get(_KEY)
        change = _with if action == "add" else _without
        new = change(dict(granted) if isinstance(granted, dict) else {}, principal, wanted, name)
        edit = Edit(_SECTION, name, {(_KEY,): new} if new else {}, [] if new else [(_KEY,)])
        said = f"{action} permission on {name}: {principal} {', '.join(wanted)}"
        return Change(said, plan(file, [edit]))

    return planned


def _written_as(granted: Mapping[str, Any], principal: str) -> str:
    """How a principal is written, the plain spelling where it is not."""
    for written in granted:
        try:
            if parse_principal(written).casefold() == principal.casefold():
                return written
        except ValueError:
            continue
    return principal


def _rights(granted: Mapping[str, Any], who: str) -> list[Any]:
    there = granted.get(who)
    return list(there) if isinstance(there, list) else []


def _same(written: object, right: str) -> bool:
    try:
        return isinstance(written, str) and canonical_right(written) == right
    except ValueError:
        return False


def _with(granted: dict[str, Any], principal: str, rights: list[str], name: str) -> dict[str, Any]:
    who = _written_as(granted, principal)
    there = _rights(granted, who)
    granted[who] = [*there, *(right for right in rights if not any(_same(each, right) for each in there))]
    return granted


def _without(granted: dict[str, Any], principal: str, rights: list[str], name: str) -> dict[str, Any]:
    who = _written_as(granted, principal)
    there = _rights(granted, who)
    for right in rights:
        if not any(_same(each, right) for each in there):
            raise EditError(
                f"{principal} has no extended right {right} on {name}.  `relayctl permission list` shows what each right comes from; "
                "those of a permission group go with `relayctl connector set … --remove-permission-groups`."
            )
    left = [each for each in there if not any(_same(each, right) for right in rights)]
    if left:
        granted[who] = left
    else:
        granted.pop(who, None)
    return granted
