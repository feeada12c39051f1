"""L{twistedrelay.wire.lineends}."""

import re

from hypothesis import given
from hypothesis import strategies as st

from twistedrelay.wire.lineends import only_crlf

_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")


@given(st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n", b"\0", b"\x85", b"\xff", b"."]), max_size=12).map(b"".join))
def test_agrees_with_the_definition(chunk: bytes) -> None:
    assert only_crlf(chunk) is (_BARE.search(chunk) is None)


def test_one_bare_line_end_among_many() -> None:
    good = b"x\r\n" * 50_000
    assert only_crlf(good)
    for bad in (b"\n", b"\r", b"\n\r"):
        assert not only_crlf(good + bad)
        assert not only_crlf(bad + good)
        assert not only_crlf(good + b"x" + bad + b"x" + good)
