"""OAuth messages: what is asked, and how answers and errors read."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistedrelay.values import oauth
from twistedrelay.values.oauth import OAuthError, Tokens


def answer(**members: Any) -> bytes:
    return json.dumps(members).encode()


def test_requests() -> None:
    assert parse_qs(oauth.refresh_request("app", "s&=", "r+t", "a b").decode()) == {
        "grant_type": ["refresh_token"],
        "client_id": ["app"],
        "client_secret": ["s&="],
        "scope": ["a b"],
        "refresh_token": ["r+t"],
    }
    assert b"client_secret" not in oauth.client_request("app", "", "mail")
    assert parse_qs(oauth.device_request("app", "a b").decode()) == {"client_id": ["app"], "scope": ["a b"]}


def test_tokens() -> None:
    found = oauth.tokens_of(200, answer(access_token="a.b~c", token_type="bearer", expires_in="3599", refresh_token="r", scope="x y"))
    assert found == Tokens("a.b~c", 3599.0, "r")
    assert "a.b~c" not in repr(found)
    assert oauth.tokens_of(200, answer(access_token="a")).lifetime == oauth.LIFETIME


@pytest.mark.parametrize(
    ("status", "octets", "code", "text"),
    [
        (400, answer(error="invalid_grant", error_description="AADSTS1: no\r\nmore"), "invalid_grant", "invalid_grant: AADSTS1: no  more"),
        (200, answer(error="slow_down"), "slow_down", "slow_down"),
        (401, answer(error="x\r\ny"), "", "HTTP status 401"),
        (500, b"<html>", "", "HTTP status 500"),
        (302, b"", "", "HTTP status 302"),
        (200, b"[]", "", "the answer is no JSON object"),
        (200, b"[" * 100_000, "", "the answer is no JSON object"),
        (200, answer(access_token="a b"), "", "the access token holds characters that no token may hold"),
        (200, answer(access_token="a\x01"), "", "the access token holds characters that no token may hold"),
        (200, answer(access_token="a", token_type="mac"), "", "the token endpoint gives tokens of another type than Bearer"),
        (200, answer(access_token="a", expires_in="soon"), "", "the answer of the token endpoint cannot be understood"),
        (200, answer(access_token="a", expires_in=float("inf")), "", "the answer of the token endpoint cannot be understood"),
    ],
)
def test_no_tokens(status: int, octets: bytes, code: str, text: str) -> None:
    with pytest.raises(OAuthError) as caught:
        oauth.tokens_of(status, octets)
    assert (caught.value.code, str(caught.value)) == (code, text)


def test_a_device_code() -> None:
    found = oauth.device_code_of(200, answer(device_code="d", user_code="A\x1bB", verification_url="https://a.example", interval=0))
    assert (found.user_code, found.url, found.interval, found.lifetime) == ("A?B", "https://a.example", 1.0, 900.0)
    found = oauth.device_code_of(200, answer(device_code="d", user_code="A", verification_uri="u", interval=10**12, expires_in=10**12))
    assert (found.interval, found.lifetime) == (86400.0, 86400.0)
    for odd in ("inf", "nan"):
        with pytest.raises(OAuthError):
            oauth.device_code_of(200, answer(device_code="d", user_code="A", verification_uri="u", interval=float(odd)))
    with pytest.raises(OAuthError):
        oauth.device_code_of(200, answer(device_code="d", user_code="u"))


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=9), lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from(["access_token", "expires_in", "error", "token_type", "refresh_token", "scope", "x"]), inner)))  # fmt: skip
def test_no_answer_breaks_it(value: Any) -> None:
    for read in (oauth.tokens_of, oauth.device_code_of):
        try:
            read(200, json.dumps(value).encode())
        except OAuthError:
            continue


def test_an_error_is_shown_without_secrets_and_not_at_length() -> None:
    error = OAuthError("x" * 290 + "refresh" * 3 + "y" * 1000)
    assert error.shown(["refresh" * 3]) == "x" * 290 + "***" + "y" * 7 + "…"
    assert OAuthError("short").shown([""]) == "short"
