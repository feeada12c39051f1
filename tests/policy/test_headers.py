"""Tests for L{twistedrelay.policy.headers} and L{twistedrelay.values.headerfields}."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twistedrelay.policy.headers import HeaderFacts, HeaderRules, authserv_id, own_names
from twistedrelay.policy.rights import Rights
from twistedrelay.values import reply
from twistedrelay.values.headerfields import field_name, split_fields, unfolded

OURS = frozenset({"relay.akkaya.local", "mail.cozumpark.com", "xn--bcher-kva.example"})
ALL = ~Rights.NONE
ANONYMOUS = Rights.SUBMIT | Rights.ACCEPT_HEADERS_ROUTING


@pytest.fixture
def make_rules(make_config: Any) -> Any:
    """The rules of a connector for a session with some rights."""

    def make(rights: Rights = ANONYMOUS, **keys: Any) -> HeaderRules:
        return HeaderRules.of(make_config({"Default Frontend": keys}).receive_connectors["Default Frontend"], rights, OURS)

    return make


def stripped(rules: HeaderRules, content: bytes) -> bytes:
    return rules.strip(HeaderFacts.read(content), content)


# -- the firewall --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "field"),
    [
        (Rights.ACCEPT_HEADERS_ORGANIZATION, b"X-MS-Exchange-Organization-AuthAs: Internal"),
        (Rights.ACCEPT_HEADERS_ORGANIZATION, b"x-ms-EXCHANGE-organization-SCL:-1"),
        (Rights.ACCEPT_HEADERS_ORGANIZATION, b"X-TwistedRelay-Trusted: yes"),
        (Rights.ACCEPT_HEADERS_ORGANIZATION, b"Authentication-Results: relay.akkaya.local; spf=pass"),
        (Rights.ACCEPT_HEADERS_FOREST, b"X-MS-Exchange-Forest-RulesExecuted: x"),
        (Rights.ACCEPT_HEADERS_FOREST, b"X-MS-Exchange-Forest-Folded: x\r\n y\r\n\tz"),
        (Rights.ACCEPT_HEADERS_ROUTING, b"Received: from a\r\n by b; x"),
        (Rights.ACCEPT_HEADERS_ROUTING, b"RECEIVED : from a by b; x"),
        (Rights.ACCEPT_HEADERS_ROUTING, b"Resent-From: a@b"),
        (Rights.ACCEPT_HEADERS_ROUTING, b"Resent-Message-ID: <1@b>"),
    ],
)
def test_a_field_needs_its_right(make_rules: Any, right: Rights, field: bytes) -> None:
    before, behind = b"Subject: a\r\n folded\r\nBcc: x@y\r\n", b"To: b@c\r\n\r\n" + field + b"\r\nbody\r\n"
    content = before + field + b"\r\n" + behind
    assert stripped(make_rules(ALL & ~right), content) == before + behind
    assert stripped(make_rules(ALL), content) is content
    assert stripped(make_rules(ALL & ~right), field + b"\r\n" + behind) == behind
    assert stripped(make_rules(ALL & ~right), before + field + b"\r\n") == before


@pytest.mark.parametrize(
    "field",
    [
        b"X-MS-Exchange-Organisation: x",
        b"X-MS-Exchange-CrossTenant-Id: x",
        b"X-X-TwistedRelay-A: x",
        b"Received-SPF: pass",
        b"X-Received: by relay.akkaya.local",
        b"ARC-Authentication-Results: i=1; relay.akkaya.local; spf=pass",
        b"Authentication-Results-Original: relay.akkaya.local; spf=pass",
        b"Bcc: hidden@b.example",
        b"Return-Path: <a@b.example>",
        b"Subject: Received: Resent-From: X-TwistedRelay-A: Authentication-Results: relay.akkaya.local",
        b"Comments: folded\r\n X-TwistedRelay-A: no field\r\n Authentication-Results: relay.akkaya.local; spf=pass",
    ],
)
def test_other_fields_stay(make_rules: Any, field: bytes) -> None:
    content = b"To: b@c\r\n" + field + b"\r\n\r\nbody"
    assert stripped(make_rules(Rights.SUBMIT), content) is content


def test_a_body_is_no_header(make_rules: Any) -> None:
    for content in (b"Hello world: x\r\nReceived: a\r\n\r\n", b"\r\nReceived: a\r\n\r\nbody", b" X-TwistedRelay-A: 1\r\n\r\n"):
        assert stripped(make_rules(Rights.NONE), content) is content


@pytest.mark.parametrize(
    "value",
    [
        b" relay.akkaya.local; spf=pass",
        b"relay.akkaya.local;spf=pass",
        b" RELAY.Akkaya.LOCAL ; spf=pass",
        b" relay.akkaya.local 1; spf=pass",
        b" relay.akkaya.local (a comment) 1; none",
        b" (a (nested \\) comment)) relay.akkaya.local; spf=pass",
        b"\r\n relay.akkaya.local;\r\n spf=pass",
        b" (x)\r\n\t relay.akkaya.local;\r\n spf=pass",
        b' "relay.akkaya.local"; spf=pass',
        b' "relay\\.akkaya.local"; spf=pass',
        b" relay.akkaya.local.; spf=pass",
        b" relay.akkaya.local",
        b" relay.akkaya.local/1; spf=pass",
        b" =relay.akkaya.local; spf=pass",
        b" (never closed relay.akkaya.local; spf=pass",
        b" mail.cozumpark.com; dkim=pass",
        b" xn--bcher-kva.example; dkim=pass",
        b" b\xc3\xbccher.example; dkim=pass",
        # Not well formed, so nobody knows whom a tolerant reader would take for their author.
        b"",
        b" ; spf=pass",
        b" relay(c).akkaya.local; spf=pass",
        b" relay .akkaya.local; spf=pass",
        b' relay."akkaya".local; spf=pass',
        b' "relay"(c).akkaya.local; spf=pass',
        b" =?utf-8?q?=72elay.akkaya.local?=; spf=pass",
    ],
)
def test_results_in_our_name_are_taken_out(make_rules: Any, value: bytes) -> None:
    field = b"Authentication-Results:" + value + b"\r\n"
    assert stripped(make_rules(), b"A: 1\r\n" + field + b"B: 2\r\n\r\n") == b"A: 1\r\nB: 2\r\n\r\n"
    assert stripped(make_rules(), field.replace(b"Results:", b"Results \t:") + b"B: 2\r\n\r\n") == b"B: 2\r\n\r\n"


@pytest.mark.parametrize(
    "value",
    [
        b" mx.example.org; spf=pass smtp.mailfrom=relay.akkaya.local",
        b" notrelay.akkaya.local; spf=pass",
        b" relay.akkaya.local.example.org; spf=pass",
        b" (relay.akkaya.local) mx.example.org 1; none",
        b' "mx.example.org"; x="relay.akkaya.local"',
        b"  (a) mx.example.org (b)",
    ],
)
def test_results_of_others_stay(make_rules: Any, value: bytes) -> None:
    content = b"Authentication-Results:" + value + b"\r\n\r\n"
    assert stripped(make_rules(), content) is content


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("a.example; x", "a.example"),
        ('"a b"; x', "a b"),
        ("(c) a (d) 1; x", "a"),
        ("", None),
        ("(c", None),
        ("a@b; x", None),
        ("a\\; x", None),
        ("a b; x", None),
        ('"a"b; x', None),
    ],
)
def test_authserv_id(value: str, found: str | None) -> None:
    assert authserv_id(value) == found


def test_our_names_are_those_of_server_and_connectors(make_config: Any) -> None:
    config = make_config({"A": {"fqdn": "Mail.Cozumpark.com."}, "B": {"fqdn": "bücher.example", "bindings": ["0.0.0.0:26"]}})
    assert own_names(config) == OURS


# A header section as hostile as can be: names that are ours in part, folds, bare line ends, octets beyond ASCII.
_names = st.sampled_from(
    [
        b"Received",
        b"received ",
        b"Resent-To",
        b"X-TwistedRelay-A",
        b"X-MS-Exchange-Organization-A",
        b"Authentication-Results",
        b"Subject",
        b"To",
    ]
)
_values = st.lists(
    st.sampled_from([b"a", b" relay.akkaya.local; x", b"(", b'"', b"\\", b"\r\n ", b"\r\n\t", b"\n ", b"\r ", b"\xff", b"Received:", b" "]),
    max_size=6,
).map(b"".join)
_ends = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"])
_fields = st.tuples(_names, _values, _ends).map(lambda parts: parts[0] + b":" + parts[1] + parts[2])
_sections = st.lists(_fields | st.binary(max_size=12), max_size=8).map(b"".join)


@given(st.binary(max_size=60) | _sections)
def test_fields_joined_are_the_section(section: bytes) -> None:
    fields = split_fields(section)
    assert b"".join(fields) == section
    assert all(fields)
    assert not any(field[:1] in (b" ", b"\t") for field in fields[1:])


@given(_sections, st.binary(max_size=40), st.sampled_from([ALL, ANONYMOUS, Rights.NONE, Rights.SUBMIT, Rights.ACCEPT_HEADERS_ORGANIZATION]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_stripping_takes_whole_fields_and_changes_nothing_else(make_rules: Any, section: bytes, body: bytes, rights: Rights) -> None:
    content = section + b"\r\n" + body
    facts = HeaderFacts.read(content)
    rules = make_rules(rights)
    result = rules.strip(facts, content)
    head, rest = content[: facts.size], content[facts.size :]
    assert result.endswith(rest)
    left = split_fields(result[: len(result) - len(rest)])
    remaining = iter(split_fields(head))
    assert all(field in remaining for field in left), "a subsequence of the fields, octet for octet"
    gone = len(split_fields(head)) - len(left)
    assert gone or result is content
    doomed = {b"received": Rights.ACCEPT_HEADERS_ROUTING, b"x-twistedrelay-a": Rights.ACCEPT_HEADERS_ORGANIZATION}
    for field in left:
        assert doomed.get(field_name(field), Rights.NONE) in rights
        if field_name(field) == b"authentication-results" and Rights.ACCEPT_HEADERS_ORGANIZATION not in rights:
            assert not unfolded(field).startswith(b"relay.akkaya.local;")
    again = rules.strip(attrs.evolve(facts, size=len(result) - len(rest)), result)
    assert again is result


# -- limits --------------------------------------------------------------------------------------------------------------


def refusal(rules: HeaderRules, content: bytes) -> reply.Reply | None:
    return rules.refusal(HeaderFacts.read(content), content)


def test_the_size_of_a_header_section(make_rules: Any) -> None:
    rules = make_rules(max_header_size=100)
    head = b"Subject: " + b"x" * 89 + b"\r\n"
    assert refusal(rules, head + b"\r\n" + b"body" * 1000) is None
    assert refusal(rules, b"a" + head + b"\r\n") is reply.HEADER_TOO_LARGE
    assert refusal(rules, head + b"A: 1\r\n") is reply.HEADER_TOO_LARGE
    assert refusal(rules, b"no header at all\r\n" * 100) is None
    assert refusal(rules, b"\r\n" + b"body\r\n" * 100) is None


@pytest.mark.parametrize("octets", [b"a\nb", b"a\rb", b"a\0b", b"a\r\r\nb: c", b"a\n\r\nb: c", b"a\n\nb"])
def test_a_header_section_is_text(make_rules: Any, octets: bytes) -> None:
    """BODY=BINARYMIME lets such things through: a field taken out from between a CR and an LF would make them a line end."""
    content = b"Subject: " + octets + b"\r\nTo: x\r\n\r\n"
    assert refusal(make_rules(), content) is reply.BARE_LINE_ENDING
    assert refusal(make_rules(), b"Subject: x\r\n\r\n" + octets) is None


@pytest.mark.parametrize("seen", range(24))
def test_a_header_section_of_which_not_all_was_seen(make_rules: Any, seen: int) -> None:
    assert refusal(make_rules(), b"Subject: x\r\nTo: x\r\n\r\nb"[:seen]) is None


@pytest.mark.parametrize(("limit", "hops", "refused"), [(60, 60, False), (60, 61, True), (1, 1, False), (1, 2, True)])
def test_hops(make_rules: Any, limit: int, hops: int, refused: bool) -> None:
    content = b"Received: from a by b; x\r\n" * hops + b"\r\n"
    assert (refusal(make_rules(max_hop_count=limit), content) is reply.HOP_COUNT_EXCEEDED) is refused


@pytest.mark.parametrize(
    ("limit", "by", "refused"),
    [
        (5, b"relay.akkaya.local", True),
        (5, b"RELAY.akkaya.local. (x)", True),
        (5, b"other.akkaya.local", False),
        (5, b"mail.cozumpark.com", True),
        (6, b"relay.akkaya.local", False),
        (0, b"relay.akkaya.local", False),
    ],
)
def test_local_hops(make_rules: Any, limit: int, by: bytes, refused: bool) -> None:
    field = b"Received: from relay.akkaya.local (by-pass [192.0.2.1])\r\n\tby " + by + b" with SMTP;\r\n x\r\n"
    content = b"Received: from a by b; x\r\n" + field * 6 + b"\r\n"
    found = refusal(make_rules(max_local_hop_count=limit), content)
    assert (found is reply.LOCAL_HOP_COUNT_EXCEEDED) is refused


# -- what it tells -------------------------------------------------------------------------------------------------------


def test_facts_of_an_ordinary_message() -> None:
    facts = HeaderFacts.read(
        b"Received: from a by b; x\r\nreceived: from c\r\n by d; y\r\nSUBJECT: Test\r\n  email \r\nMessage-Id:\r\n <1@x.example> \r\n\r\n"
        b"Received: in the body\r\nMessage-ID: <2@y>\r\n"
    )
    assert facts == HeaderFacts(True, True, "<1@x.example>", 2, "Test  email", 109)


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
    assert len(HeaderFacts.read(b"Subject: " + b"x" * 5000 + b"\r\n\r\n").subject) == 1000


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
