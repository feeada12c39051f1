"""Parts, found while the octets pass by."""

from __future__ import annotations

import contextlib
import email
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistedrelay.delivery import mimetree
from twistedrelay.delivery.mimetree import Part, TooComplex, Walker

LINES = st.lists(
    st.sampled_from(
        [
            b"\r\n",
            b"--a\r\n",
            b"--a--\r\n",
            b"--b \r\n",
            b"--b--\r\n",
            b"--ab\r\n",
            b"-\r\n",
            b"--\r\n",
            b"text\r\n",
            b"\n",
            b"\r",
            b"Content-Type: multipart/mixed; boundary=a\r\n",
            b'Content-Type: multipart/digest; boundary="b"\r\n',
            b"Content-Type: message/rfc822\r\n",
            b"Subject: x\r\n",
            b"\xff\0",
        ]
    ),
    max_size=30,
).map(b"".join)


class Record:
    """All that a visitor is shown."""

    def __init__(self) -> None:
        self.octets = b""
        self.parts: list[tuple[str, str, bool]] = []
        self.bodies: list[bytes] = []

    def header(self, part: Part, raw: bytes) -> None:
        self.octets += raw
        self.parts.append((part.kind, part.type, part.signed))
        self.bodies.append(b"")
        assert part.index == len(self.parts) - 1

    def body(self, part: Part, chunk: bytes) -> None:
        self.octets += chunk
        self.bodies[part.index] += chunk

    def end(self, part: Part) -> None:
        pass

    def between(self, part: Part, chunk: bytes) -> None:
        self.octets += chunk


def walked(data: bytes, step: int = 0) -> Record:
    record = Record()
    walker = Walker(record)
    step = step or len(data) or 1
    for start in range(0, len(data), step):
        walker.feed(data[start : start + step])
    walker.finish()
    return record


@given(LINES, st.integers(1, 9))
def test_what_is_shown_is_the_message_however_it_is_cut(data: bytes, step: int) -> None:
    whole, cut = walked(data), walked(data, step)
    assert whole.octets == cut.octets == data
    assert (whole.parts, whole.bodies) == (cut.parts, cut.bodies)


NESTED = b"".join(
    line + b"\r\n"
    for line in [
        b"MIME-Version: 1.0",
        b'Content-Type: multipart/mixed; boundary="out"',
        b"",
        b"preamble --out",
        b"--out",
        b"",
        b"--outside",
        b"text",
        b"--out",
        b"Content-Type: message/rfc822",
        b"",
        b"Subject: inside",
        b"Content-Type: multipart/signed; boundary=in",
        b"",
        b"--in",
        b"Content-Type: text/html",
        b"",
        b"signed",
        b"--in--",
        b"--out",
        b"Content-Type: application/pdf",
        b"Content-Transfer-Encoding: BASE64",
        b"",
        b"--out--",
        b"epilogue",
    ]
)


def test_a_nested_message() -> None:
    record = walked(NESTED)
    assert record.parts == [
        ("multipart", "multipart/mixed", False),
        ("leaf", "text/plain", False),
        ("message", "message/rfc822", False),
        ("multipart", "multipart/signed", False),
        ("leaf", "text/html", True),
        ("leaf", "application/pdf", False),
    ]
    assert [body for body in record.bodies if body] == [b"--outside\r\ntext", b"signed"]


def test_the_same_leaves_as_the_standard_library() -> None:
    message: Any = email.message_from_bytes(NESTED)
    leaves = [part.get_payload().replace("\n", "\r\n").strip() for part in message.walk() if not part.is_multipart()]
    assert [
        body.decode().strip() for body, (kind, _, _) in zip(walked(NESTED).bodies, walked(NESTED).parts, strict=True) if kind == "leaf"
    ] == [leaf.replace("\r\r\n", "\r\n") for leaf in leaves]


@given(st.binary(max_size=60))
def test_strange_parameters(junk: bytes) -> None:
    """They are read somehow, or the message is beyond the bounds; nothing else is raised."""
    for head in (b"Content-Type: multipart/mixed; boundary", b"Content-Type: ", b"Content-Transfer-Encoding: "):
        with contextlib.suppress(TooComplex):
            walked(head + junk + b"\r\n\r\nbody\r\n")
    with pytest.raises(TooComplex):
        walked(b"Content-Type: multipart/mixed; boundary*=utf-8''%C3%BC\r\n\r\nbody\r\n")


def test_a_digest_holds_messages() -> None:
    data = b"Content-Type: multipart/digest; boundary=a\r\n\r\n--a\r\n\r\nSubject: x\r\n\r\nbody\r\n--a--\r\n"
    assert [kind for kind, _, _ in walked(data).parts] == ["multipart", "message", "leaf"]


def test_a_message_that_says_nothing_of_mime_is_one_text() -> None:
    assert walked(b"Subject: x\r\n\r\n--a\r\n").parts == [("leaf", "text/plain", False)]


def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TooComplex):
        walked(b"x" * (mimetree.MAX_HEADER + 1))
    with pytest.raises(TooComplex):
        walked(b"Subject: x\r\n" * (mimetree.MAX_HEADER // 12 + 1))
    with pytest.raises(TooComplex):
        walked(b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + b"--a\r\n\r\n" * (mimetree.MAX_PARTS + 1))
    with pytest.raises(TooComplex):
        walked(b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + (b"--a\r\n" + b"X: y\r\n" * 40_000 + b"\r\n") * 5)
    with pytest.raises(TooComplex):
        walked(b"Content-Type: message/rfc822\r\n\r\n" * (mimetree.MAX_DEPTH + 2))


@pytest.mark.parametrize("data", [b"\n--" * 300_000, b"\r\n-" * 300_000, b"--b\r\n\r\n" + b"a\n" * 120_000])
def test_hostile_content_takes_no_longer(data: bytes) -> None:
    begun = time.process_time()
    walked(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" + data, 65_536)
    assert time.process_time() - begun < 2
