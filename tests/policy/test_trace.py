"""Tests for L{twistedrelay.policy.trace}."""

from __future__ import annotations

import email
import email.policy
import email.utils
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.cred.checkers import ANONYMOUS

from twistedrelay.policy.realm import AvatarId, RelayRealm
from twistedrelay.policy.trace import generated_message_id, helo_text, received_header, rfc5322_date, with_keyword
from twistedrelay.values.address import parse_address
from twistedrelay.values.netrange import parse_ip

NOW = 1_795_328_415.75
ONLY = parse_address("user@akkaya.local")


@pytest.fixture
def make_header(make_config: Any, make_facts: Any) -> Any:
    realm = RelayRealm(make_config())

    def make(login: str = "", peer: str = "192.168.1.30", count: int = 1, recipient: Any = ONLY, **changes: Any) -> bytes:
        facts = make_facts(peer)
        for name, value in changes.items():
            setattr(facts, name, value)
        avatar = realm.session(AvatarId(login) if login else ANONYMOUS, facts)
        return received_header(facts, avatar, 854698491929, "relay.akkaya.local", NOW, count, recipient=recipient)

    return make


def unfolded(header: bytes) -> str:
    assert header.endswith(b"\r\n")
    return re.sub(r"\r\n(?=[ \t])", "", header.decode("ascii")).removesuffix("\r\n")


def test_the_whole_line(make_header: Any) -> None:
    header = make_header(helo="printer", esmtp=True, tls_version="TLSv1.3", tls_cipher="TLS_AES_256_GCM_SHA384")
    assert unfolded(header) == (
        "Received: from printer ([192.168.1.30]) by relay.akkaya.local ([192.168.1.5])"
        " with ESMTPS (version=TLSv1.3, cipher=TLS_AES_256_GCM_SHA384) id 854698491929 (connector Default Frontend)"
        " for <user@akkaya.local>; " + rfc5322_date(NOW)
    )
    assert max(map(len, header.split(b"\r\n"))) <= 100


def test_the_login_is_told(make_header: Any) -> None:
    header = make_header("cengiz@akkaya.local", peer="2001:db8::1", esmtp=True)
    assert unfolded(header) == (
        "Received: from [IPv6:2001:db8::1] ([IPv6:2001:db8::1]) by relay.akkaya.local ([192.168.1.5])"
        " with ESMTPA (Authenticated sender: cengiz@akkaya.local) id 854698491929 (connector Default Frontend)"
        " for <user@akkaya.local>; " + rfc5322_date(NOW)
    )


@pytest.mark.parametrize(
    ("protocol", "facts", "login", "utf8", "keyword"),
    [
        ("SMTP", {}, "", False, "SMTP"),
        ("SMTP", {"tls_version": "TLSv1.2"}, "", False, "SMTP"),
        ("SMTP", {"esmtp": True}, "", False, "ESMTP"),
        ("SMTP", {"esmtp": True, "tls_version": "TLSv1.2"}, "", False, "ESMTPS"),
        ("SMTP", {"esmtp": True}, "user@akkaya.local", False, "ESMTPA"),
        ("SMTP", {"esmtp": True, "tls_version": "TLSv1.2"}, "user@akkaya.local", False, "ESMTPSA"),
        ("SMTP", {"esmtp": True}, "", True, "UTF8SMTP"),
        ("SMTP", {"esmtp": True, "tls_version": "TLSv1.2"}, "user@akkaya.local", True, "UTF8SMTPSA"),
        ("LMTP", {}, "", False, "LMTP"),
        ("LMTP", {"tls_version": "TLSv1.2"}, "user@akkaya.local", False, "LMTPSA"),
        ("LMTP", {"esmtp": True, "tls_version": "TLSv1.2"}, "", True, "UTF8LMTPS"),
    ],
)
def test_protocol(make_config: Any, make_facts: Any, protocol: str, facts: dict[str, Any], login: str, utf8: bool, keyword: str) -> None:
    session = make_facts(protocol=protocol)
    for name, value in facts.items():
        setattr(session, name, value)
    avatar = RelayRealm(make_config()).session(AvatarId(login) if login else ANONYMOUS, session)
    assert with_keyword(session, avatar, smtp_utf8=utf8) == keyword


@given(st.text(max_size=400), st.text(max_size=400))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_names_never_break_the_header(make_header: Any, login: str, connector: str) -> None:
    header = make_header(login, connector_name=connector)
    parsed = email.message_from_bytes(header + b"\r\nbody", policy=email.policy.compat32)
    assert parsed.keys() == ["Received"]
    assert header.count(b"(") == header.count(b")") == (4 if login else 3)
    assert b"\\" not in header
    assert len(header) < 900


def test_recipients_are_not_told_of_each_other(make_header: Any) -> None:
    assert b"for <" not in make_header(count=2)
    assert b"for <" not in make_header(recipient=None)
    assert b"for <" not in make_header(recipient=parse_address("bücher@akkaya.local", utf8=True))


def test_no_helo_name() -> None:
    assert helo_text("", parse_ip("192.168.1.30")) == "[192.168.1.30]"
    assert helo_text("", parse_ip("2001:db8::1")) == "[IPv6:2001:db8::1]"


@given(st.text(max_size=400))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_helo_never_breaks_the_header(make_header: Any, helo: str) -> None:
    header = make_header(helo=helo)
    parsed = email.message_from_bytes(header + b"\r\nbody", policy=email.policy.compat32)
    assert parsed.keys() == ["Received"]
    assert header.count(b"\r\n") == 6
    assert len(header) < 600
    assert b"(" not in header.split(b" ([192.168.1.30])")[0]


def test_date() -> None:
    assert email.utils.parsedate_to_datetime(rfc5322_date(NOW)).timestamp() == int(NOW)
    assert re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", rfc5322_date(NOW))


def test_generated_message_id() -> None:
    made = generated_message_id("relay.akkaya.local")
    assert re.fullmatch(r"<[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}@relay\.akkaya\.local>", made)
    assert made != generated_message_id("relay.akkaya.local")
