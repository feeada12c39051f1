"""Who rights are given to: Exchange's well-known principals, a user's address, or a group of a directory.

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
GROUP_PREFIX = "group:"  #: in front of a group's name, as a directory tells it for a login

_KNOWN = {name.lower(): name for name in (ANONYMOUS_LOGON, AUTHENTICATED_USERS, EXTERNALLY_SECURED)}
_AUTHORITY = re.compile(r"(?:nt authority|ms exchange)\\", re.IGNORECASE)


def parse_principal(text: str) -> str:
    """The canonical spelling of a principal; users' addresses and groups' names stay as written.  L{ValueError} says what is allowed."""
    written = text.strip()
    prefix = _AUTHORITY.match(written)
    plain = written[prefix.end() :] if prefix else written
    if known := _KNOWN.get(plain.lower()):
        return known
    if prefix is None and plain.lower().startswith(GROUP_PREFIX) and (name := plain[len(GROUP_PREFIX) :].strip()):
        return GROUP_PREFIX + name
    try:
        if prefix is None and parse_address(plain, utf8=True).domain:
            return plain
    except AddressError:
        pass
    allowed = f"{', '.join(_KNOWN.values())}, a user's address or group:NAME"
    raise ValueError(f"the principal {text!r} is unknown{suggestion(plain, _KNOWN.values())}; allowed: {allowed}")
