"""Who makes a request: the user of the process at the other end of the control socket, as the kernel knows it (unix(7), SO_PEERCRED)."""

from __future__ import annotations

import pwd
import socket
import struct
from typing import Any

from twisted.web.iweb import IRequest

_CREDENTIALS = struct.Struct("3i")


def caller(request: IRequest) -> str:
    """The user's name, C{"uid 1234"} where it has none, C{""} where that cannot be known."""
    connection: Any = request  # the interface does not tell of its channel
    try:
        found = connection.channel.transport.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        uid = _CREDENTIALS.unpack(found)[1]
    except (AttributeError, OSError):
        return ""
    if uid < 0:  # what the kernel says of sockets that are no UNIX sockets
        return ""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
