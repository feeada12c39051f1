"""What stands behind a verb: paths, parameters, names, encoded values; and addresses by themselves."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import attrs

from tests.proof.targets.target import target, text
from tests.wire.driver import SETTINGS
from twistedrelay.values import xtext
from twistedrelay.values.address import DOMAIN_LIMIT, LOCAL_LIMIT, SRS_LIMIT, Address, AddressError, parse_address, parse_domain, parse_path
from twistedrelay.values.envelope import MailParameters, RcptParameters
from twistedrelay.wire import grammar
from twistedrelay.wire.parameters import CommandError
from twistedrelay.wire.xclient import parse_xclient

ADDRESSES = (
    b"a@b.example",
    b'"a b"@c.example',
    b'"a\\"@b"@[192.0.2.1]',
    b"@[IPv6:2001:db8::1]",
    b"u%x@y.example",
    "jösé@büro.example".encode(),
    "\u3002".encode(),
    b"postmaster",
    b"a" * 64,
    b"@x.example,@y.example:",
    b".",
    b"\0",
)
PARAMETERS = (
    b" SIZE=10",
    b" BODY=8BITMIME",
    b" BODY=BINARYMIME",
    b" AUTH=<>",
    b" AUTH=a+40b.example",
    b" RET=HDRS",
    b" ENVID=a+2Bb",
    b" NOTIFY=SUCCESS,DELAY",
    b" ORCPT=rfc822;a+40b.example",
    b" SMTPUTF8",
    b" REQUIRETLS",
    b" BY=100;RT",
    b" HOLDFOR=10",
    b" HOLDUNTIL=2027-01-01T00:00:00Z",
    b" MT-PRIORITY=-3",
    b"+00",
    b"+0D+0A",
)
RICH = attrs.evolve(SETTINGS, deliver_by=True, future_release=1000, mt_priority=True)
_LENIENT = attrs.evolve(RICH, lenient_syntax_enabled=True)
_STRICT = attrs.evolve(RICH, lenient_syntax_enabled=False, require_ehlo_domain=True)


def _parsed(parse: Callable[..., Any], argument: bytes, *more: Any) -> Any:
    """What a command's parser gives, or None where it refuses with a reply of its own."""
    try:
        return parse(argument, *more)
    except CommandError as error:
        assert 500 <= error.reply.code <= 599
        return None


def _safe(parameters: MailParameters | RcptParameters) -> None:
    """No decoded parameter can break a line of a protocol or of a log."""
    for field in attrs.fields(type(parameters)):
        value = getattr(parameters, field.name)
        if isinstance(value, str):
            assert value.isprintable(), field.name


def _check_path(parse: Callable[..., Any], keyword: bytes, data: bytes) -> None:
    lenient = _parsed(parse, data, _LENIENT)
    strict = _parsed(parse, data, _STRICT)
    if strict is not None:
        assert lenient == strict, "lenient takes all that strict takes, and means the same"
    if lenient is not None:
        address, parameters = lenient
        _safe(parameters)
        assert parse_path(address.text) == address
        if address.text.isascii():
            again = _parsed(parse, keyword + b":<" + address.text.encode() + b">", _STRICT)
            assert again is not None
            assert again[0] == address, "what was taken can be sent on"


@target("mail", b"FROM:<", b">", b"from: ", b" ", *ADDRESSES, *PARAMETERS)
def mail(data: bytes) -> None:
    """What stands behind MAIL."""
    _check_path(grammar.parse_mail, b"FROM", data)


@target("rcpt", b"TO:<", b">", b"to : ", b" ", *ADDRESSES, *PARAMETERS)
def rcpt(data: bytes) -> None:
    """What stands behind RCPT."""
    _check_path(grammar.parse_rcpt, b"TO", data)


@target("hello", b"client.example", b"[192.0.2.1]", b"[IPv6:::1]", b"(null)", b" ", b"a" * 64, b"\xff")
def hello(data: bytes) -> None:
    """What stands behind EHLO."""
    lenient, strict = _parsed(grammar.parse_hello, data, _LENIENT), _parsed(grammar.parse_hello, data, _STRICT)
    assert strict is None or lenient == strict
    if lenient is not None:
        assert lenient.isascii()
        assert lenient.isprintable()
        assert " " not in lenient
        assert len(lenient) <= 255


@target("address", b"@", *ADDRESSES)
def address(data: bytes) -> None:
    """Addresses: what is parsed is parsed the same again, and is of bounded size."""
    written = text(data)
    if written is None:
        return
    found: list[Address | None] = []
    for options in ({}, {"final_dot": True}, {"utf8": True}, {"utf8": True, "final_dot": True}):
        try:
            found.append(parse_address(written, **options))
        except AddressError:
            found.append(None)
    plain, dotted, utf8, all_of_it = found
    assert plain is None or plain == dotted == utf8 == all_of_it
    if all_of_it is None:
        return
    assert all_of_it.text.isprintable()
    assert parse_address(all_of_it.text, utf8=True) == all_of_it, "the text is itself an address, without the final dot"
    assert len(all_of_it.local.encode()) <= (SRS_LIMIT if all_of_it.local.strip('"').upper().startswith("SRS") else LOCAL_LIMIT)
    assert len(all_of_it.domain) <= DOMAIN_LIMIT + len("[ipv6:]")
    assert all_of_it.domain == all_of_it.domain.lower()
    assert parse_domain(all_of_it.domain) == all_of_it.domain, "the domain is in its final form"
    assert parse_address(f"{all_of_it.local}@{all_of_it.domain}", utf8=True) == all_of_it


def naive_xtext(octets: bytes) -> str | None:
    """What an xtext stands for, one octet after the other; None where it is none, or would break a line."""
    found, at = bytearray(), 0
    while at < len(octets):
        octet = octets[at]
        if octet == ord("+"):
            code = octets[at + 1 : at + 3]
            if len(code) < 2 or any(digit not in b"0123456789ABCDEF" for digit in code):
                return None
            found.append(int(code, 16))
            at += 3
        elif 33 <= octet <= 126 and octet != ord("="):
            found.append(octet)
            at += 1
        else:
            return None
    decoded = text(bytes(found))
    return decoded if decoded is not None and decoded.isprintable() else None


@target("xtext", b"+41", b"+0D", b"+0A", b"+00", b"+C3+A9", b"+2B", b"+3D", b"+e9", b"+", b"=", b"a", b"\xc3\xa9", b"\\x{e9}", b"+20", b" ")
def xtext_values(data: bytes) -> None:
    """xtext against a decoder that goes octet by octet; and addresses beyond ASCII, which are printable whatever they were."""
    written = text(data)
    if written is None:
        return
    try:
        found = xtext.decode(written)
    except ValueError:
        assert naive_xtext(data) is None
    else:
        assert found == naive_xtext(data)
    with contextlib.suppress(ValueError):
        meant = xtext.decode_utf8_address(written)
        assert meant.isprintable()
        assert xtext.decode_utf8_address(xtext.embed_beyond_ascii(written)) == meant
    if written and written.isprintable():
        assert xtext.decode(xtext.encode(written)) == written
        for address in (xtext.encode_utf8_address(written), xtext.embed_beyond_ascii(xtext.encode_utf8_address(written))):
            assert address.isascii()
            assert xtext.decode_utf8_address(address) == written


@target(
    "xclient",
    b"ADDR=",
    b"192.0.2.1",
    b"IPV6:2001:db8::1",
    b"[UNAVAILABLE]",
    b" PORT=25",
    b" NAME=x.example",
    b" HELO=",
    b" PROTO=LMTP",
    b" LOGIN=a+40b",
    b" DESTADDR=",
    b" DESTPORT=65536",
    b"+0D+0A",
    b" ",
)
def xclient(data: bytes) -> None:
    """What stands behind XCLIENT: each attribute once, nothing that breaks a line."""
    event = _parsed(parse_xclient, data)
    if event is None:
        return
    assert all(value.isprintable() and len(value) <= 255 for value in (event.name, event.helo, event.login, event.proto))
    assert 0 <= event.port <= 65535
    assert 0 <= event.destination_port <= 65535
    words = data.decode("ascii").upper().split()
    assert len(words) == len({word.partition("=")[0] for word in words})
