"""The address grammar."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistedrelay.values.address import NULL, Address, AddressError, parse_address, parse_domain, parse_path

ATEXT = string.ascii_letters + string.digits + "!#$%&'*+-/=?^_`{|}~"
GOOD = {
    "user@example.org": "example.org",
    "a.!#$%&'*+-/=?^_`{|}~z@Example.ORG": "example.org",
    '"john doe"@example.org': "example.org",
    '"a@b"@example.org': "example.org",
    '"a>b"@example.org': "example.org",
    r'"a\"b\\c"@example.org': "example.org",
    '""@example.org': "example.org",
    "root@printer_7": "printer_7",
    "a@xn--bcher-kva.example": "xn--bcher-kva.example",
    "a@3221225985": "3221225985",
    "root@[192.0.2.1]": "[192.0.2.1]",
    "root@[IPv6:2001:DB8::0001]": "[ipv6:2001:db8::1]",
    "root@[IPv6:::ffff:192.0.2.25]": "[ipv6:::ffff:c000:219]",
    "a" * 64 + "@example.org": "example.org",
    "a@" + "abcdefg." * 29 + "example": "abcdefg." * 29 + "example",
    "user%foreign@local.example": "local.example",
}
BAD = [
    "",
    "user",
    "@example.org",
    "user@",
    "a@b@c.example",
    "a b@example.org",
    "a..b@example.org",
    ".a@example.org",
    "a.@example.org",
    "a@.example.org",
    "a@example..org",
    "a@example.org.",
    "a@-example.org",
    "a@example-.org",
    "a@exam ple.org",
    "a@foreign%00local.example",
    "a@" + "x" * 64 + ".example",
    "a" * 65 + "@example.org",
    "a@" + "abcdefg." * 32 + "example",
    "a\x00b@example.org",
    "a\x01b@example.org",
    '"a\x00b"@example.org',
    '"a\rb"@example.org',
    '"a\nb"@example.org',
    '"a"b@example.org',
    '"a@example.org',
    "a@example.org\n",
    "a@[192.0.2.256]",
    "a@[192.0.2]",
    "a@[2001:db8::1]",
    "a@[IPv6:fe80::1%eth0]",
    "a@[IPv6:192.0.2.1]",
    "a@[]",
    "a@[tag:value]",
    "<a@example.org>",
    "@route.example:a@example.org",
    "jösé@example.org",
    "a@münchen.example",
]


@pytest.mark.parametrize(("text", "domain"), GOOD.items())
def test_good(text: str, domain: str) -> None:
    address = parse_address(text)
    assert (address.text, address.domain) == (text, domain)
    assert text == address.local + text[len(address.local) :]
    assert str(address) == text


@pytest.mark.parametrize("text", BAD)
def test_bad(text: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse_address(text)
    assert str(caught.value)


def test_case_counts_in_the_local_part_only() -> None:
    assert parse_address("User@EXAMPLE.org") == parse_address("User@example.ORG")
    assert hash(parse_address("User@EXAMPLE.org")) == hash(parse_address("User@example.ORG"))
    assert parse_address("user@example.org") != parse_address("User@example.org")


def test_final_dot() -> None:
    address = parse_address("a@Example.org.", final_dot=True)
    assert (address.text, address.domain) == ("a@Example.org", "example.org")
    with pytest.raises(AddressError):
        parse_address("a@example.org..", final_dot=True)
    with pytest.raises(AddressError):
        parse_address("a@.", final_dot=True)


def test_beyond_ascii() -> None:
    address = parse_address("jösé@Bücher.example", utf8=True)
    assert (address.local, address.domain) == ("jösé", "xn--bcher-kva.example")
    assert address == parse_address("jösé@xn--bcher-kva.example", utf8=True)
    assert parse_address("a@bücher.example", utf8=True) == parse_address("a@bücher\uff0eexample", utf8=True)
    assert parse_address('"ö ö"@example.org', utf8=True).local == '"ö ö"'


@pytest.mark.parametrize(
    "text",
    [
        "ö\x00@example.org",
        "ö\x85@example.org",
        "ö\u2028x@example.org",
        "ö\u202ex@example.org",
        "\ud800@example.org",
        "ö" * 33 + "@example.org",
        "a@" + "ö" * 200 + ".example",
        "a@\u2603\u200d.example",
        "ö@b@c.example",
        "ö@example.org.",
        "ö@[192.0.2.256]",
    ],
)
def test_bad_beyond_ascii(text: str) -> None:
    with pytest.raises(AddressError):
        parse_address(text, utf8=True)


def test_stored() -> None:
    assert parse_path("") is NULL
    assert parse_path("Postmaster") == Address("Postmaster", "Postmaster", "")
    assert parse_path("Postmaster").is_postmaster
    assert parse_path("jösé@example.org").local == "jösé"
    with pytest.raises(AddressError):
        parse_path("root")


def test_null() -> None:
    assert NULL.is_null
    assert str(NULL) == ""
    assert not parse_address("postmaster@example.org").is_null
    assert parse_address("PostMaster@example.org").is_postmaster


@pytest.mark.parametrize(("text", "domain"), [("A.example", "a.example"), ("WIN_7", "win_7"), ("[IPv6:::1]", "[ipv6:::1]")])
def test_domain(text: str, domain: str) -> None:
    assert parse_domain(text) == domain


@pytest.mark.parametrize("text", ["", "a b", "a..b", "(null)", "fe80::1", "[1]", "ä.example", "a." * 130 + "b"])
def test_bad_domain(text: str) -> None:
    with pytest.raises(AddressError):
        parse_domain(text)


atoms = st.text(ATEXT, min_size=1, max_size=8)
dot_strings = st.lists(atoms, min_size=1, max_size=5).map(".".join)
quoted = st.lists(
    st.sampled_from([c for c in map(chr, range(32, 127)) if c not in '"\\'])
    | st.characters(min_codepoint=32, max_codepoint=126).map("\\{}".format),
    max_size=20,
).map(lambda parts: f'"{"".join(parts)}"')
labels = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9-]{0,20}[A-Za-z0-9])?", fullmatch=True)
domains = st.lists(labels, min_size=1, max_size=6).map(".".join)
literals = st.ip_addresses(v=4).map("[{}]".format) | st.ip_addresses(v=6).map("[IPv6:{}]".format)


@settings(deadline=None)
@given(local=dot_strings | quoted, domain=domains | literals)
def test_every_mailbox_is_read_as_it_was_put_together(local: str, domain: str) -> None:
    address = parse_address(f"{local}@{domain}")
    assert address.text == f"{local}@{domain}"
    assert address.local == local
    assert address.domain == domain.lower()
    assert parse_path(address.text) == address


@settings(deadline=None)
@given(text=st.text(max_size=40), utf8=st.booleans())
def test_any_text_is_an_address_or_an_error(text: str, utf8: bool) -> None:
    try:
        address = parse_address(text, utf8=utf8, final_dot=True)
    except AddressError:
        return
    assert address.text.isprintable()
    assert address.domain.isascii()
    assert not set(address.text) & set("\r\n\0")
