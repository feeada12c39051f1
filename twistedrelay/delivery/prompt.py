"""Octets to a server that leave at once.

Twisted asks epoll first whether the socket can be written to: two system calls and a pass through the reactor for each thing said, though
it nearly always fits.  Here the reactor is asked only about what did not fit, and about errors.  Under TLS, whose layer gathers writes
itself, nothing is changed.
"""

from __future__ import annotations

from typing import Any


class Prompt:
    """Writes to a stream transport; where it is none of a reactor's, as that does by itself.

    All that is said in clear text must go this way, since what waits in the transport must not be overtaken.
    """

    __slots__ = ("_queued", "_transport")

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._queued = not (hasattr(transport, "writeSomeData") and hasattr(transport, "TLS"))
        if self._queued:
            return
        stop = transport.stopWriting

        def stopped() -> None:
            self._queued = False
            stop()

        transport.stopWriting = stopped

    def write(self, data: bytes) -> None:
        """Send octets behind those before them."""
        transport = self._transport
        if self._queued or transport.TLS or not transport.connected:
            transport.write(data)
            return
        sent = transport.writeSomeData(data)
        if sent != len(data):  # the reactor has something to send, and what comes now stands behind it
            self._queued = True
            transport.write(data if isinstance(sent, Exception) else data[sent:])
