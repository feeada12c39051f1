"""XCLIENT: who may say it is told by the settings, what it says by its grammar."""

from __future__ import annotations

import contextlib
from ipaddress import ip_address

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.driver import BANNER, SETTINGS, Driver
from twistedrelay.values import reply as replies
from twistedrelay.wire.events import Reset, XClient
from twistedrelay.wire.parameters import CommandError
from twistedrelay.wire.xclient import parse_xclient

TRUSTED = attrs.evolve(SETTINGS, xclient=True)


@pytest.mark.parametrize(
    ("argument", "event"),
    [
        (b"NAME=spike.porcupine.org ADDR=168.100.189.2", XClient("spike.porcupine.org", ip_address("168.100.189.2"))),
        (b"name=x addr=IPv6:2001:db8::1 Port=65535", XClient("x", ip_address("2001:db8::1"), 65535)),
        (b"ADDR=::ffff:192.0.2.1", XClient(address=ip_address("192.0.2.1"))),
        (b"NAME=[UNAVAILABLE] ADDR=[unavailable] PORT=[UNAVAILABLE] HELO=[TEMPUNAVAIL]", XClient()),
        (b"PROTO=esmtp HELO=a+20b LOGIN=user+40own.example", XClient(proto="ESMTP", helo="a b", login="user@own.example")),
        (b"DESTADDR=192.0.2.9 DESTPORT=25", XClient(destination_address=ip_address("192.0.2.9"), destination_port=25)),
    ],
)
def test_attributes(argument: bytes, event: XClient) -> None:
    assert parse_xclient(argument) == event


@pytest.mark.parametrize(
    "argument",
    [
        b"",
        b"NAME",
        b"FOO=1",
        b"NAME=x NAME=y",
        b"NAME=a+00b",
        b"NAME=a+0D+0Ab",
        b"NAME=a+b",
        b"NAME=" + b"x" * 256,
        b"ADDR=example.org",
        b"ADDR=[192.0.2.1]",
        b"ADDR=192.0.2.256",
        b"PORT=65536",
        b"PORT=-1",
        b"PROTO=HTTP",
        b"NAME=\xc3\xa4",
    ],
)
def test_bad_attributes(argument: bytes) -> None:
    with pytest.raises(CommandError) as caught:
        parse_xclient(argument)
    assert caught.value.reply == replies.BAD_ARGUMENTS


@given(st.binary(max_size=60))
def test_any_octets(argument: bytes) -> None:
    for prefix in (b"", b"NAME=", b"ADDR=", b"PORT="):
        with contextlib.suppress(CommandError):
            assert parse_xclient(prefix + argument).name.isprintable()


def test_it_is_a_word_for_the_trusted() -> None:
    driver = Driver(SETTINGS, hello=b"EHLO x\r\n")
    assert driver.feed(b"XCLIENT ADDR=192.0.2.1\r\n") == [500]
    assert not [event for event in driver.events if isinstance(event, XClient)]


def test_the_session_begins_anew() -> None:
    driver = Driver(TRUSTED)
    assert driver.feed(b"XCLIENT ADDR=192.0.2.1\r\n") == [503]
    assert driver.feed(b"EHLO x\r\nAUTH PLAIN AHVzZXIAc2VjcmV0\r\nMAIL FROM:<a@b.example>\r\nXCLIENT ADDR=192.0.2.1\r\n") == [
        250,
        235,
        250,
        503,
    ]
    assert driver.feed(b"RSET\r\nXCLIENT ADDR=192.0.2.1\r\nMAIL FROM:<a@b.example>\r\n") == [250, 220, 503]
    assert driver.output.endswith(BANNER.wire + replies.HELLO_FIRST.wire)
    assert Reset() in driver.events
    assert not driver.engine.authenticated
    assert driver.feed(b"EHLO x\r\nMAIL FROM:<a@b.example>\r\n") == [250, 250]


def test_tls_stays() -> None:
    driver = Driver(attrs.evolve(TRUSTED, implicit_tls=True), hello=b"EHLO x\r\n")
    assert driver.feed(b"XCLIENT ADDR=192.0.2.1\r\n") == [220]
    assert driver.engine.secure


def test_it_may_be_refused() -> None:
    driver = Driver(TRUSTED, lambda event: replies.BAD_SEQUENCE if isinstance(event, XClient) else replies.HELLO_OK, hello=b"EHLO x\r\n")
    assert driver.feed(b"XCLIENT ADDR=192.0.2.1\r\n") == [503]
    assert driver.feed(b"MAIL FROM:<a@b.example>\r\n") == [250]


def test_a_line_of_full_length() -> None:
    driver = Driver(TRUSTED, hello=b"EHLO x\r\n")
    assert driver.feed(b"XCLIENT NAME=" + b"x" * 255 + b" HELO=" + b"+2B" * 255 + b"\r\n") == [220]
