"""Messages made fit, as a mail program would read them before and after."""

from __future__ import annotations

import email
import email.policy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistedrelay.delivery.downgrade import Form, Rewriter, Survey

GERMAN = "Grüße an alle, die dies hier lesen können.\r\nUnd nun zum Schluß.\r\n".encode()


def surveyed(data: bytes, form: Form = "7bit", step: int = 0) -> Survey:
    survey = Survey(form)
    for start in range(0, len(data), step or len(data)):
        survey.feed(data[start : start + (step or len(data))])
    survey.finish()
    return survey


def converted(data: bytes, form: Form = "7bit", step: int = 0) -> bytes:
    survey = surveyed(data, form, step)
    assert survey.problem is None
    out: list[bytes] = []
    rewriter = Rewriter(form, survey.encodings, out.append)
    for start in range(0, len(data), step or len(data)):
        rewriter.feed(data[start : start + (step or len(data))])
    rewriter.finish()
    return b"".join(out)


def part(body: bytes, content_type: str = "text/plain; charset=utf-8", encoding: str = "8bit") -> bytes:
    return f"Content-Type: {content_type}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode() + body


def multipart(*parts: bytes, subtype: str = "mixed", encoding: str = "8bit") -> bytes:
    head = (
        f"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/{subtype}; boundary=b\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    )
    return head.encode() + b"".join(b"--b\r\n" + one + b"\r\n" for one in parts) + b"--b--\r\n"


def payloads(data: bytes) -> list[Any]:
    message: Any = email.message_from_bytes(data, policy=email.policy.SMTP)
    return [each.get_payload(decode=True) for each in message.walk() if not each.is_multipart()]


@pytest.mark.parametrize("end", [b"", b"\r\n", b"\r\n\r\n", b"\r\n\r\nbody\r\n"])
@pytest.mark.parametrize("last", [b"Subject: hello", b"Content-Transfer-Encoding: 8bit"])
def test_the_last_field_stays_whole(last: bytes, end: bytes) -> None:
    """Also where nothing is behind it, not even an empty line."""
    result = converted(b"MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\nFrom: a@b.example\r\n" + last + end)
    message = email.message_from_bytes(result, policy=email.policy.SMTP)
    assert (message["From"], message["Subject"]) == ("a@b.example", "hello" if last.startswith(b"Subject") else None)
    assert message.get_all("Content-Transfer-Encoding") == ["7bit"]
    assert message.get_payload() == ("body\r\n" if end.endswith(b"body\r\n") else "")


def test_a_text_becomes_quoted_printable() -> None:
    data = b"MIME-Version: 1.0\r\n" + part(GERMAN)
    result = converted(data)
    assert result.isascii()
    assert b"Content-Transfer-Encoding: quoted-printable\r\n" in result
    assert b"8bit" not in result
    assert payloads(result) == [GERMAN]


def test_a_text_of_foreign_letters_becomes_base64() -> None:
    text = "Привет всем, кто это читает\r\n".encode()
    result = converted(b"MIME-Version: 1.0\r\n" + part(text))
    assert b"Content-Transfer-Encoding: base64\r\n" in result
    assert payloads(result) == [text]


def test_a_message_that_is_not_mime_becomes_so() -> None:
    result = converted(b"Subject: x\r\n\r\n" + GERMAN)
    message = email.message_from_bytes(result)
    assert (message["MIME-Version"], message["Content-Type"]) == ("1.0", "text/plain; charset=unknown-8bit")
    assert payloads(result) == [GERMAN]


def test_every_part_on_its_own() -> None:
    inner = b"Subject: in\r\n" + part(GERMAN, encoding="8bit")
    image = b"\x89PNG\r\n\x1a\n\0\xff"
    data = multipart(
        part(GERMAN),
        part(b"plain\r\n", encoding="7bit"),
        part(b"clean\r\n"),
        part(image, "image/png", "binary"),
        part(b"aGVsbG8=", "image/png", "base64"),
        part(inner, "message/rfc822"),
        encoding="binary",
    )
    result = converted(data)
    assert result.isascii()
    assert payloads(result) == [*payloads(data)[:3], image, *payloads(data)[4:]]
    labels = [each.get("Content-Transfer-Encoding") for each in email.message_from_bytes(result).walk()]
    assert labels == ["7bit", "quoted-printable", "7bit", "7bit", "base64", "base64", "7bit", "quoted-printable"]


def test_binary_content_for_a_hop_that_takes_8_bits() -> None:
    image = b"\x89PNG\r\n\x1a\n\0\xff"
    result = converted(
        multipart(part(GERMAN), part(image, "image/png", "binary"), part(b"x", "image/png", "binary"), encoding="binary"), "8bit"
    )
    assert GERMAN in result
    labels = [each.get("Content-Transfer-Encoding") for each in email.message_from_bytes(result).walk()]
    assert labels == ["8bit", "8bit", "base64", "7bit"]


@pytest.mark.parametrize("body", [b"a\nb", b"a\rb", b"a\0b", b"x" * 999, b"a\r", b"\nb", b"x" * 998 + b"\r\n" + b"y" * 1000])
@pytest.mark.parametrize("step", [0, 1, 7])
def test_what_no_line_may_hold_is_encoded(body: bytes, step: int) -> None:
    data = multipart(part(body, "application/x", "binary"))
    assert payloads(converted(data, "8bit", step)) == [body]


def test_long_text_lines_that_are_allowed_stay() -> None:
    data = multipart(part(b"x" * 998, "application/x", "8bit"))
    assert not surveyed(data, "8bit").needed


def test_a_signed_part_is_never_touched() -> None:
    signature = part(b"sig", "application/pgp-signature", "7bit")
    refused = surveyed(multipart(part(GERMAN), signature, subtype="signed")).problem
    assert refused is not None
    assert (refused.code, refused.enhanced) == (554, "5.6.3")
    clean = multipart(part(b"text\r\n"), signature, subtype="signed")
    mixed = multipart(part(GERMAN), clean.replace(b"=b\r\n", b"=c\r\n").replace(b"--b", b"--c"))
    assert part(b"text\r\n") in converted(mixed)  # its label, too, is what was signed


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [("message/partial; id=x", "8bit"), ("message/delivery-status", "8bit"), ("text/plain", "base64"), ("multipart/mixed", "8bit")],
)
def test_what_must_not_be_encoded_returns(content_type: str, encoding: str) -> None:
    refused = surveyed(multipart(part(GERMAN, content_type, encoding))).problem
    assert refused is not None
    assert refused.enhanced == "5.6.3"


@pytest.mark.parametrize("field", [b"X: a\rb", b"X: a\0b"])
def test_a_header_section_that_is_no_text_returns(field: bytes) -> None:
    """What would become of it on the way, nobody can tell; nor of its parts."""
    inside = b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n" + field + b"\r\n\r\n\xff\r\n"
    assert surveyed(inside).problem is not None
    assert surveyed(field + b"\r\nMIME-Version: 1.0\r\n\r\n\xff\r\n") is not None


def test_an_international_message_inside_is_encoded_whole() -> None:
    inner = "Subject: Grüße\r\n\r\nhallo\r\n".encode()
    survey = surveyed(multipart(part(inner, "message/global")))
    assert not survey.utf8_header
    assert b"Content-Transfer-Encoding: base64" in converted(multipart(part(inner, "message/global")))


def test_headers_are_looked_at_everywhere() -> None:
    assert surveyed("Subject: Grüße\r\n\r\nx\r\n".encode()).utf8_header
    assert surveyed(multipart("Content-Disposition: attachment; filename=ü.txt\r\n\r\nx".encode())).utf8_header
    assert not surveyed(multipart(part(GERMAN))).utf8_header


def test_too_complex_returns() -> None:
    survey = surveyed(b"Content-Type: message/rfc822\r\n\r\n" * 60 + GERMAN)
    assert survey.problem is not None
    assert survey.problem.text.endswith("too many parts")
    assert survey.incomplete


def test_a_preamble_loses_its_bits() -> None:
    data = multipart(part(b"x")).replace(b"\r\n\r\n--b", "\r\n\r\nfür alte Programme\r\n--b".encode(), 1)
    assert b"f??r alte Programme" in converted(data)


TEXTS = st.lists(st.text(st.characters(exclude_characters="\r\n\0"), max_size=60), max_size=5).map(
    lambda lines: "\r\n".join(lines).encode("utf-8", "replace")
)


@given(st.lists(st.one_of(TEXTS, st.binary(max_size=100)), max_size=5), st.integers(1, 60), st.sampled_from(["7bit", "8bit"]))
def test_any_content_arrives(bodies: list[bytes], step: int, form: Form) -> None:
    bodies = [body for body in bodies if b"--b" not in body]
    data = multipart(*(part(body, "application/x", "binary") for body in bodies), encoding="binary")
    result = converted(data, form)
    assert result == converted(data, form, step)
    assert form == "8bit" or result.isascii()
    encoded = [each for each in email.message_from_bytes(result).walk() if each.get("Content-Transfer-Encoding") == "base64"]
    decoded = [each.get_payload(decode=True) for each in encoded]
    assert decoded == [body for body in bodies if body in decoded]
