"""Tests for L{twistedrelay.pickup.letter}, C{addresses}, C{parameters} and C{lines}: what a file asks for."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistedrelay.config.schema import Config
from twistedrelay.pickup.addresses import addresses
from twistedrelay.pickup.letter import Letter, Reader, readers
from twistedrelay.pickup.lines import LetterError, Lines
from twistedrelay.values.envelope import MailParameters, RcptParameters


def reader(name: str, **transport: Any) -> Reader:
    server = {"name": "E", "fqdn": "relay.akkaya.local", "state_directory": "/none"}
    config = {"server": server, "accepted_domains": {"akkaya.local": {"next_hop": "m:25"}}, "transport": transport}
    return readers(Config.model_validate(config))[name]


def read(header: str, name: str = "Pickup", **transport: Any) -> Letter:
    return reader(name, **transport).read(header.replace("\n", "\r\n").encode(), 1_800_000_000.0)


def people(letter: Letter) -> list[str]:
    return [recipient.address.text for recipient in letter.recipients]


# -- pickup ------------------------------------------------------------------------------------------------------------------


def test_the_envelope_is_that_of_the_fields() -> None:
    letter = read(
        'From: "Cengiz, the one" <cengiz@akkaya.local>\nTo: a@x.org,\n b@x.org (Bee), Team: c@x.org, "d d"@x.org;\n'
        "Cc: A@x.org, root, Nobody:;\nBcc: hidden@x.org\nBCC : hidden@y.org\nSubject: x\n"
    )
    assert letter.sender.text == "cengiz@akkaya.local"
    wanted = ["a@x.org", "b@x.org", "c@x.org", '"d d"@x.org', "A@x.org", "root@akkaya.local", "hidden@x.org", "hidden@y.org"]
    assert people(letter) == wanted
    assert [recipient.index for recipient in letter.recipients] == list(range(8))
    assert b"hidden" not in letter.header
    assert letter.header.startswith(b"From: ") and letter.header.count(b"\r\nDate: ") == letter.header.count(b"\r\nMessage-ID: ") == 1
    assert letter.header.endswith(f"Message-ID: {letter.message_id}\r\n".encode())


def test_sender_goes_before_from() -> None:
    assert read("From: a@x.org, b@x.org\nSender: c@x.org\nTo: d@x.org\n").sender.text == "c@x.org"


def test_date_and_message_id_of_the_message_stay() -> None:
    letter = read("From: a@x.org\nTo: b@x.org\nDate: Sun, 22 Nov 2026 06:30:15 +0000\nmessage-id: <1@x.org>\n")
    assert letter.message_id == "<1@x.org>" and letter.header.lower().count(b"message-id") == letter.header.count(b"Date") == 1


def test_what_nobody_vouches_for_does_not_go_on() -> None:
    gone = (
        "Received: by me\nResent-From: z@x.org\nResent-Bcc: y@x.org\nReturn-Path: <w@x.org>\nX-MS-Exchange-Organization-SCL: -1\n"
        "X-TwistedRelay-Trusted: yes\nAuthentication-Results: relay.akkaya.local; spf=pass\n"
    )
    letter = read(f"From: a@x.org\n{gone}To: b@x.org\nDate: x\nMessage-ID: <1@x>\n")
    assert letter.header == b"From: a@x.org\r\nTo: b@x.org\r\nDate: x\r\nMessage-ID: <1@x>\r\n"


def test_addresses_beyond_ascii_need_smtputf8() -> None:
    assert read("From: a@x.org\nTo: ü@x.org\n").parameters == MailParameters(smtp_utf8=True)
    assert read("From: ü <a@x.org>\nTo: a@bücher.example\n").parameters.smtp_utf8
    assert not read("From: ü <a@x.org>\nTo: b@x.org\n").parameters.smtp_utf8


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("", "no header section"),
        ("just text\n", "no header section"),
        ("Subject: x\nTo: a@x.org\n", "neither From nor Sender"),
        ("From: a@x.org, b@x.org\nTo: c@x.org\n", "2 addresses in From, and no Sender"),
        ("From: a@x.org\nSubject: x\n", "no recipients"),
        ("From: a@x.org\nTo: Nobody:;\n", "no recipients"),
        ("From: a@x.org\nTo: good@x.org, b@\n", "is no address"),
        ("From: a@x.org\nTo: b@x.org c@x.org\n", "'b@x.org c@x.org' is no address"),
        ("From: a@x.org\nTo: <b@x.org\n", "has no > behind a <"),
        ("From: a@x.org\nTo: good@x.org, (b@x.org\n", "has a comment without an end"),
        ('From: a@x.org\nTo: good@x.org, "b@x.org\n', "cannot be read as addresses"),
        ("From: a@x.org\nTo: b@x..org\n", "is no address"),
        ("From: a@x.org\nTo: " + ", ".join(f"u{number}@x.org" for number in range(101)) + "\n", "101 recipients; allowed: 100"),
        ("From: a@x.org\nTo: b@x.org\nX: " + "y" * 70_000 + "\n", "Header size exceeds"),
    ],
)
def test_what_cannot_be_picked_up(header: str, why: str) -> None:
    with pytest.raises(LetterError) as caught:
        read(header)
    assert why in str(caught.value)


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=60))
def test_any_field_is_taken_or_refused_in_words(value: str) -> None:
    try:
        letter = read(f"From: a@x.org\nTo: {value}\n")
    except LetterError:
        return
    assert all(one.address.domain for one in letter.recipients)


def test_addresses_of_every_shape() -> None:
    """RFC 5322 section 3.4, and what the obsolete syntax and people make of it."""
    shapes = {
        "a@x.org": ["a@x.org"],
        " , a@x.org ,, ": ["a@x.org"],
        '"X, (Y) <z@z>" <a@x.org>, =?utf-8?q?B?= <b@x.org>': ["a@x.org", "b@x.org"],
        "(one (two) \\) three) a@x.org (four)": ["a@x.org"],
        "Team: a@x.org, B <b@x.org>;, c@x.org": ["a@x.org", "b@x.org", "c@x.org"],
        "undisclosed-recipients:;": [],
        "<@relay.org,@other.org:a@x.org>": ["a@x.org"],
        "a@[192.0.2.1], a@[IPv6:2001:db8::1]": ["a@[192.0.2.1]", "a@[IPv6:2001:db8::1]"],
        'John "the man" Smith <a@x.org>': ["a@x.org"],
        '"a b"@x.org, root': ['"a b"@x.org', "root"],
        "< a@x.org >": ["a@x.org"],
        "<a@x.org> (x) , b@x.org": ["a@x.org", "b@x.org"],
    }
    for value, wanted in shapes.items():
        assert [text.strip() for text in addresses(value)] == wanted, value


# -- replay ------------------------------------------------------------------------------------------------------------------


def test_the_envelope_comes_first() -> None:
    letter = read(
        "X-Sender: <cengiz@akkaya.local> BODY=8BITMIME RET=HDRS ENVID=a+2Bb AUTH=<> MT-PRIORITY=-3 REQUIRETLS\n"
        "X-Receiver: <a@x.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b@x.org\nX-receiver: c@x.org NOTIFY=never orcpt=d@x.org\n"
        'X-Receiver: <"e e"@x.org>\nX-Receiver: c@x.org\nX-CreatedBy: somebody\nX-Source: there\nX-EndOfInjectedXHeaders: 1\n'
        "Received: by other\nTo: shown@x.org\nX-Receiver: late@x.org\nResent-Bcc: hidden@x.org\nSubject: x\n",
        "Replay",
    )
    assert letter.sender.text == "cengiz@akkaya.local"
    assert letter.parameters == MailParameters(body="8BITMIME", ret="HDRS", envid="a+b", auth="<>", priority=-3, require_tls=True)
    assert [(one.address.text, one.parameters) for one in letter.recipients] == [
        ("a@x.org", RcptParameters(frozenset({"SUCCESS", "DELAY"}), "rfc822;b@x.org")),
        ("c@x.org", RcptParameters(frozenset({"NEVER"}), "rfc822;d@x.org")),
        ('"e e"@x.org', RcptParameters()),
    ]
    assert letter.header == b"Received: by other\r\nTo: shown@x.org\r\nSubject: x\r\n"


def test_the_null_sender_and_many_recipients() -> None:
    letter = read("X-Sender: <>\n" + "".join(f"X-Receiver: u{number}@x.org\n" for number in range(5000)) + "Subject: x\n", "Replay")
    assert letter.sender.is_null and len(letter.recipients) == 5000


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("Subject: x\nX-Sender: a@x.org\nX-Receiver: b@x.org\n", "must begin with X-Sender"),
        ("X-Receiver: b@x.org\nSubject: x\n", "must begin with X-Sender"),
        ("X-Sender: a@x.org\nX-Sender: b@x.org\nX-Receiver: b@x.org\n", "must begin with X-Sender"),
        ("X-Sender: a@x.org\nSubject: x\n", "no recipients"),
        ("X-Sender: a@x.org\nX-Receiver:\n", "is no address"),
        ("X-Sender: a@x.org\nX-Receiver: <>\n", "is no address"),
        ("X-Sender: a@x.org RET=ALL\nX-Receiver: b@x.org\n", "RET='ALL' cannot be used"),
        ("X-Sender: a@x.org ENVID=a ENVID=b\nX-Receiver: b@x.org\n", "ENVID is given twice"),
        ("X-Sender: a@x.org BODY=BINARYMIME\nX-Receiver: b@x.org\n", "BODY='BINARYMIME' cannot be used"),
        ("X-Sender: a@x.org MT-PRIORITY=10\nX-Receiver: b@x.org\n", "cannot be used"),
        ("X-Sender: a@x.org\nX-Receiver: b@x.org NOTIFY=NEVER,DELAY\n", "cannot be used"),
        ("X-Sender: a@x.org\nX-Receiver: b@x.org ORCPT=rfc822;a+0Ab\n", "cannot be used"),
        ("X-Sender: a@x.org\nX-Receiver: b@x.org SIZE=3\n", "cannot be used"),
        ("X-Sender: a@x.org\nX-Receiver: b@x.org\n" + "Received: x\n" * 61, "Hop count exceeded"),
    ],
)
def test_what_cannot_be_replayed(header: str, why: str) -> None:
    with pytest.raises(LetterError) as caught:
        read(header, "Replay")
    assert why in str(caught.value)


# -- lines -------------------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=60).map(lambda text: text.replace(b"\0", b"\n")), st.lists(st.integers(0, 60), max_size=5))
def test_lines_end_in_crlf_however_they_come(text: bytes, cuts: list[int]) -> None:
    lines = Lines()
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    made = b"".join(lines.feed(text[start:end]) for start, end in itertools.pairwise(edges)) + lines.end()
    wanted = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    assert made == (wanted if wanted.endswith(b"\r\n") or not wanted else wanted + b"\r\n")
    assert lines.eight_bit is not text.isascii()
