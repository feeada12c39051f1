"""Who asks: the user behind a request on the control socket (unix(7), SO_PEERCRED), who cannot pretend to be another one."""

from __future__ import annotations

import pwd
import re
import socket
import struct
from typing import Any

from twisted.web.iweb import IRequest

from twistedrelay.control.client import ON_BEHALF

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


def peer_uid(transport: Any) -> int | None:
    """The user of the process at the other end; None where that is no process of this host."""
    handle = getattr(transport, "socket", None)
    if handle is None or handle.family != socket.AF_UNIX:
        return None
    uid: int = _CREDENTIALS.unpack(handle.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[1]
    return uid


def who(request: IRequest) -> str:
    """The user's name, C{name (root)} where root acts for somebody."""
    uid = peer_uid(getattr(request, "transport", None))
    if uid is None:
        return "unknown"
    name = user_name(uid)
    said = request.getHeader(ON_BEHALF) or ""
    return f"{said} ({name})" if uid == 0 and re.fullmatch(r"[\w.@$-]{1,64}", said) else name


def user_name(uid: int) -> str:
    """A user's name, or the number where the system knows none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
