"""Who rights are given to: Exchange's well-known principals, a user's address, or C{group:NAME}.

A group is what a credential checker knows a user to be in (a group of a directory).

Decides how a principal is spelled.  Which rights it has is C{policy}'s.

Source: Exchange Server, "Receive connector permissions".
"""

from __future__ import annotations

import re

from twistedrelay.config.problems import suggestion
from twistedrelay.values.address import AddressError, parse_address

ANONYMOUS_LOGON = "Anonymous Logon"
AUTHENTICATED_USERS = "Authenticated Users"
EXTERNALLY_SECURED = "Externally Secured Servers"

_KNOWN = {name.lower(): name for name in (ANONYMOUS_LOGON, AUTHENTICATED_USERS, EXTERNALLY_SECURED)}
_GROUP = "group:"
_AUTHORITY = re.compile(r"(?:nt authority|ms exchange)\\", re.IGNORECASE)


def group_principal(name: str) -> str:
    """The principal of a group."""
    return _GROUP + name.strip()


def parse_principal(text: str) -> str:
    """The canonical spelling of a principal; a user's address stays as it is written.  L{ValueError} says what is allowed."""
    written = text.strip()
    if written.lower().startswith(_GROUP) and written[len(_GROUP) :].strip() and written.isprintable():
        return group_principal(written[len(_GROUP) :])
    prefix = _AUTHORITY.match(written)
    plain = written[prefix.end() :] if prefix else written
    if known := _KNOWN.get(plain.lower()):
        return known
    try:
        if prefix is None and parse_address(plain, utf8=True).domain:
            return plain
    except AddressError:
        pass
    allowed = ", ".join((*_KNOWN.values(), f"{_GROUP}NAME"))
    raise ValueError(f"the principal {text!r} is unknown{suggestion(plain, _KNOWN.values())}; allowed: {allowed} or a user's address")
