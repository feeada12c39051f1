"""The disk of the power cuts: what was flushed stays, what was not may go, and nothing else happens to it."""

from __future__ import annotations

import random
import socket
import struct
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.network import PATIENCE
from tests.proof.powercut.disk import SECTOR, Disk

OLD, NEW = b"o" * SECTOR * 64, b"n" * SECTOR * 64


class Chance(random.Random):
    """Brings down this share of what was not flushed."""

    def __init__(self, share: float) -> None:
        super().__init__(1)
        self.share = share

    def choice(self, seq: object) -> float:  # type: ignore[override]
        """The share, whatever there is to choose from."""
        return self.share


class Machine:
    """An NBD client."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(str(path))
        self._stream: BinaryIO = self._socket.makefile("rb")
        assert self._stream.read(18).startswith(b"NBDMAGICIHAVEOPT")
        self._socket.sendall(struct.pack(">I8sII", 3, b"IHAVEOPT", 7, 6) + struct.pack(">IH", 0, 0))
        _, _, _, length = struct.unpack(">QIII", self._stream.read(20))
        _, self.size, self.flags = struct.unpack(">HQH", self._stream.read(length))
        assert struct.unpack(">QIII", self._stream.read(20))[2] == 1

    def request(self, kind: int, offset: int = 0, length: int = 0, content: bytes = b"") -> bytes:
        """Ask for something that must not fail."""
        self._socket.sendall(struct.pack(">IHHQQI", 0x25609513, 0, kind, 7, offset, length or len(content)) + content)
        assert struct.unpack(">IIQ", self._stream.read(16)) == (0x67446698, 0, 7)
        return self._stream.read(length)

    def close(self) -> None:
        """Hang up."""
        self._stream.close()
        self._socket.close()


@pytest.mark.parametrize(("share", "survives"), [(0.0, OLD), (1.0, NEW)])
def test_a_cut_loses_what_was_not_flushed(tmp_path: Path, share: float, survives: bytes) -> None:
    """The machine itself sees what it wrote all the time."""
    (tmp_path / "image").write_bytes(OLD + OLD)
    disk = Disk(tmp_path / "image", tmp_path / "socket")
    machine = Machine(tmp_path / "socket")
    assert (machine.size, machine.flags & 4) == (len(OLD + OLD), 4)
    machine.request(1, 0, content=NEW)
    machine.request(3)
    machine.request(1, len(OLD), content=NEW)
    assert machine.request(0, 0, len(NEW + NEW)) == NEW + NEW
    with disk.held(0.0):
        lost = disk.copy(tmp_path / "copy", Chance(share))
    assert (tmp_path / "copy").read_bytes() == NEW + survives
    assert lost == (0 if share else 64)
    machine.close()
    disk.close()


def test_it_loses_sectors_and_not_writes(tmp_path: Path) -> None:
    """Some of a write are down, some not, each whole."""
    (tmp_path / "image").write_bytes(OLD)
    disk = Disk(tmp_path / "image", tmp_path / "socket")
    machine = Machine(tmp_path / "socket")
    machine.request(1, 0, content=NEW)
    lost = disk.copy(tmp_path / "copy", Chance(0.5))
    left = (tmp_path / "copy").read_bytes()
    sectors = [left[at : at + SECTOR] for at in range(0, len(left), SECTOR)]
    assert set(sectors) == {OLD[:SECTOR], NEW[:SECTOR]}
    assert sectors.count(OLD[:SECTOR]) == lost
    machine.request(3)
    assert disk.copy(tmp_path / "copy", Chance(0.0)) == 0
    assert (tmp_path / "copy").read_bytes() == NEW
    machine.close()
    disk.close()
