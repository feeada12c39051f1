"""SASL mechanisms."""

from __future__ import annotations

import base64

import pytest

from twistedrelay.wire.sasl import Credentials, Exchange, SASLError


def b64(data: bytes) -> bytes:
    return base64.b64encode(data)


def test_plain_in_one_step_and_in_two() -> None:
    expected = Credentials("", "user@own.example", "päss word")
    message = b64("\0user@own.example\0päss word".encode())
    assert Exchange("PLAIN").start(message) == expected
    exchange = Exchange("PLAIN")
    assert exchange.start(b"") == ""
    assert exchange.step(message) == expected


def test_plain_with_authzid() -> None:
    assert Exchange("PLAIN").start(b64(b"user\0user\0secret")) == Credentials("user", "user", "secret")


def test_login_with_and_without_the_name_at_once() -> None:
    exchange = Exchange("LOGIN")
    assert exchange.start(b"") == "VXNlcm5hbWU6"
    assert exchange.step(b64(b"OWN\\user")) == "UGFzc3dvcmQ6"
    assert exchange.step(b64(b"secret")) == Credentials("", "OWN\\user", "secret")
    exchange = Exchange("LOGIN")
    assert exchange.start(b64(b"user")) == "UGFzc3dvcmQ6"
    assert exchange.step(b64(b"secret")) == Credentials("", "user", "secret")


@pytest.mark.parametrize(
    "response",
    [
        b"=",
        b"!!!!AHUAcA==",
        b"AHUAcA",
        b"AHUAcA==AAAA",
        b"AHUA cA==",
        b64(b""),
        b64(b"user"),
        b64(b"\0user"),
        b64(b"\0user\0a\0b"),
        b64(b"\0\0secret"),
        b64(b"\0user\0"),
        b64(b"\0us\ner\0secret"),
        b64(b"\r\0user\0secret"),
        b64(b"\0\xff\0secret"),
        b"\xff\xfe",
    ],
)
def test_bad_plain(response: bytes) -> None:
    exchange = Exchange("PLAIN")
    exchange.start(b"")
    with pytest.raises(SASLError):
        exchange.step(response)


def test_bad_login() -> None:
    for name, password in ((b"", b64(b"secret")), (b64(b"user"), b""), (b64(b"user"), b"secret"), (b64(b"\xff"), b64(b"secret"))):
        exchange = Exchange("LOGIN")
        exchange.start(b"")
        exchange.step(name)
        with pytest.raises(SASLError):
            exchange.step(password)


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(Credentials("", "user", "secret"))
