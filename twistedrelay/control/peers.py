"""Who asks: the user behind a request on the control socket (unix(7), SO_PEERCRED), who cannot pretend to be another one."""

from __future__ import annotations

import pwd
import re
import socket
import struct

from twisted.web.iweb import IRequest

from twistedrelay.control.client import ON_BEHALF

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


def who(request: IRequest) -> str:
    """The user's name, C{name (root)} where root acts for somebody."""
    handle = getattr(getattr(request, "transport", None), "socket", None)
    if handle is None or handle.family != socket.AF_UNIX:
        return "unknown"
    _, uid, _ = _CREDENTIALS.unpack(handle.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    said = request.getHeader(ON_BEHALF) or ""
    return f"{said} ({name})" if uid == 0 and re.fullmatch(r"[\w.@$\\-]{1,64}", said) else name
