"""Text by BDAT: it leaves as it is, or not at all, however it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistedrelay.wire.stuffing import Stuffer
from twistedrelay.wire.textguard import ContentError, TextGuard

TEXT = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"a", b"\0", b""]), max_size=12)


def through(chunks: list[bytes]) -> bytes | None:
    """What leaves; None where it must not."""
    guard = TextGuard()
    try:
        return b"".join(guard.feed(chunk) for chunk in chunks) + guard.finish()
    except ContentError:
        return None


@given(TEXT)
def test_what_data_would_repair_does_not_leave(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    left = whole.replace(b"\r\n", b"")
    expected = None if b"\r" in left or b"\n" in left or b"\0" in left else whole
    assert through(chunks) == expected
    assert through([bytes((octet,)) for octet in whole]) == expected
    if expected is not None:
        stuffer, ended = Stuffer(), whole if whole.endswith(b"\r\n") or not whole else whole + b"\r\n"
        by_data = b"\r\n" + b"".join(stuffer.feed(chunk) for chunk in chunks) + stuffer.finish()
        assert by_data.removesuffix(b".\r\n").replace(b"\r\n..", b"\r\n.") == b"\r\n" + ended


@pytest.mark.parametrize("chunks", [[b"a\r"], [b"a\r", b"b\n"], [b"\r", b""], [b"a\r", b"\0"], [b"\n"]])
def test_halves_of_line_ends(chunks: list[bytes]) -> None:
    assert through(chunks) is None


def test_the_last_line_needs_no_end() -> None:
    assert through([b"a\r", b"\nb"]) == b"a\r\nb"
