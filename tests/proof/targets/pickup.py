"""Mail by file and by command: pickup and replay files, the command line of sendmail with the message behind it, lists of addresses."""

from __future__ import annotations

import os
import re
from email.utils import getaddresses

from tests.proof.targets.target import packets, target, text
from twistedrelay.config.schema import Config
from twistedrelay.pickup import addresses as lists
from twistedrelay.pickup.compose import Composed, compose
from twistedrelay.pickup.letter import Letter, readers
from twistedrelay.pickup.lines import LetterError, Lines
from twistedrelay.pickup.options import UsageError, parse
from twistedrelay.pickup.submit import replay_file
from twistedrelay.values.address import parse_path
from twistedrelay.values.headerfields import field_name, split_fields
from twistedrelay.wire.client_offers import Offers, mail_words, rcpt_words

CONFIG = Config.model_validate(
    {
        "server": {"name": "E", "fqdn": "relay.here.example", "state_directory": "/none"},
        "accepted_domains": {"here.example": {"next_hop": "m:25"}},
    }
)
READERS = readers(CONFIG)
NOW = 1_800_000_000.0

_EVERYTHING = Offers(dsn=True, utf8=True, eight_bit=True, require_tls=True, priority=True)
_ENVELOPE = frozenset((b"x-sender", b"x-receiver", b"x-createdby", b"x-helodomain", b"x-source", b"x-endofinjectedxheaders"))
_ANY_LINE = re.compile(rb"\r\n|\r|\n")


def _normal(data: bytes) -> bytes:
    """Its lines, the same in whatever pieces they come."""
    seen = set()
    for parts in packets(data):
        lines = Lines()
        try:
            seen.add(b"".join([lines.feed(part) for part in parts]) + lines.end())
        except LetterError:
            seen.add(b"\0")
    assert len(seen) == 1
    return seen.pop()


def _header(text: bytes) -> bytes:
    """The header section as a file of this text has it."""
    end = text.find(b"\r\n\r\n")
    return text if end < 0 else text[: end + 2]


def _check(letter: Letter, header: bytes) -> None:
    """An envelope that can be said, and a header section that brings nothing along."""
    assert letter.recipients
    said = f"MAIL FROM:<{letter.sender}>" + mail_words(_EVERYTHING, letter.parameters, 10, utf8=True, logged_in=True)
    for recipient in letter.recipients:
        assert parse_path(recipient.address.text) == recipient.address
        said += f" RCPT TO:<{recipient.address}>" + rcpt_words(_EVERYTHING, recipient.address.text, recipient.parameters)
    assert parse_path(letter.sender.text) == letter.sender
    assert said.isprintable(), said
    assert not letter.header or letter.header.endswith(b"\r\n")  # nothing is left where all fields were of the envelope
    assert b"\r\n\r\n" not in letter.header
    for line in _ANY_LINE.split(letter.header):
        name = field_name(line)
        assert line[:1] in (b" ", b"\t") or not name.startswith((b"x-ms-exchange-organization-", b"x-twistedrelay-"))
        assert line[:1] in (b" ", b"\t") or name not in (b"bcc", b"return-path")
    kept = [field for field in split_fields(letter.header) if field in split_fields(header)]
    assert len(split_fields(letter.header)) - len(kept) <= 2


_FIELDS = (
    b"X-Sender: <a@here.example> BODY=8BITMIME RET=HDRS ENVID=x+2By\r\n",
    b"X-Receiver: <b@there.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;c+2B@x\r\n",
    b"X-Receiver: c@there.example\n",
    b"X-Sender: <>\r\n",
    b"X-EndOfInjectedXHeaders: 1\r\n",
    b"X-CreatedBy: x\r\n",
    b"From: A <a@here.example>\r\n",
    b"Sender: b@here.example\r\n",
    b'To: x@y.example, "q, r" <z@y.example>,\r\n Team: u@y.example;\r\n',
    b"Bcc: hidden@y.example\r\n",
    b"bcc\t: hidden@y.example\r\n",
    b"Return-Path: <x@y.example>\r\n",
    b"X-MS-Exchange-Organization-SCL: -1\r\n",
    b"Resent-To: x@y.example\r\n",
    b"Date: x\r\n",
    b"Message-ID: <a@b>\r\n",
    "To: \u00fc@\u00fc.example\r\n".encode(),
    b"AUTH=<>",
    b"MT-PRIORITY=-9",
    b"ENVID=+0D+0A",
    b"(c(o)m\\))",
    b"\r",
    b"\n",
    b"\r\n ",
    b":",
    b"\0",
    b"\xff",
)


@target("letters", *_FIELDS)
def letters(data: bytes) -> None:
    """A file of either directory: refused with a reason, or an envelope and a header section that are safe to pass on."""
    header = _header(_normal(data))
    if header.startswith((b"\r\n", b"\0")):
        return
    for name, reader in READERS.items():
        try:
            letter = reader.read(header, NOW)
        except LetterError as error:
            assert str(error)
            continue
        _check(letter, header)
        names = [field_name(field) for field in split_fields(letter.header)]
        if name == "Replay":
            assert not _ENVELOPE & set(names)
        else:
            assert b"date" in names
            assert b"message-id" in names
            assert b"received" not in names


@target(
    "sendmail",
    b"-t\n-i\n\n",
    b"-f\na@here.example\nb@there.example\n\n",
    b"-fa@here.example\n",
    b'-F\nName "x" \xc3\xbc\n',
    b"-f\n\xc3\xbc@here.example\n",
    b"-F\nA\rBcc: x@y.example\n",
    b"-Nnever\n",
    b"-N\nsuccess,delay\n",
    b"-Rhdrs\n",
    b"-V\nx y\xc3\xbc+=\n",
    b"-oi\n-oem\n",
    b"-bs\n",
    b"-qf\n",
    b"--\n-x@y.example\n",
    b"root\n",
    b"\n\n",
    b"From a@b Thu Jan  1 00:00:00 1970\n",
    b"\n.\n",
    *_FIELDS,
)
def sendmail(data: bytes) -> None:
    """Arguments, one a line, and the message behind an empty line: what goes on has the envelope asked for, and the same body."""
    given, _, message = data.partition(b"\n\n")
    try:
        options = parse("sendmail", [os.fsdecode(one) for one in given.split(b"\n") if b"\0" not in one], {})
    except UsageError as error:
        assert str(error)
        return
    if options.mode != "send":
        return
    try:
        made = compose(message, options, "here.example")
        replay = replay_file(made, CONFIG)
    except LetterError as error:
        assert str(error)
        return
    header = _header(replay)
    body = replay[len(header) + 2 :]
    letter = READERS["Replay"].read(header, NOW)
    _check(letter, header)
    assert letter.sender == made.sender
    assert [recipient.address for recipient in letter.recipients] == made.recipients
    assert _normal(message).endswith(body)
    _check_header(made, message)


def _check_header(made: Composed, message: bytes) -> None:
    names = [field_name(field) for field in split_fields(_header(made.content))]
    assert {b"from", b"date", b"message-id"} <= set(names)
    assert not {b"bcc", b"resent-bcc", b"return-path"} & set(names)
    brought = [field_name(field) for field in split_fields(message)]
    added = [name for name in set(names) if names.count(name) > brought.count(name)]
    assert set(added) <= {b"from", b"date", b"message-id"}, added


@target(
    "addresses",
    b"a@x.example, ",
    b'"q, r" <z@y.example>',
    b"Team: u@y.example, v@y.example;",
    b"<@r.example:a@x.example>",
    b'"a b"@x.example',
    b"(c(o)m\\))",
    b"root",
    b"[192.0.2.1]",
    "\u00fc@\u00fc.example".encode(),
    b"<",
    b">",
    b";",
    b":",
    b",",
    b"\\",
    b'"',
)
def addresses(data: bytes) -> None:
    """A list: refused as a whole, or each of its addresses as the library reads it, where that is sure of itself."""
    written = text(data)
    if written is None:
        return
    try:
        found = [one.text for one in lists.field_addresses([data], "here.example")]
    except LetterError as error:
        assert str(error)
        return
    assert all(parse_path(one).text == one for one in found)
    if re.fullmatch(r"[\w.@ ,-]*", written, re.ASCII):
        simple = [address if "@" in address else f"{address}@here.example" for _, address in getaddresses([written]) if address]
        assert found == list(dict.fromkeys(simple))
