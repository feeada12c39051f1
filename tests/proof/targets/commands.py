"""What stands behind a verb: paths, parameters, names, SASL responses; and addresses by themselves."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

import attrs

from tests.proof.targets.target import target, text
from tests.wire.driver import SETTINGS
from twistedrelay.values.address import DOMAIN_LIMIT, LOCAL_LIMIT, Address, AddressError, parse_address, parse_domain, parse_path
from twistedrelay.values.envelope import MailParameters, RcptParameters
from twistedrelay.wire import grammar, sasl

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
    except grammar.CommandError as error:
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
    assert len(all_of_it.local.encode()) <= LOCAL_LIMIT
    assert len(all_of_it.domain) <= DOMAIN_LIMIT + len("[ipv6:]")
    assert all_of_it.domain == all_of_it.domain.lower()
    assert parse_domain(all_of_it.domain) == all_of_it.domain, "the domain is in its final form"
    assert parse_address(f"{all_of_it.local}@{all_of_it.domain}", utf8=True) == all_of_it


def _naive_plain(response: bytes) -> tuple[str, str, str] | None:
    try:
        authzid, authcid, password = base64.b64decode(response, validate=True).decode().split("\0")
    except (binascii.Error, ValueError):
        return None
    return (authzid, authcid, password) if authcid and password and authcid.isprintable() and authzid.isprintable() else None


@target(
    "sasl", b"PLAIN\n", b"LOGIN\n", b"SCRAM-SHA-256\n", b"\n", b"=", b"*", b"AHUAcA==", b"dXNlcg==", b"biwsbj11LHI9YQ==", b"\0", b"A" * 100
)
def sasl_exchange(data: bytes) -> None:
    """SASL: the mechanism in the first line, then responses.  Bad ones are told, and credentials hold no controls."""
    mechanism, *responses = data.split(b"\n")
    name = mechanism.decode("latin-1").upper()
    if name not in sasl.MECHANISMS:
        return
    exchange = sasl.Exchange(name)
    step: Callable[[bytes], Any] = exchange.start
    for number, response in enumerate(responses):
        try:
            result = step(response)
        except sasl.SASLError:
            assert name != "PLAIN" or number or _naive_plain(b"" if response == b"=" else response) is None
            return
        if not isinstance(result, str):
            assert result.authcid
            assert result.authcid.isprintable()
            assert result.authzid.isprintable()
            assert result.password
            assert f"password={result.password!r}" not in repr(result)
            if name == "PLAIN" and number == 0:
                assert (result.authzid, result.authcid, result.password) == _naive_plain(response)
            return
        base64.b64decode(result, validate=True)
        assert number < 10, "an exchange ends"
        step = exchange.step
