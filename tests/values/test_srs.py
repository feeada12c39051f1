"""Tests for L{twistedrelay.values.srs}."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from twistedrelay.values.address import Address, AddressError, is_dot_string, parse_address, quoted, unquoted
from twistedrelay.values.srs import MAX_AGE, MAX_LENGTH, SRS, SRSError, is_srs

DAY = 86400.0
NOW = 20_000 * DAY + 5
OURS = "srs.here.example"
KEYS = SRS((b"a secret of sixteen octets", b"an old one of that length"))

ATOM = st.text("abcXYZ019!#$%&'*+/=?^_`{|}~-ü漢", min_size=1, max_size=12)
DOT_STRING = st.lists(ATOM, min_size=1, max_size=3).map(".".join)
QUOTED = st.text('abc @,;:<>()[]."\\=+-', max_size=20).filter(lambda text: not is_dot_string(text)).map(quoted)
DOMAIN = st.sampled_from(
    ["there.example", "under_score.example", "[192.0.2.1]", "[IPv6:2001:db8::1]", "a.b.c.d.example", "xn--mnchen-3ya.example"]
)


@st.composite
def addresses(draw: st.DrawFn) -> Address:
    try:
        return parse_address(f"{draw(st.one_of(DOT_STRING, QUOTED))}@{draw(DOMAIN)}", utf8=True)
    except AddressError:
        assume(False)
        raise


@pytest.mark.parametrize("sign", ["\u212a", "\u0130", "\u0131", "\u017f"])
def test_what_is_a_latin_letter_in_some_other_case_is_none(sign: str) -> None:
    made = KEYS.encode(parse_address("k@there.example"), OURS, NOW).local
    for place in (5, 14, len(made) - 1):
        with pytest.raises(SRSError):
            KEYS.decode(parse_address(f"{made[:place]}{sign}{made[place + 1 :]}@{OURS}", utf8=True), NOW)


@given(sender=addresses(), days=st.integers(0, MAX_AGE))
def test_there_and_back(sender: Address, days: int) -> None:
    made = KEYS.encode(sender, OURS, NOW)
    assert made.domain == OURS
    assert is_srs(made)
    assert len(made.text.encode()) <= MAX_LENGTH
    assert KEYS.decode(parse_address(made.text, utf8=True), NOW + days * DAY) == sender


@given(sender=addresses())
def test_there_and_back_through_systems_that_change_the_case(sender: Address) -> None:
    assume(sender.text.isascii())
    for text in (KEYS.encode(sender, OURS, NOW).text.lower(), KEYS.encode(sender, OURS, NOW).text.upper()):
        assert KEYS.decode(parse_address(text), NOW).text.lower() == sender.text.lower()


def test_how_it_looks() -> None:
    made = KEYS.encode(parse_address("Jo.Doe@There.Example"), OURS, NOW)
    head, _, rest = made.local.partition("=")
    hash_, stamp, domain, local = rest.split("=")
    assert (head, len(hash_), stamp, domain, local) == ("SRS0", 8, "RA", "there.example", "Jo.Doe")
    assert KEYS.encode(parse_address("Jo.Doe@There.Example"), OURS, NOW + 10) == made


@pytest.mark.parametrize("first", ["SRS0=HHHH=TT=orig.example=user@forwarder.example", "srs0+HHHH=TT=orig.example=user@forwarder.example"])
def test_what_another_forwarder_made(first: str) -> None:
    """It leads back to that forwarder, however many there are in between."""
    made = KEYS.encode(parse_address(first), OURS, NOW)
    assert made.local.startswith("SRS1=")
    assert KEYS.decode(made, NOW) == Address("", "SRS0" + parse_address(first).local[4:], "forwarder.example")
    second = SRS((b"the secret of a third system",)).encode(made, "third.example", NOW)
    assert second.local.startswith("SRS1=")
    assert len(second.local) == len(made.local)
    inside = SRS((b"the secret of a third system",)).decode(second, NOW)
    assert inside == KEYS.decode(made, NOW)


def test_an_odd_address_is_wrapped_as_any_other() -> None:
    odd = parse_address("SRS1=x@there.example")
    made = KEYS.encode(odd, OURS, NOW)
    assert made.local.startswith("SRS0=")
    assert KEYS.decode(made, NOW) == odd


def test_old_secrets_are_read_and_new_ones_used() -> None:
    sender = parse_address("user@there.example")
    before = SRS(KEYS.secrets[1:]).encode(sender, OURS, NOW)
    assert KEYS.decode(before, NOW) == sender
    assert KEYS.encode(sender, OURS, NOW) == SRS(KEYS.secrets[:1]).encode(sender, OURS, NOW) != before
    assert "secret" not in repr(KEYS).replace("secrets", "")


@pytest.mark.parametrize("days", [MAX_AGE + 1, 100, 1000])
def test_too_old(days: int) -> None:
    made = KEYS.encode(parse_address("user@there.example"), OURS, NOW)
    with pytest.raises(SRSError, match="too old"):
        KEYS.decode(made, NOW + days * DAY)


def test_a_clock_that_is_a_day_ahead() -> None:
    sender = parse_address("user@there.example")
    assert KEYS.decode(KEYS.encode(sender, OURS, NOW + DAY), NOW) == sender


@given(sender=addresses(), place=st.integers(5, 200), character=st.sampled_from("ab2=.+x"))
def test_no_change_goes_unnoticed(sender: Address, place: int, character: str) -> None:
    made = KEYS.encode(sender, OURS, NOW).local
    changed = made[:place] + character + made[place + 1 :]
    try:
        address = parse_address(f"{changed}@{OURS}", utf8=True)
    except AddressError:
        return
    assume(unquoted(changed).lower() != unquoted(made).lower())
    with pytest.raises(SRSError):
        KEYS.decode(address, NOW)


@pytest.mark.parametrize(
    "local", ["user", "SRS0", "SRS0=", "SRS0=AAAAAAAA=AA=x", "SRS0=AAAAAAAA=AA=x.example=u", "SRS1=AAAAAAAA=x==y", "SRS2=a"]
)
def test_not_ours(local: str) -> None:
    with pytest.raises(SRSError):
        KEYS.decode(Address("", local, OURS), NOW)


def test_what_is_too_long_stays() -> None:
    """A return path that nobody could answer to is worse than one that fails SPF."""
    fits = parse_address("a" * 64 + "@" + "b" * 63 + ".example")
    assert len(KEYS.encode(fits, OURS, NOW).local) > 64
    assert KEYS.decode(parse_address(KEYS.encode(fits, OURS, NOW).text), NOW) == fits
    too_long = parse_address("a" * 64 + "@" + ".".join(["b" * 60] * 3) + ".example")
    assert KEYS.encode(too_long, OURS, NOW) is too_long


@given(text=st.text(' abc.@"\\=', max_size=20))
def test_quotes(text: str) -> None:
    assert unquoted(quoted(text)) == text
    assert parse_address(f"{quoted(text)}@there.example").local == quoted(text)
