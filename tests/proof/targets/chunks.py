"""BDAT: the receiver of chunks."""

from __future__ import annotations

import re

from tests.proof.targets.target import packets, target
from twistedrelay.values.reply import BARE_LINE_ENDING, MESSAGE_TOO_LARGE, Reply
from twistedrelay.wire.bdat import ChunkReceiver, parse_chunk

LIMIT = 2000
_COMMAND = re.compile(rb"BDAT ([^\r\n]*)\r\n")


def naive_chunks(data: bytes, reject: bool, binary: bool) -> tuple[bytes, Reply | None, bytes] | None:
    """Content, fault and rest of a stream of nothing but BDAT commands and their octets; None where the message does not end."""
    content, too_large = b"", False
    while (command := _COMMAND.match(data)) is not None:
        words = command[1].split(b" ")
        size, last, data = int(words[0]), len(words) > 1, data[command.end() :]
        too_large = too_large or len(content) + size > LIMIT
        if len(data) < size:
            return None
        content, data = content + data[:size], data[size:]
        if last:
            break
    else:
        return None
    if binary:
        return content, MESSAGE_TOO_LARGE if len(content) > LIMIT else None, data
    bare = re.sub(rb"\r\n", b"", content)
    if b"\0" in content or (reject and (b"\r" in bare or b"\n" in bare)):
        return b"", BARE_LINE_ENDING, data
    content = re.sub(rb"\r\n|\r|\n", b"\r\n", content)
    return content, MESSAGE_TOO_LARGE if too_large or len(content) > LIMIT else None, data


def _received(parts: list[bytes], reject: bool, binary: bool) -> tuple[bytes, Reply | None, bytes] | None:
    """What the receiver makes of packets; commands are taken out as the engine does."""
    receiver = ChunkReceiver(LIMIT, reject, binary)
    content, unread, inside = b"", b"", False
    for number, part in enumerate(parts, 1):
        unread += part
        while True:
            if not inside:
                command = _COMMAND.match(unread)
                if command is None:
                    break
                chunk = parse_chunk(command[1])
                assert chunk is not None
                receiver.begin(chunk)
                unread, inside = unread[command.end() :], True
            size = min(receiver.left, len(unread))
            if receiver.left and not size:
                break
            content += receiver.feed(unread[:size])
            unread = unread[size:]
            assert len(content) <= LIMIT
            assert receiver.size <= 2 * LIMIT + len(part)
            if receiver.left:
                break
            inside = False
            if receiver.last:
                return content, receiver.fault, unread + b"".join(parts[number:])
    return None


@target(
    "chunks",
    b"BDAT 3\r\nabc",
    b"BDAT 3\r\nab\r",
    b"BDAT 3\r\n\nab",
    b"BDAT 1\r\n\n",
    b"BDAT 1 LAST\r\n\n",
    b"BDAT 1 LAST\r\n\r",
    b"BDAT 0\r\n",
    b"BDAT 0 LAST\r\n",
    b"BDAT 16 LAST\r\n",
    b"BDAT 1999\r\n",
    b"x" * 500,
    b"\r\n.\r\n",
    b"\0",
    b"\n",
)
def chunks(data: bytes) -> None:
    """The receiver of BDAT against the naive one, in any packets: the same content, verdict and rest."""
    commands = [parse_chunk(argument) for argument in _COMMAND.findall(data)]
    if None in commands or b"  " in data or re.search(rb"BDAT +[^\r\n]* \r\n", data) or re.search(rb"last", data):
        return  # ways of writing that the naive one does not know
    for reject, binary in ((True, False), (False, False), (True, True)):
        expected = naive_chunks(data, reject, binary)
        for parts in packets(data):
            found = _received(parts, reject, binary)
            assert (found is None) == (expected is None)
            if found is None or expected is None:
                continue
            assert found[2] == expected[2]
            assert found[1] == expected[1] or {found[1], expected[1]} == {BARE_LINE_ENDING, MESSAGE_TOO_LARGE}
            if found[1] is None:
                assert found[0] == expected[0]
