"""SASL mechanisms that need no look-up: PLAIN, LOGIN, EXTERNAL, CRAM-MD5."""

from __future__ import annotations

import pytest

from twistedrelay.wire.sasl import CramMD5, Credentials, Digest, External, Login, Outside, Password, Plain, SASLError


def test_plain_in_one_step_and_in_two() -> None:
    expected = Password("user@own.example", password="päss word")
    message = "\0user@own.example\0päss word".encode()
    assert Plain().start(message) == expected
    mechanism = Plain()
    assert mechanism.start(None) == b""
    assert mechanism.step(message) == expected


def test_plain_with_authzid() -> None:
    assert Plain().start(b"user\0user\0secret") == Password("user", "user", password="secret")


def test_login_with_and_without_the_name_at_once() -> None:
    mechanism = Login()
    assert mechanism.start(None) == b"Username:"
    assert mechanism.step(b"OWN\\user") == b"Password:"
    assert mechanism.step(b"secret") == Password("OWN\\user", password="secret")
    mechanism = Login()
    assert mechanism.start(b"user") == b"Password:"
    assert mechanism.step(b"secret") == Password("user", password="secret")


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"user",
        b"\0user",
        b"\0user\0a\0b",
        b"\0\0secret",
        b"\0user\0",
        b"\0us\ner\0secret",
        b"\r\0user\0secret",
        b"\0\xff\0secret",
        b"\0user\0\xff",
    ],
)
def test_bad_plain(response: bytes) -> None:
    with pytest.raises(SASLError):
        Plain().step(response)


def test_bad_login() -> None:
    for name, password in ((b"", b"secret"), (b"user", b""), (b"\xff", b"secret"), (b"us\0er", b"secret")):
        mechanism = Login()
        mechanism.start(None)
        mechanism.step(name)
        with pytest.raises(SASLError):
            mechanism.step(password)


def test_external() -> None:
    assert External().start(b"") == Outside("")
    assert External().start(b"printer@own.example") == Outside("", "printer@own.example")
    mechanism = External()
    assert mechanism.start(None) == b""
    assert mechanism.step(b"") == Outside("")
    for response in (b"a\0b", b"\xff", b"a\nb"):
        with pytest.raises(SASLError):
            External().start(response)


def test_cram_md5_as_rfc_2195_shows_it() -> None:
    challenge = b"<1896.697170952@postoffice.reston.mci.net>"
    mechanism = CramMD5(challenge)
    assert mechanism.start(None) == challenge
    found = mechanism.step(b"tim b913a602c7eda7a495b4e6e7334d3890")
    assert found == Digest("tim", challenge=challenge, digest=bytes.fromhex("b913a602c7eda7a495b4e6e7334d3890"))
    assert mechanism.step(b"a user B913A602C7EDA7A495B4E6E7334D3890").authcid == "a user"


@pytest.mark.parametrize(
    "response", [b"", b"tim", b"tim b913", b" b913a602c7eda7a495b4e6e7334d3890", b"t\n b913a602c7eda7a495b4e6e7334d3890"]
)
def test_bad_cram_md5(response: bytes) -> None:
    with pytest.raises(SASLError):
        CramMD5(b"<1@x>").step(response)


def test_cram_md5_takes_no_initial_response() -> None:
    with pytest.raises(SASLError):
        CramMD5(b"<1@x>").start(b"")


def test_no_secret_is_shown() -> None:
    shown: list[Credentials] = [Password("user", password="secret"), Digest("user", challenge=b"<1@x>", digest=b"secret")]
    assert "secret" not in repr(shown)
