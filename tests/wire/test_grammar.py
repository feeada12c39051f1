"""The arguments of EHLO, MAIL and RCPT."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import settings as property_settings
from hypothesis import strategies as st

from tests.wire.driver import SETTINGS, STRICT
from twistedrelay.values import reply as replies
from twistedrelay.wire.grammar import parse_hello, parse_mail, parse_rcpt
from twistedrelay.wire.parameters import CommandError

LENIENT_ONLY = [
    b"FROM: <a@b.example>",
    b"FROM :<a@b.example>",
    b"FROM : <a@b.example>",
    b" FROM:<a@b.example>",
    b"FROM:a@b.example",
    b"FROM: a@b.example",
    b"FROM: a@b.example SIZE=10",
    b"FROM:<a@b.example.>",
    b"FROM: a@b.example.",
]


@pytest.mark.parametrize("argument", LENIENT_ONLY)
def test_what_devices_write_is_taken_where_the_connector_says_so(argument: bytes) -> None:
    assert parse_mail(argument, SETTINGS)[0].text == "a@b.example"
    assert parse_rcpt(argument.replace(b"FROM", b"TO").replace(b" SIZE=10", b""), SETTINGS)[0].text == "a@b.example"
    with pytest.raises(CommandError) as caught:
        parse_mail(argument, STRICT)
    assert caught.value.reply.code == 501


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        (b"FROM:<a@b.example>", "a@b.example"),
        (b"from:<a@b.example>", "a@b.example"),
        (b"FROM:<>", ""),
        (b'FROM:<"john doe"@b.example>', '"john doe"@b.example'),
        (b'FROM:<"a>b"@b.example>', '"a>b"@b.example'),
        (b'FROM:<"a\\"> b"@b.example>', '"a\\"> b"@b.example'),
        (b"FROM:<@x.example,@y.example:a@b.example>", "a@b.example"),
        (b"FROM:<@[192.0.2.25]:a@b.example>", "a@b.example"),
        (b"FROM:<@[IPv6:::1]:a@b.example>", "a@b.example"),
        (b"FROM:<root@[127.0.0.1]>", "root@[127.0.0.1]"),
    ],
)
def test_paths(argument: bytes, text: str) -> None:
    for settings in (SETTINGS, STRICT):
        assert parse_mail(argument, settings)[0].text == text


BAD_PATHS = [
    b"FROM:",
    b"FROM:<a@b.example",
    b"FROM:a@b.example>",
    b"FROM:<a@b@c.example>",
    b"FROM:<a b@b.example>",
    b"FROM:< a@b.example>",
    b"FROM:<a@b.example >",
    b"FROM:<a@b.example>SIZE=1",
    b"FROM:<root>",
    b"FROM:<postmaster>",
    b"FROM:<@x.example:>",
    b"FROM:<@x.example>",
    b"FROM:<@x.example,@y.example>",
    b"FROM:<@:a@b.example>",
    b"FROM:<<a@b.example>>",
    b"FROM:<a\x01b@b.example>",
    b"FROM:<a\x00@b.example>",
    b"FROM:<a\rRCPT TO:<b@b.example>",
    b"FROM:<a\nb@b.example>",
    b"FROM:\t<a@b.example>",
    b"FROM:<j\xf6s\xe9@b.example>",
    b'FROM:<"a@b.example>',
    b'FROM:"a b"@',
    b"FROM: SIZE=5",
]


@pytest.mark.parametrize("argument", BAD_PATHS)
def test_bad_paths_are_501_with_and_without_leniency(argument: bytes) -> None:
    for settings in (SETTINGS, STRICT):
        with pytest.raises(CommandError) as caught:
            parse_mail(argument, settings)
        assert caught.value.reply == replies.BAD_SENDER
        if b"postmaster" not in argument:
            with pytest.raises(CommandError) as caught:
                parse_rcpt(argument.replace(b"FROM", b"TO"), settings)
            assert caught.value.reply == replies.BAD_RECIPIENT


@pytest.mark.parametrize("argument", [b"", b"<a@b.example>", b"TO:<a@b.example>", b"FROM <a@b.example>", b"FROM", b"FROMM:<a@b.example>"])
def test_mail_without_its_keyword(argument: bytes) -> None:
    for settings in (SETTINGS, STRICT):
        with pytest.raises(CommandError) as caught:
            parse_mail(argument, settings)
        assert caught.value.reply == replies.BAD_ARGUMENTS


def test_recipients() -> None:
    for text in ("postmaster", "PostMaster"):
        address = parse_rcpt(f"TO:<{text}>".encode(), STRICT)[0]
        assert (address.text, address.domain, address.is_postmaster) == (text, "", True)
    for argument in (b"TO:<>", b"TO:", b"TO: <>"):
        with pytest.raises(CommandError) as caught:
            parse_rcpt(argument, SETTINGS)
        assert caught.value.reply == replies.BAD_RECIPIENT
    with pytest.raises(CommandError) as caught:
        parse_rcpt(b"FROM:<a@b.example>", SETTINGS)
    assert caught.value.reply == replies.BAD_ARGUMENTS


def test_addresses_beyond_ascii_need_smtputf8() -> None:
    sender, parameters = parse_mail("FROM:<jösé@bücher.example> SMTPUTF8".encode(), SETTINGS)
    assert (sender.text, sender.local, sender.domain) == ("jösé@bücher.example", "jösé", "xn--bcher-kva.example")
    assert parameters.smtp_utf8
    recipient, _ = parse_rcpt("TO:<用户@例え.example>".encode(), SETTINGS, utf8=True)
    assert recipient.domain == "xn--r8jz45g.example"
    assert parse_rcpt(b"TO:<\xe7\x94\xa8@xn--r8jz45g.example>", SETTINGS, utf8=True)[0].domain == recipient.domain
    with pytest.raises(CommandError) as caught:
        parse_mail("FROM:<jösé@b.example>".encode(), SETTINGS)
    assert caught.value.reply == replies.NON_ASCII_SENDER
    with pytest.raises(CommandError) as caught:
        parse_rcpt("TO:<jösé@b.example>".encode(), SETTINGS)
    assert caught.value.reply == replies.NON_ASCII_RECIPIENT


@pytest.mark.parametrize("change", [{"smtp_utf8": False}, {"eight_bit_mime": False}])
def test_addresses_beyond_ascii_need_the_extension(change: dict[str, bool]) -> None:
    bare = attrs.evolve(SETTINGS, **change)
    with pytest.raises(CommandError) as caught:
        parse_mail("FROM:<jösé@b.example>".encode(), bare)
    assert caught.value.reply == replies.BAD_SENDER
    with pytest.raises(CommandError) as caught:
        parse_mail(b"FROM:<a@b.example> SMTPUTF8", bare)
    assert caught.value.reply == replies.UNKNOWN_PARAMETER


@pytest.mark.parametrize(
    "address",
    [b"\xff\xfe@b.example", b"a@b\xc0\xae.example", b"a\xc2\x85b@c.example", b"\xe2\x80\xaea@b.example", b"a@\xed\xa0\x80.example"],
)
def test_what_is_no_utf8_or_not_printable_is_no_address(address: bytes) -> None:
    with pytest.raises(CommandError) as caught:
        parse_mail(b"FROM:<" + address + b"> SMTPUTF8", SETTINGS)
    assert caught.value.reply == replies.BAD_SENDER
    with pytest.raises(CommandError) as caught:
        parse_rcpt(b"TO:<" + address + b">", SETTINGS, utf8=True)
    assert caught.value.reply == replies.BAD_RECIPIENT


@pytest.mark.parametrize("name", [b"client.example", b"WIN-7Q3K", b"my_printer_1", b"[192.0.2.7]", b"[IPv6:2001:db8::1]", b"localhost"])
def test_names(name: bytes) -> None:
    for settings in (SETTINGS, STRICT):
        assert parse_hello(name, settings) == name.decode()


@pytest.mark.parametrize("name", [b"(null)", b"FE80::1", b"[1.2.3]", b"host.example.", b"a..b"])
def test_any_word_is_a_name_where_the_connector_is_lenient(name: bytes) -> None:
    assert parse_hello(name, SETTINGS) == name.decode()
    with pytest.raises(CommandError) as caught:
        parse_hello(name, STRICT)
    assert caught.value.reply == replies.BAD_DOMAIN


@pytest.mark.parametrize(
    "name", [b"two words", b"trusted.example ([10.0.0.1])", b"a\x00b", b"a\tb", b"b\xfcro", b"x" * 256, b"a\rb", b"a\nb"]
)
def test_never_a_name(name: bytes) -> None:
    with pytest.raises(CommandError) as caught:
        parse_hello(name, SETTINGS)
    assert caught.value.reply == replies.BAD_DOMAIN


def test_no_name() -> None:
    assert parse_hello(b"", SETTINGS) == ""
    with pytest.raises(CommandError) as caught:
        parse_hello(b"", STRICT)
    assert caught.value.reply == replies.DOMAIN_REQUIRED


@property_settings(deadline=None)
@given(argument=st.binary(max_size=60), prefix=st.sampled_from([b"", b"FROM:", b"FROM:<", b"TO:<", b"FROM:<a@b.example> "]))
def test_any_octets_are_a_command_or_an_error(argument: bytes, prefix: bytes) -> None:
    for parse in (parse_mail, parse_rcpt):
        for settings in (SETTINGS, STRICT):
            try:
                address, _ = parse(prefix + argument, settings)
            except CommandError:
                continue
            assert address.text.isprintable()
            assert not set(address.text) & set("\r\n\0")
