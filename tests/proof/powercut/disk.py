"""A disk with a volatile write cache, which loses what was not flushed when the power goes.

It decides what a power cut leaves: everything up to the last flush, and of what was written after it any sectors, in any mixture, as a
disk that sorts its writes may have brought them down.  A sector is never torn.  It serves one virtual machine over NBD.

Source: the NBD protocol (fixed newstyle negotiation, simple replies), https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

SECTOR = 512

_GREETING = struct.pack(">8s8sH", b"NBDMAGIC", b"IHAVEOPT", 1 | 2)
_OPTION_REPLY = 0x3E889045565A9
_EXPORT_NAME, _ABORT, _INFO, _GO = 1, 2, 6, 7
_ACKNOWLEDGED, _INFORMATION, _UNSUPPORTED = 1, 3, 0x80000001
_REQUEST, _REPLY = 0x25609513, 0x67446698
_READ, _WRITE, _DISCONNECT, _FLUSH = 0, 1, 2, 3
_FLAGS = 1 | 1 << 2  # there are flags; it can be flushed, and has no other way to make sure of a write
_INVALID = 22


class Disk:
    """See the module."""

    def __init__(self, image: Path, socket_path: Path) -> None:
        """
        @param image: what is on the platter; what the machine sees lies beside it.
        """
        self._image = image
        self._seen = image.with_suffix(".seen")
        self._size = image.stat().st_size
        self._unflushed: list[tuple[int, bytes]] = []
        self._lock = threading.RLock()  # of a thread that holds the disk and copies it
        subprocess.run(["cp", "--sparse=always", str(image), str(self._seen)], check=True)
        self._platter = image.open("r+b", buffering=0)
        self._file = self._seen.open("r+b", buffering=0)
        self._flushing = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        socket_path.unlink(missing_ok=True)
        self._listener.bind(str(socket_path))
        self._listener.listen(8)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Serve nobody any more."""
        self._listener.close()
        self._platter.close()
        self._file.close()

    @contextlib.contextmanager
    def held(self, pause: float) -> Iterator[None]:
        """Answer nobody meanwhile, so that what is noted down then belongs to the same moment.

        @param pause: let only flushes wait for so many seconds before: what they are about is in the cache then.
        """
        with self._flushing:
            time.sleep(pause)
            with self._lock:
                yield

    def copy(self, target: Path, chance: random.Random) -> int:
        """Write what a power cut would leave now to a file; the number of sectors that it would lose."""
        with self._lock:
            subprocess.run(["cp", "--sparse=always", "--reflink=auto", str(self._image), str(target)], check=True)
            return _settle(target, self._unflushed, chance)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        with connection, stream, contextlib.suppress(OSError, struct.error):
            if self._negotiate(connection, stream):
                while self._answer(connection, stream):
                    pass

    def _negotiate(self, connection: socket.socket, stream: BinaryIO) -> bool:
        read = stream.read
        connection.sendall(_GREETING)
        read(4)
        while True:
            _, option, length = struct.unpack(">8sII", read(16))
            read(length)
            if option == _EXPORT_NAME:
                connection.sendall(struct.pack(">QH", self._size, _FLAGS))
                return True
            if option in (_GO, _INFO):
                about = struct.pack(">HQH", 0, self._size, _FLAGS)
                connection.sendall(struct.pack(">QIII", _OPTION_REPLY, option, _INFORMATION, len(about)) + about)
            said = _ACKNOWLEDGED if option in (_GO, _INFO, _ABORT) else _UNSUPPORTED
            connection.sendall(struct.pack(">QIII", _OPTION_REPLY, option, said, 0))
            if option in (_GO, _ABORT):
                return bool(option == _GO)

    def _answer(self, connection: socket.socket, stream: BinaryIO) -> bool:
        read = stream.read
        _, _, kind, handle, offset, length = struct.unpack(">IHHQQI", read(28))
        if kind == _DISCONNECT:
            return False
        content, error = b"", 0
        with self._flushing if kind == _FLUSH else contextlib.nullcontext(), self._lock:
            if kind == _READ:
                content = os.pread(self._file.fileno(), length, offset)
            elif kind == _WRITE:
                written = read(length)
                os.pwrite(self._file.fileno(), written, offset)
                self._unflushed.append((offset, written))
            elif kind == _FLUSH:
                self._flush()
            else:
                error = _INVALID
        connection.sendall(struct.pack(">IIQ", _REPLY, error, handle) + content)
        return True

    def _flush(self) -> None:
        for offset, written in self._unflushed:
            os.pwrite(self._platter.fileno(), written, offset)
        self._unflushed.clear()


def _settle(image: Path, unflushed: list[tuple[int, bytes]], chance: random.Random) -> int:
    """Bring some of the sectors down that were not flushed: none, all, or any."""
    share = chance.choice((0.0, 0.1, 0.5, 0.9, 1.0))
    lost = 0
    with image.open("r+b", buffering=0) as file:
        for offset, written in unflushed:
            for at in range(0, len(written), SECTOR):
                if chance.random() < share:
                    os.pwrite(file.fileno(), written[at : at + SECTOR], offset + at)
                else:
                    lost += 1
    return lost
