"""The ESMTP parameters of MAIL and RCPT, by the grammar of each RFC."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.driver import SETTINGS
from twistedrelay.values import reply as replies
from twistedrelay.values.envelope import DeliverBy, MailParameters, RcptParameters
from twistedrelay.values.reply import Reply
from twistedrelay.wire.parameters import CommandError, mail_parameters, rcpt_parameters
from twistedrelay.wire.settings import ServerSettings

NOON = 1_800_000_000
ALL = attrs.evolve(SETTINGS, deliver_by=True, future_release=86400, future_release_until=NOON + 86400, mt_priority=True)


def mail(text: str, settings: ServerSettings = ALL, *, secure: bool = True, extended: bool = True) -> MailParameters:
    return mail_parameters(" " + text, settings, secure=secure, extended=extended)


def rcpt(text: str, settings: ServerSettings = ALL, *, utf8: bool = False, extended: bool = True) -> RcptParameters:
    return rcpt_parameters(" " + text, settings, utf8=utf8, extended=extended)


def refusal(text: str, settings: ServerSettings = ALL, **keywords: Any) -> Reply:
    with pytest.raises(CommandError) as caught:
        mail(text, settings, **keywords)
    return caught.value.reply


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("SIZE=100", MailParameters(size=100)),
        ("size=0", MailParameters(size=0)),
        ("SIZE=99999999999999999999", MailParameters(size=2**63 - 1)),
        ("BODY=7BIT", MailParameters()),
        ("body=8bitmime", MailParameters(body="8BITMIME")),
        ("BODY=8BITMIME  SIZE=5", MailParameters(size=5, body="8BITMIME")),
        ("BODY=8BITMIME SIZE=5", MailParameters(size=5, body="8BITMIME")),
        ("SIZE=5 BODY=8BITMIME", MailParameters(size=5, body="8BITMIME")),
        ("SIZE=5 BODY=7BIT", MailParameters(size=5)),
        ("BODY=BINARYMIME", MailParameters(body="BINARYMIME")),
        ("SIZE=5 AUTH=<>", MailParameters(size=5, auth="<>")),
        ("AUTH=e+3Dmc2@example.com", MailParameters(auth="e=mc2@example.com")),
        ("AUTH=root", MailParameters(auth="<>")),
        ("RET=FULL ENVID=QQ314159", MailParameters(ret="FULL", envid="QQ314159")),
        ("ret=hdrs envid=a+2Bb+20c", MailParameters(ret="HDRS", envid="a+b c")),
        ("ENVID=" + "x" * 100, MailParameters(envid="x" * 100)),
        ("SMTPUTF8 REQUIRETLS", MailParameters(smtp_utf8=True, require_tls=True)),
        ("BY=120;R", MailParameters(deliver_by=DeliverBy(120, "R"))),
        ("by=-30;nt", MailParameters(deliver_by=DeliverBy(-30, "N", True))),
        ("BY=+0;N", MailParameters(deliver_by=DeliverBy(0, "N"))),
        ("HOLDFOR=86400", MailParameters(hold_for=86400)),
        ("HOLDUNTIL=2027-01-15T08:00:00Z", MailParameters(hold_until=NOON)),
        ("HOLDUNTIL=2027-01-15T10:00:00.5+02:00", MailParameters(hold_until=NOON + 0.5)),
        ("MT-PRIORITY=-9", MailParameters(priority=-9)),
        ("mt-priority=0", MailParameters(priority=0)),
    ],
)
def test_mail(text: str, parameters: MailParameters) -> None:
    assert mail(text) == parameters


@pytest.mark.parametrize(
    "text",
    [
        "SIZE",
        "SIZE=",
        "SIZE=many",
        "SIZE=-5",
        "SIZE=1234567890123456789012",
        "SIZE=1 SIZE=2",
        "SIZE=1 size=1",
        "BODY=8BITMIME SIZE=1 BODY=8BITMIME",
        "BODY=PIGEON",
        "BODY",
        "AUTH",
        "AUTH=+zz",
        "AUTH=a+0Db@c.example",
        "=",
        "a=b=c",
        "b@c.example",
        "RET=BOTH",
        "RET",
        "RET=FULL RET=FULL",
        "ENVID",
        "ENVID=a+00b",
        "ENVID=a+09b",
        "ENVID=a+0Ab",
        "ENVID=a+7Fb",
        "ENVID=a+b",
        "ENVID=a+3d",
        "ENVID=\u00e4",
        "ENVID=+C3+A4",
        "ENVID=" + "x" * 101,
        "SMTPUTF8=1",
        "SMTPUTF8 SMTPUTF8",
        "REQUIRETLS=YES",
        "BY=0;R",
        "BY=-1;R",
        "BY=120",
        "BY=120;X",
        "BY=1234567890;N",
        "BY=120;RX",
        "BY=120;TR",
        "BY",
        "HOLDFOR=-1",
        "HOLDFOR=0",
        "HOLDFOR=1234567890",
        "HOLDFOR=1 HOLDUNTIL=2027-01-15T08:00:00Z",
        "HOLDUNTIL=2027-01-15",
        "HOLDUNTIL=2027-01-15T08:00:00",
        "HOLDUNTIL=2027-13-15T08:00:00Z",
        "HOLDUNTIL=20270115T080000Z",
        "MT-PRIORITY=10",
        "MT-PRIORITY=+1",
        "MT-PRIORITY=-0",
        "MT-PRIORITY=05",
        "FOOBAR=1 SIZE=x",
    ],
)
def test_what_is_not_well_formed_is_501(text: str) -> None:
    assert refusal(text) == replies.BAD_ARGUMENTS


@pytest.mark.parametrize(
    "text", ["HOLDFOR=86401", "HOLDUNTIL=2027-01-16T08:00:01Z", "HOLDUNTIL=9999-12-31T23:59:59-23:59", "HOLDUNTIL=9999-12-31T23:59:59Z"]
)
def test_a_hold_has_a_limit(text: str) -> None:
    assert refusal(text) == replies.HOLD_TOO_LONG


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("HOLDFOR=600 BY=600;N", True),
        ("HOLDFOR=601 BY=600;N", False),
        ("BY=600;R HOLDFOR=601", False),
        ("HOLDUNTIL=2027-01-15T08:10:00Z BY=600;R", True),
        ("HOLDUNTIL=2027-01-15T08:10:01Z BY=600;R", False),
        ("HOLDFOR=1 BY=-5;N", False),
        ("BY=-5;N", True),
    ],
)
def test_nothing_is_held_beyond_its_by_time(text: str, good: bool) -> None:
    if good:
        assert mail(text).deliver_by is not None
    else:
        assert refusal(text) == replies.BAD_ARGUMENTS


def test_a_time_that_is_over_holds_nothing_up() -> None:
    assert mail("HOLDUNTIL=2001-01-01T00:00:00Z").hold_until == 978307200
    assert mail("HOLDUNTIL=0001-01-01T00:00:00+23:59").hold_until < 0


@pytest.mark.parametrize("text", ["FOOBAR", "FOOBAR=1", "FOOBAR=\u00e4", "NOTIFY=NEVER", "X-A=1 SIZE=5"])
def test_what_nobody_knows_is_555(text: str) -> None:
    assert refusal(text) == replies.UNKNOWN_PARAMETER


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"size_enabled": "Disabled"}, "SIZE=1"),
        ({"size_enabled": "Disabled"}, "SIZE=1 BODY=8BITMIME"),
        ({"auth_mechanisms": ()}, "AUTH=<>"),
        ({"dsn": False}, "RET=FULL"),
        ({"dsn": False}, "ENVID=1"),
        ({"smtp_utf8": False}, "SMTPUTF8"),
        ({"eight_bit_mime": False}, "SMTPUTF8"),
        ({"eight_bit_mime": False, "binary_mime": False}, "BODY=7BIT"),
        ({"eight_bit_mime": False}, "SIZE=5 BODY=8BITMIME"),
        ({"binary_mime": False}, "BODY=BINARYMIME"),
        ({"chunking": False}, "BODY=BINARYMIME"),
        ({"requiretls": False}, "REQUIRETLS"),
        ({"deliver_by": False}, "BY=1;N"),
        ({"future_release": None}, "HOLDFOR=1"),
        ({"future_release": None}, "HOLDUNTIL=2027-01-15T08:00:00Z"),
        ({"mt_priority": False}, "MT-PRIORITY=1"),
    ],
)
def test_what_is_not_offered_is_555(change: dict[str, Any], text: str) -> None:
    mail(text)
    assert refusal(text, attrs.evolve(ALL, **change)) == replies.UNKNOWN_PARAMETER
    assert refusal(text, extended=False) == replies.UNKNOWN_PARAMETER


def test_requiretls_is_for_tls() -> None:
    assert refusal("REQUIRETLS", secure=False) == replies.UNKNOWN_PARAMETER


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("NOTIFY=NEVER", RcptParameters(frozenset({"NEVER"}))),
        ("notify=success,Failure", RcptParameters(frozenset({"SUCCESS", "FAILURE"}))),
        ("NOTIFY=DELAY,DELAY", RcptParameters(frozenset({"DELAY"}))),
        ("ORCPT=rfc822;a+2Bb@c.example", RcptParameters(orcpt="rfc822;a+2Bb@c.example")),
        ("ORCPT=RFC822;a@c.example NOTIFY=DELAY", RcptParameters(frozenset({"DELAY"}), "RFC822;a@c.example")),
        ("ORCPT=x400;/G+3Djoe/S+3Dx", RcptParameters(orcpt="x400;/G+3Djoe/S+3Dx")),
        ("ORCPT=utf-8;j\\x{F6}s\\x{E9}@c.example", RcptParameters(orcpt="utf-8;j\\x{F6}s\\x{E9}@c.example")),
        ("ORCPT=utf-8;a\\x{2B}b\\x{5C}@c.example", RcptParameters(orcpt="utf-8;a\\x{2B}b\\x{5C}@c.example")),
        ("ORCPT=rfc822;" + "x" * 493, RcptParameters(orcpt="rfc822;" + "x" * 493)),
    ],
)
def test_rcpt(text: str, parameters: RcptParameters) -> None:
    assert rcpt(text) == parameters


@pytest.mark.parametrize(
    "text",
    [
        "NOTIFY",
        "NOTIFY=",
        "NOTIFY=NEVER,FAILURE",
        "NOTIFY=SUCCESS,",
        "NOTIFY=ALWAYS",
        "NOTIFY=DELAY NOTIFY=DELAY",
        "ORCPT",
        "ORCPT=a@c.example",
        "ORCPT=;a@c.example",
        "ORCPT=rfc822;",
        "ORCPT=rfc822;a+00b@c.example",
        "ORCPT=rfc822;a+09b@c.example",
        "ORCPT=rfc822;a+b@c.example",
        "ORCPT=rfc822;a@c.example ORCPT=rfc822;a@c.example",
        "ORCPT=utf-8;a+2Bb@c.example",
        "ORCPT=utf-8;a\\x{0}b@c.example",
        "ORCPT=utf-8;a\\x{0A}b@c.example",
        "ORCPT=utf-8;a\\x{D800}b@c.example",
        "ORCPT=utf-8;a\\x{110000}b@c.example",
        "ORCPT=utf-8;a\\x{202E}b@c.example",
        "ORCPT=utf-8;a\\b@c.example",
        "ORCPT=utf-8;j\u00f6s\u00e9@c.example",
        "ORCPT=rfc822;" + "x" * 494,
    ],
)
def test_bad_rcpt(text: str) -> None:
    with pytest.raises(CommandError) as caught:
        rcpt(text)
    assert caught.value.reply == replies.BAD_ARGUMENTS


def test_rcpt_without_the_extension() -> None:
    for text in ("NOTIFY=NEVER", "ORCPT=rfc822;a@b.example", "RET=FULL", "RRVS=2014-04-03T23:01:00Z"):
        with pytest.raises(CommandError) as caught:
            rcpt(text, attrs.evolve(ALL, dsn=False))
        assert caught.value.reply == replies.UNKNOWN_PARAMETER
        with pytest.raises(CommandError) as caught:
            rcpt(text, extended=False)
        assert caught.value.reply == replies.UNKNOWN_PARAMETER


def test_an_internationalised_orcpt_needs_smtputf8() -> None:
    assert rcpt("ORCPT=utf-8;j\u00f6s\u00e9@c.example", utf8=True).orcpt == "utf-8;j\u00f6s\u00e9@c.example"
    with pytest.raises(CommandError):
        rcpt("ORCPT=rfc822;j\u00f6s\u00e9@c.example", utf8=True)


@given(envid=st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=33))
def test_an_envelope_identifier_goes_round(envid: str) -> None:
    encoded = "".join(c if c.isalnum() else f"+{ord(c):02X}" for c in envid)
    assert mail(f"ENVID={encoded}").envid == envid


@given(seconds=st.integers(-999_999_999, 999_999_999), mode=st.sampled_from("RN"), trace=st.booleans())
def test_deliver_by_goes_round(seconds: int, mode: str, trace: bool) -> None:
    text = f"BY={seconds};{mode}{'T' if trace else ''}"
    if mode == "R" and seconds <= 0:
        assert refusal(text) == replies.BAD_ARGUMENTS
    else:
        assert mail(text).deliver_by == DeliverBy(seconds, mode, trace)


@given(text=st.text(max_size=80))
def test_any_text_is_parameters_or_an_error(text: str) -> None:
    for read, kind in ((mail, MailParameters), (rcpt, RcptParameters)):
        result: object
        try:
            result = read(text)
        except CommandError as error:
            result = error.reply
        assert isinstance(result, kind) or result in (replies.BAD_ARGUMENTS, replies.UNKNOWN_PARAMETER)
