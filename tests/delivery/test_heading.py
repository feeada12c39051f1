"""Content with another header section."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tests.delivery.peers import Disk, Memory
from twistedrelay.delivery import heading
from twistedrelay.delivery.content import PIECE
from twistedrelay.delivery.heading import TOO_LONG, with_header
from twistedrelay.interfaces import IContent

HEADER = b"From: a@b.test\r\nSubject: x\r\n\r\n"
BODY = b"hello\r\n\r\nFrom: not a field\r\n"


def rewritten(content: Any, rewrite: Any, clock: Clock | None = None) -> Any:
    found: list[Any] = []

    async def later(header: bytes) -> bytes:
        new: bytes = rewrite(header)
        return new

    Deferred.fromCoroutine(with_header(content, later)).addBoth(found.append)
    while clock is not None and not found:
        clock.advance(1)
    return found[0]


def octets(content: IContent) -> bytes:
    chunks = content.in_memory()
    assert chunks is not None
    return b"".join(chunks)


@pytest.mark.parametrize("place", range(0, len(HEADER + BODY), 3))
def test_the_body_stays_at_every_split(place: int) -> None:
    seen: list[bytes] = []

    def rewrite(header: bytes) -> bytes:
        seen.append(header)
        return b"From: new@b.test\r\n" + header

    whole = HEADER + BODY
    new = rewritten(Memory(whole[:place], whole[place:]), rewrite)
    assert seen == [HEADER]
    assert octets(new) == b"From: new@b.test\r\n" + whole
    assert new.size == len(octets(new))


@pytest.mark.parametrize("size", [10, 3 * PIECE])
def test_content_on_the_disk(size: int) -> None:
    clock = Clock()
    old = HEADER + b"x" * size
    new = rewritten(Disk(clock, old), lambda header: b"N: 1\r\n\r\n", clock)
    assert new.in_memory() is None
    read, offset = b"", 0
    while offset < new.size:
        found: list[bytes] = []
        new.read(offset, 1000 + offset).addCallback(found.append)
        clock.advance(1)
        read += found[0]
        offset = len(read)
    assert read == b"N: 1\r\n\r\n" + b"x" * size


@pytest.mark.parametrize(("content", "header"), [(b"Subject: only\r\n", b"Subject: only\r\n"), (b"\r\nbody\r\n", b"\r\n"), (b"", b"")])
def test_header_only_and_body_only(content: bytes, header: bytes) -> None:
    seen: list[bytes] = []

    def rewrite(found: bytes) -> bytes:
        seen.append(found)
        return found

    rewritten(Memory(content), rewrite)
    assert seen == [header]


def test_what_does_not_change_is_the_same_object() -> None:
    content = Memory(HEADER, BODY)
    assert rewritten(content, lambda header: header) is content


@pytest.mark.parametrize("on_disk", [True, False])
def test_a_header_without_end(monkeypatch: pytest.MonkeyPatch, on_disk: bool) -> None:
    monkeypatch.setattr(heading, "MAX_HEADER", 2 * PIECE)
    clock = Clock()
    data = b"X: y\r\n" * PIECE
    content = Disk(clock, data) if on_disk else Memory(data)
    assert rewritten(content, lambda header: header, clock) is TOO_LONG
