"""Tests for L{twistedrelay.routing.fromfields}."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistedrelay.routing.fromfields import MAX_FIELD, MAX_FIELDS, MAX_LINE, mapped_field, mapped_fields


def mapping(text: str) -> str | None:
    local, _, domain = text.rpartition("@")
    return f"{local}@new.example" if domain.lower() == "old.example" else None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"From: a@old.example\r\n", b"From: a@new.example\r\n"),
        (b"from:<a@old.example>\r\n", b"from:<a@new.example>\r\n"),
        (b'From: "Doe, J. <x>" <a.b@OLD.example>\r\n', b'From: "Doe, J. <x>" <a.b@new.example>\r\n'),
        (b"From: =?utf-8?q?J=C3=BC?= x <a@old.example>\r\n", b"From: =?utf-8?q?J=C3=BC?= x <a@new.example>\r\n"),
        (b"From: J\xfc <a@old.example>\r\n", b"From: J\xfc <a@new.example>\r\n"),
        ("From: ü@old.example\r\n".encode(), "From: ü@new.example\r\n".encode()),
        (
            b"From: a@old.example (at @old.example (nested\\) <b@old.example>)) \r\n",
            b"From: a@new.example (at @old.example (nested\\) <b@old.example>)) \r\n",
        ),
        (b"From: One\r\n <a@old.example>,\r\n\tb@old.example\r\n", b"From: One\r\n <a@new.example>,\r\n\tb@new.example\r\n"),
        (
            b"From: a@old.example, B <b@other.example>, C <c@old.example>\r\n",
            b"From: a@new.example, B <b@other.example>, C <c@new.example>\r\n",
        ),
        (
            b"From: Us: a@old.example, <b@old.example>; , c@old.example\r\n",
            b"From: Us: a@new.example, <b@new.example>; , c@new.example\r\n",
        ),
        (b"From: <@x.example,@y.example:a@old.example>\r\n", b"From: <@x.example,@y.example:a@new.example>\r\n"),
        (b'From: "a b"@old.example\r\n', b'From: "a b"@new.example\r\n'),
        (b"From: a@old.example <b@old.example>\r\n", b"From: a@old.example <b@new.example>\r\n"),
    ],
)
def test_addresses_are_found(before: bytes, after: bytes) -> None:
    assert mapped_field(before, mapping) == after


@pytest.mark.parametrize(
    "field",
    [
        b"From: a@[192.0.2.1]\r\n",
        b"From: Scanner\r\n",
        b"From: <root>\r\n",
        b"From:\r\n",
        b"From: undisclosed:;\r\n",
        b"From: John Doe a@old.example\r\n",
        b'From: "unclosed <a@old.example>\r\n',
        b"From: (unclosed <a@old.example>\r\n",
        b"From: <a@old.example\r\n",
        b"From: a\\b <a@old.example>\r\n",
        b"From: \xff@old.example\r\n",
        b"From: " + b"a@old.example, " * 10_000 + b"\r\n",
    ],
)
def test_what_has_none_or_cannot_be_read_stays(field: bytes) -> None:
    assert mapped_field(field, mapping) == field


def test_only_from_and_sender_change() -> None:
    old, new = b"a@old.example\r\n", b"a@new.example\r\n"
    header = b"Received: by old.example for <a@old.example>\r\nSENDER : " + old + b"To: " + old + b"X-From: " + old + b"From: " + old
    changed = b"Received: by old.example for <a@old.example>\r\nSENDER : " + new + b"To: " + old + b"X-From: " + old + b"From: " + new
    assert mapped_fields(header, mapping) == changed
    assert mapped_fields(header + b"\r\n", mapping) == changed + b"\r\n"


def test_no_line_becomes_too_long() -> None:
    def longer(text: str) -> str:
        return "x" * 60 + "." + text

    field = b"From: " + b"A" * 960 + b" <a@old.example>\r\n"
    changed = mapped_field(field, longer)
    assert max(map(len, changed.split(b"\r\n"))) <= MAX_LINE
    assert changed.replace(b"\r\n", b"").split() == [b"From:", b"A" * 960, b"<", b"x" * 60 + b".a@old.example", b">"]


@given(st.binary(max_size=200).map(lambda octets: b"From:" + octets.replace(b"\n", b"").replace(b"\r", b"") + b"\r\n"))
def test_nothing_but_addresses_changes(field: bytes) -> None:
    assert mapped_field(field, lambda text: None) == field
    assert mapped_field(field, lambda text: text) == field or b"@" in field


@given(st.lists(st.sampled_from([b"<", b">", b",", b":", b";", b"(", b")", b'"', b"a", b"@", b"b.c", b" ", b"\\", b"[1]"]), max_size=40))
def test_any_order_of_signs(pieces: list[bytes]) -> None:
    field = b"From: " + b"".join(pieces) + b"\r\n"
    changed = mapped_field(field, lambda text: "NEW@x.example")
    assert changed.startswith(b"From: ")
    assert changed.endswith(b"\r\n")


@pytest.mark.parametrize("piece", [b"<,", b"(", b"a,", b"a:", b'"', b"a@b.example,", b"<a@", b" "])
def test_the_time_does_not_grow_with_the_square(piece: bytes) -> None:
    field = b"From: " + piece * (8000 // len(piece)) + b"\r\n"
    assert len(field) < MAX_FIELD
    begin = time.thread_time()
    mapped_field(field, mapping)
    assert time.thread_time() - begin < 0.5


def test_what_nobody_writes_takes_no_time() -> None:
    header = b"From: a@old.example\r\n" * 12_000
    begin = time.thread_time()
    changed = mapped_fields(header, mapping)
    assert time.thread_time() - begin < 1.0
    assert changed.count(b"new.example") == MAX_FIELDS
