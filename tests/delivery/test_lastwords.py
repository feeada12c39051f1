"""What a server said before it hung up is read."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet import main

from twistedrelay.delivery.lastwords import READS, read_before_failing


class Transport:
    """Says what its methods return, and what was called."""

    def __init__(self, written: Any, reads: list[Any]) -> None:
        self.written = written
        self.reads = reads
        self.calls: list[str] = []

    def doWrite(self) -> Any:
        self.calls.append("write")
        return self.written

    def doRead(self) -> Any:
        self.calls.append("read")
        return self.reads.pop(0) if self.reads else None


def test_it_is_read_before_the_connection_is_lost() -> None:
    transport = Transport(main.CONNECTION_LOST, [None, main.CONNECTION_LOST])
    read_before_failing(transport)
    assert transport.doWrite() is main.CONNECTION_LOST
    assert transport.calls == ["write", "read", "read"]


def test_nobody_reads_for_ever() -> None:
    transport = Transport(main.CONNECTION_LOST, [])
    read_before_failing(transport)
    transport.doWrite()
    assert transport.calls == ["write"] + ["read"] * READS


@pytest.mark.parametrize("written", [None, main.CONNECTION_DONE, 0])
def test_otherwise_writing_is_writing(written: Any) -> None:
    transport = Transport(written, [])
    read_before_failing(transport)
    assert transport.doWrite() is written
    assert transport.calls == ["write"]
