"""Tests for L{twistedrelay.routing.mtasts}."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistedrelay.routing.mtasts import MOST_AGE, Policy, PolicyError, identity_of, parse

GOOD = b"version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n"


def test_a_policy() -> None:
    policy = parse(GOOD)
    assert policy == Policy("enforce", ("mail.example.com", "*.example.net"), 604800)
    assert policy == parse(GOOD.replace(b"\r\n", b"\n")) == parse(GOOD.rstrip())
    assert "\n".join(policy.lines()) == GOOD.decode().replace("\r\n", "\n").strip()


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("mail.example.com", True),
        ("MAIL.example.com.", True),
        ("mx1.example.net", True),
        ("example.net", False),
        ("a.b.example.net", False),
        ("other.example.com", False),
        ("mail.example.com.evil.test", False),
    ],
)
def test_hosts(host: str, allowed: bool) -> None:
    assert parse(GOOD).allows(host) is allowed


def test_what_does_not_matter() -> None:
    text = b"mx:a.example\nfuture: x\n\nnonsense\nmode :testing\nmode: enforce\nversion:STSv1\nmax_age: 99999999999\n"
    with pytest.raises(PolicyError):
        parse(text)  # eleven digits
    assert parse(text.replace(b"99999999999", b"9999999999")) == Policy("testing", ("a.example",), MOST_AGE)
    assert parse(b"version: STSv1\nmode: none\nmax_age: 60") == Policy("none", (), 60)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"<html>",
        GOOD.replace(b"STSv1", b"STSv2"),
        GOOD.replace(b"enforce", b"Enforce"),
        GOOD.replace(b"604800", b"-1"),
        GOOD.replace(b"604800", b""),
        GOOD.replace(b"mx:", b"my:"),
        GOOD.replace(b"mail.example.com", b"mail example com"),
        GOOD.replace(b"*.example.net", b"*"),
        GOOD.replace(b"*.example.net", b""),
        GOOD.replace(b"*.example.net", b"m*.example.net"),
        GOOD.replace(b"mail", b"\xff"),
    ],
)
def test_what_is_no_policy(octets: bytes) -> None:
    with pytest.raises(PolicyError) as caught:
        parse(octets)
    assert caught.value.failure == "sts-policy-invalid"


@given(st.binary(max_size=300) | st.text(max_size=100).map(lambda text: GOOD + text.encode("utf-8", "surrogatepass")))
def test_any_octets(octets: bytes) -> None:
    with contextlib.suppress(PolicyError):
        assert parse(octets).max_age <= MOST_AGE


@pytest.mark.parametrize(
    ("records", "identity"),
    [
        ([b"v=STSv1; id=20260101T000000;"], "20260101T000000"),
        ([b"v=STSv1;id=abc"], "abc"),
        ([b"v=STSv1 ; a=b; id = abc ;"], "abc"),
        ([b"v=spf1 -all", b"v=STSv1; id=1"], "1"),
        ([b"v=STSv1; id=1", b"v=STSv1; id=2"], ""),
        ([b"v=STSv1"], ""),
        ([b"v=STSv1; id="], ""),
        ([b"v=STSv1; id=a-b"], ""),
        ([b"v=STSv1; id=" + b"a" * 33], ""),
        ([b"v=STSv10; id=1"], ""),
        ([b" v=STSv1; id=1"], ""),
        ([], ""),
    ],
)
def test_the_record(records: list[bytes], identity: str) -> None:
    assert identity_of(records) == identity
