"""A wire tap: passes a connection on to a server, and writes down what the client said."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self

from tests.network import LOOPBACK, free_port


class Tap:
    """Listens on a port of its own, in front of another port.

    @ivar said: what clients said, connection by connection.
    """

    def __init__(self, behind: int) -> None:
        self.behind = behind
        self.port = free_port()
        self._said: list[bytearray] = []
        self._open: list[socket.socket] = []
        self._listener = socket.create_server((LOOPBACK, self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    @property
    def said(self) -> list[bytes]:
        """What clients said, connection by connection."""
        return [bytes(each) for each in self._said]

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection((LOOPBACK, self.behind))
            except OSError:
                return
            self._open += [client, server]
            self._said.append(said := bytearray())
            threading.Thread(target=self._pump, args=(client, server, said), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, None), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket, record: bytearray | None) -> None:
        with contextlib.suppress(OSError):
            while octets := source.recv(65536):
                if record is not None:
                    record += octets
                target.sendall(octets)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)
