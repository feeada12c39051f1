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
from twistedrelay.policy.trace import HeaderFacts, generated_message_id, helo_text, received_header, rfc5322_date
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
        "Received: from printer (192.168.1.30) by relay.akkaya.local (192.168.1.5)"
        " with ESMTPS (version=TLSv1.3, cipher=TLS_AES_256_GCM_SHA384) id 854698491929 for <user@akkaya.local>; " + rfc5322_date(NOW)
    )
    assert max(map(len, header.split(b"\r\n"))) <= 100


@pytest.mark.parametrize(
    ("login", "changes", "keyword"),
    [
        ("", {}, "SMTP"),
        ("", {"esmtp": True}, "ESMTP"),
        ("", {"esmtp": True, "tls_version": "TLSv1.2"}, "ESMTPS"),
        ("user@akkaya.local", {"esmtp": True}, "ESMTPA"),
        ("user@akkaya.local", {"esmtp": True, "tls_version": "TLSv1.2"}, "ESMTPSA"),
    ],
)
def test_protocol(make_header: Any, login: str, changes: dict[str, Any], keyword: str) -> None:
    assert re.search(rf"\) with {keyword} (?:\(version|id )", unfolded(make_header(login, **changes)))


def test_the_login_is_not_told(make_header: Any) -> None:
    assert b"secret.name" not in make_header("secret.name@akkaya.local", esmtp=True)


def test_recipients_are_not_told_of_each_other(make_header: Any) -> None:
    assert b"for <" not in make_header(count=2)
    assert b"for <" not in make_header(recipient=None)
    assert b"for <" not in make_header(recipient=parse_address("bücher@akkaya.local", utf8=True))


def test_no_helo_name() -> None:
    assert helo_text("", parse_ip("192.168.1.30")) == "[192.168.1.30]"
    assert helo_text("", parse_ip("2001:db8::1")) == "[IPv6:2001:db8::1]"


@given(st.text(max_size=400))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_helo_never_breaks_the_header(make_header: Any, helo: str) -> None:
    header = make_header(helo=helo)
    parsed = email.message_from_bytes(header + b"\r\nbody", policy=email.policy.compat32)
    assert parsed.keys() == ["Received"]
    assert header.count(b"\r\n") == 5
    assert len(header) < 600
    assert b"(" not in header.split(b" (192.168.1.30)")[0]


def test_date() -> None:
    assert email.utils.parsedate_to_datetime(rfc5322_date(NOW)).timestamp() == int(NOW)
    assert re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", rfc5322_date(NOW))


def test_generated_message_id() -> None:
    made = generated_message_id("relay.akkaya.local")
    assert re.fullmatch(r"<[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}@relay\.akkaya\.local>", made)
    assert made != generated_message_id("relay.akkaya.local")


def test_facts_of_an_ordinary_message() -> None:
    facts = HeaderFacts.read(
        b"Received: from a by b; x\r\nreceived: from c\r\n by d; y\r\nSUBJECT: Test\r\n  email \r\nMessage-Id:\r\n <1@x.example> \r\n\r\n"
        b"Received: in the body\r\nMessage-ID: <2@y>\r\n"
    )
    assert facts == HeaderFacts(True, True, "<1@x.example>", 2, "Test  email")


@pytest.mark.parametrize(
    ("content", "complete", "has_header"),
    [
        (b"", False, False),
        (b"\r\n", True, True),
        (b"\r\nbody: x\r\n\r\n", True, True),
        (b"Testing\r\n", True, False),
        (b"Hello world: x\r\nSubject: no\r\n\r\n", True, False),
        (b": x\r\n\r\n", True, False),
        (b" folded: x\r\n\r\n", True, False),
        (b"S\xc3\xbc: x\r\n\r\n", True, False),
        (b"Subj", False, False),
        (b"Subject:", False, True),
        (b"Subject: x\r\n", False, True),
        (b"Subject: x\r\n\r\n", True, True),
        (b"Subject : x\r\n\r\nbody", True, True),
    ],
)
def test_whether_there_is_a_header_section(content: bytes, complete: bool, has_header: bool) -> None:
    facts = HeaderFacts.read(content)
    assert (facts.complete, facts.has_header) == (complete, has_header)


@pytest.mark.parametrize("value", [b"", b"1@x.example", b"<>", b"<a b@x>", b"<\xff@x>", b"<a@x\r\n y>", b"<" + b"a" * 996 + b">"])
def test_what_cannot_be_a_message_id_is_none(value: bytes) -> None:
    assert HeaderFacts.read(b"Message-ID: " + value + b"\r\n\r\n").message_id == ""


def test_names_that_only_begin_or_end_alike_do_not_count() -> None:
    facts = HeaderFacts.read(b"X-Received: 1\r\nReceived-SPF: 2\r\nX-Subject: 3\r\nResent-Message-ID: <4@x>\r\n Received: folded\r\n\r\n")
    assert (facts.received_count, facts.subject, facts.message_id) == (0, "", "")


def test_a_subject_is_safe_and_bounded() -> None:
    assert HeaderFacts.read(b"Subject: a\x1b[31m\x00b\xff\r\n\r\n").subject == "a [31m b\N{REPLACEMENT CHARACTER}"
    assert len(HeaderFacts.read(b"Subject: " + b"x" * 5000 + b"\r\n\r\n").subject) == 255


names = st.sampled_from(["Received", "Subject", "Message-ID", "X-Other", "received", "Date"])
values = st.text(alphabet="ab <>@:.", max_size=12)


@given(st.lists(st.tuples(names, values, st.booleans()), min_size=1, max_size=6), st.binary(max_size=40))
def test_facts_agree_with_a_full_parser(fields: list[tuple[str, str, bool]], body: bytes) -> None:
    lines = [f"{name}: {value}" + ("\r\n folded" if folded else "") + "\r\n" for name, value, folded in fields]
    facts = HeaderFacts.read("".join(lines).encode() + b"\r\n" + body)
    assert facts.complete
    assert facts.has_header
    assert facts.received_count == sum(name.lower() == "received" for name, _, _ in fields)
    subjects = [(value + (" folded" if folded else "")).strip() for name, value, folded in fields if name == "Subject"]
    assert facts.subject == (subjects[0] if subjects else "")


@given(st.binary(max_size=60))
def test_any_octets_can_be_read(content: bytes) -> None:
    facts = HeaderFacts.read(content)
    assert facts.has_header or not facts.message_id
