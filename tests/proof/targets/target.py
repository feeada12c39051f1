"""The value of a fuzzing target, and what all targets share.

A target's input is what the parser itself would get, with no header of the fuzzer's own, so that a file of the corpus can be read and
written by hand.  How it is cut into packets follows from the octets.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

import attrs

Check = Callable[[bytes], None]


@attrs.frozen
class Target:
    """One parser under fuzzing.

    @ivar check: raises where something is wrong; an input that cannot even be fed is passed over.
    @ivar tokens: pieces that make inputs interesting.
    """

    name: str
    check: Check
    tokens: tuple[bytes, ...]


TARGETS: dict[str, Target] = {}


def target(name: str, *tokens: bytes) -> Callable[[Check], Check]:
    """Register a function as the check of a target."""

    def register(check: Check) -> Check:
        TARGETS[name] = Target(name, check, tokens)
        return check

    return register


def packets(data: bytes) -> Iterator[list[bytes]]:
    """The input whole, in two parts, in small parts, and octet by octet where it is short."""
    yield [data]
    mark = zlib.crc32(data)
    cut = mark % (len(data) + 1)
    yield [data[:cut], data[cut:]]
    step = 1 + (mark >> 8) % 7
    yield [data[at : at + step] for at in range(0, len(data), step)]
    if len(data) <= 512:
        yield [data[at : at + 1] for at in range(len(data))]


def text(data: bytes) -> str | None:
    """The input as text, or None where it is none."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None
