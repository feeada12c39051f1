"""SMTP on standard input and output (C{sendmail -bs}): carried to a receive connector and back.

Decides nothing: the connector says who may do what.
"""

from __future__ import annotations

import os
import selectors
import socket
from typing import BinaryIO

from twistedrelay.pickup.submit import PATIENCE, Place

_PIECE = 64 * 1024
_QUIT = (b"\nQUIT\r\n", b"\nQUIT\n")


def carry(place: Place, incoming: int, outgoing: BinaryIO) -> int:
    """Carry a session until the relay ends it; the exit status."""
    try:
        connection = socket.create_connection(place, PATIENCE)
    except OSError:
        outgoing.write(b"421 4.3.2 Service not available\r\n")
        outgoing.flush()
        return os.EX_TEMPFAIL
    try:
        return _carry(connection, incoming, outgoing)
    except OSError:  # either end is gone in the middle of it
        return os.EX_TEMPFAIL


def _carry(connection: socket.socket, incoming: int, outgoing: BinaryIO) -> int:
    last = b"\n"  # it begins with a line
    with connection, selectors.DefaultSelector() as both:
        connection.settimeout(None)
        both.register(connection, selectors.EVENT_READ)
        both.register(incoming, selectors.EVENT_READ)
        while True:
            for key, _ in both.select():
                if key.fileobj is connection:
                    said = connection.recv(_PIECE)
                    if not said:
                        return os.EX_OK
                    outgoing.write(said)
                    outgoing.flush()
                elif typed := os.read(incoming, _PIECE):
                    connection.sendall(typed)
                    last = (last + typed)[-16:]
                elif last.upper().endswith(_QUIT):
                    both.unregister(incoming)  # the relay has the last word
                else:
                    return os.EX_TEMPFAIL
