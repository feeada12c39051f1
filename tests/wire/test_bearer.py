"""XOAUTH2 and OAUTHBEARER."""

from __future__ import annotations

import pytest

from twistedrelay.wire.bearer import OAuthBearer, XOAuth2
from twistedrelay.wire.sasl import SASLError, Token


def test_xoauth2() -> None:
    message = b"user=someuser@example.com\1auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg\1\1"
    expected = Token("someuser@example.com", token="ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg")
    assert XOAuth2().start(message) == expected
    mechanism = XOAuth2()
    assert mechanism.start(None) == b""
    assert mechanism.step(message.replace(b"Bearer", b"bearer")) == expected


def test_oauthbearer_as_rfc_7628_shows_it() -> None:
    head = b"n,a=user@example.com,\1host=server.example.com\1port=143\1"
    assert OAuthBearer().start(head + b"auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\1\1") == Token(
        "user@example.com", token="vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="
    )
    assert OAuthBearer().start(b"n,,\1auth=Bearer x.y.z\1\1") == Token("", token="x.y.z")
    assert OAuthBearer().start(b"n,a=a=2Cb=3D2C,\1auth=Bearer x\1\1") == Token("a,b=2C", token="x")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\1\1",
        b"user=a\1\1",
        b"auth=Bearer x\1\1",
        b"user=\1auth=Bearer x\1\1",
        b"user=a\1auth=Bearer x\1",
        b"user=a\1auth=Basic x\1\1",
        b"user=a\1auth=Bearer \1\1",
        b"user=a\1auth=Bearer x y\1\1",
        b"user=a\1user=b\1auth=Bearer x\1\1",
        b"user=a\nb\1auth=Bearer x\1\1",
        b"user=\xff\1auth=Bearer x\1\1",
        b"a\1auth=Bearer x\1\1",
    ],
)
def test_bad_xoauth2(message: bytes) -> None:
    with pytest.raises(SASLError):
        XOAuth2().step(message)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\1",
        b"n,,",
        b"n,\1auth=Bearer x\1\1",
        b"p=tls-exporter,,\1auth=Bearer x\1\1",
        b"n,a=\xff,\1auth=Bearer x\1\1",
        b"n,,\1host=x\1\1",
    ],
)
def test_bad_oauthbearer(message: bytes) -> None:
    with pytest.raises(SASLError):
        OAuthBearer().step(message)


def test_a_refused_client_is_told_why() -> None:
    for mechanism in (XOAuth2(), OAuthBearer()):
        assert mechanism.last_word(True) is None
        assert b"status" in (mechanism.last_word(False) or b"")


def test_the_token_is_not_shown() -> None:
    assert "secret" not in repr(Token("a", token="secret"))
