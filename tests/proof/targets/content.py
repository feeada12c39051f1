"""Messages: the header firewall, and the conversion for a next hop that takes less."""

from __future__ import annotations

import email
import email.message
import re
from typing import Literal

from tests.proof.targets.target import packets, target
from twistedrelay.delivery.downgrade import Rewriter, Survey
from twistedrelay.policy.headers import HeaderFacts, HeaderRules, authserv_id
from twistedrelay.values.headerfields import field_name, split_fields

DOOMED = (b"x-ms-exchange-organization-", b"x-twistedrelay-", b"received")
RULES = HeaderRules(10_000, 1000, 0, DOOMED, frozenset({"relay.example", "xn--bro-hoa.example"}), own_results=False)


def _is_doomed(line: bytes) -> bool:
    name, colon, _ = line.partition(b":")
    name = name.rstrip(b" \t\r\n").lower()
    return bool(colon) and (name == b"received" or name.startswith(DOOMED[:2]))


@target(
    "firewall",
    b"X-MS-Exchange-Organization-SCL: -1\r\n",
    b"x-twistedrelay-a : b\r\n",
    b"Received: from x\r\n by y\r\n",
    b"Received:\n\tx\r\n",
    b"Authentication-Results: relay.example; spf=pass\r\n",
    b'Authentication-Results: (c) "relay.example" 1; none\r\n',
    b"Authentication-Results: other.example; relay.example\r\n",
    "Authentication-Results: b\u00fcro.example; none\r\n".encode(),
    b"Subject: x\r\n",
    b"Subject: X-TwistedRelay-A: 1\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b":",
    b"\0",
    b"\xff",
)
def firewall(data: bytes) -> None:
    """What is stripped is whole fields, and no other octet changes; nothing that must go stays, whatever line ends a reader knows."""
    facts = HeaderFacts.read(data)
    head, body = data[: facts.size], data[facts.size :]
    fields = split_fields(head)
    assert b"".join(fields) == head
    if RULES.refusal(facts, data) is not None:
        return
    left = RULES.strip(facts, data)
    assert left.endswith(body)
    kept = split_fields(left[: len(left) - len(body)])
    at = 0
    for field in kept:  # a part of the fields, in their order, each as it was
        at = fields.index(field, at) + 1
    gone = [field_name(field) for field in fields]
    for field in kept:
        gone.remove(field_name(field))
    assert all(name.startswith(DOOMED) or name == b"authentication-results" for name in gone)
    for line in re.split(rb"(?:\r\n|\r|\n)(?![ \t]+:)", left[: len(left) - len(body)]):  # a colon may be on the next line
        assert line[:1] in (b" ", b"\t") or not _is_doomed(line)
    again = HeaderFacts.read(left)
    if left is not data and kept and again.has_header:
        assert RULES.strip(again, left) == left, "once is enough"
    authserv_id(data.decode("latin-1"))


def _leaves(message: email.message.Message) -> list[tuple[str, bytes]]:
    """Type and decoded octets of each part that has a body of its own."""
    return [
        (part.get_content_type(), part.get_payload(decode=True))  # type: ignore[misc]
        for part in message.walk()
        if not part.is_multipart()
    ]


def _other_fields(message: email.message.Message) -> list[tuple[str, str]]:
    added = ("content-transfer-encoding", "content-type", "mime-version")
    return [(name.lower(), str(value)) for part in message.walk() for name, value in part.items() if name.lower() not in added]


def _converted(parts: list[bytes], form: Literal["7bit", "8bit"]) -> tuple[Survey, bytes]:
    survey = Survey(form)
    for part in parts:
        survey.feed(part)
    survey.finish()
    if survey.problem is not None:
        return survey, b""
    written: list[bytes] = []
    rewriter = Rewriter(form, survey.encodings, written.append)
    for part in parts:
        rewriter.feed(part)
    rewriter.finish()
    return survey, b"".join(written)


@target(
    "downgrade",
    b"MIME-Version: 1.0\r\n",
    b"Content-Type: text/plain; charset=utf-8\r\n",
    b"Content-Type: application/octet-stream\r\n",
    b"Content-Type: multipart/mixed; boundary=b\r\n",
    b'Content-Type: multipart/signed; boundary="s"\r\n',
    b"Content-Type: multipart/digest;\r\n boundary=b\r\n",
    b"Content-Type: message/rfc822\r\n",
    b"Content-Transfer-Encoding: 8bit\r\n",
    b"Content-Transfer-Encoding: binary\r\n",
    b"Content-Transfer-Encoding: base64\r\n",
    b"Subject: x\r\n",
    b"\r\n",
    b"\r\n--b\r\n",
    b"\r\n--b--\r\n",
    b"\r\n--s\r\n",
    b"--b\r\n",
    b"\xc3\xa9t\xc3\xa9\r\n",
    b"\xff" * 30,
    b"x" * 400,
    b"=20 \r\n",
    b" \r\n",
    b"\n",
    b"\0",
)
def downgrade(data: bytes) -> None:
    """What was converted is what it must be, decodes to the same octets with another parser, and does not depend on packets."""
    for form in ("7bit", "8bit"):
        seen = [_converted(parts, form) for parts in packets(data)]
        first, out = seen[0]
        assert all(written == out and (one.problem is None) == (first.problem is None) for one, written in seen)
        if first.problem is not None:
            continue
        expected = data if data.endswith(b"\n") or not data else data + b"\r\n"
        if not first.encodings and not first.needed:
            assert out == expected or not data
            continue
        again = Survey(form)
        again.feed(out)
        again.finish()
        assert again.problem is None
        assert not again.needed, "once is enough"
        _same_to_another_parser(data, out, form)


def _same_to_another_parser(data: bytes, out: bytes, form: str) -> None:
    """Compare with what the library's parser finds, but where it reads a broken message in a way of its own."""
    if re.search(rb"\r(?!\n)", data):
        return  # a line end, to the library
    before, after = email.message_from_bytes(data), email.message_from_bytes(out)
    if any(part.defects for part in (*before.walk(), *after.walk())):
        return
    if "Content-Transfer-Encoding" in before and not ("MIME-Version" in before or "Content-Type" in before):
        return  # such an encoding means nothing (RFC 2045 section 4), but the library believes it
    body = out.partition(b"\r\n\r\n")[2]
    if form == "7bit" and not before.is_multipart():
        assert body.isascii()
    assert [kind for kind, _ in _leaves(before)] == [kind for kind, _ in _leaves(after)]
    for (_, one), (_, other) in zip(_leaves(before), _leaves(after), strict=True):
        assert (one or b"").rstrip(b"\r\n") == (other or b"").rstrip(b"\r\n")
    assert _other_fields(before) == _other_fields(after)
