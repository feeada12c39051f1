"""What goes with MAIL and RCPT, for what a server offers."""

from __future__ import annotations

import pytest

from twistedrelay.values.envelope import NO_MAIL_PARAMETERS, DeliverBy, MailParameters, RcptParameters
from twistedrelay.wire.client_offers import NOTHING, Offers, mail_words, original_recipient, rcpt_words

KEYWORDS = ["PIPELINING", "SIZE", "8BITMIME", "BINARYMIME", "CHUNKING", "SMTPUTF8", "DSN", "REQUIRETLS", "DELIVERBY", "MT-PRIORITY"]
ALL = Offers.of(dict.fromkeys(KEYWORDS, ""), proven=True)
FULL = MailParameters(
    body="8BITMIME",
    ret="HDRS",
    envid="QQ 3+1",
    smtp_utf8=True,
    require_tls=True,
    priority=-3,
    deliver_by=DeliverBy(120, "N", True),
    hold_until=5.0,
    auth="e=mc2@example.com",
)


def words(offers: Offers, mail: MailParameters, *, utf8: bool = False, logged_in: bool = False) -> str:
    return mail_words(offers, mail, 99, utf8=utf8, logged_in=logged_in)


def test_everything_that_is_offered_is_said() -> None:
    assert words(ALL, FULL, utf8=True, logged_in=True) == (
        " SIZE=99 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QQ+203+2B1 REQUIRETLS BY=120;NT MT-PRIORITY=-3 AUTH=e+3Dmc2@example.com"
    )


def test_nothing_is_said_that_is_not_offered_or_not_wanted() -> None:
    assert words(NOTHING, FULL, utf8=True) == ""
    assert words(ALL, NO_MAIL_PARAMETERS) == " SIZE=99"
    assert words(ALL, MailParameters()) == " SIZE=99"


@pytest.mark.parametrize(
    ("keyword", "word"),
    [
        ("8BITMIME", " BODY=8BITMIME"),
        ("SMTPUTF8", " SMTPUTF8"),
        ("DSN", " RET=HDRS ENVID=QQ+203+2B1"),
        ("REQUIRETLS", " REQUIRETLS"),
        ("DELIVERBY", " BY=120;NT"),
        ("MT-PRIORITY", " MT-PRIORITY=-3"),
    ],
)
def test_each_by_its_keyword(keyword: str, word: str) -> None:
    assert words(Offers.of({keyword: ""}, proven=True), FULL, utf8=True) == word


def test_requiretls_is_not_said_in_just_any_session() -> None:
    assert words(Offers.of({"REQUIRETLS": ""}), FULL) == ""


def test_auth_only_to_a_server_that_we_logged_in_to() -> None:
    assert "AUTH=" not in words(ALL, FULL)
    assert words(NOTHING, MailParameters(auth="<>"), logged_in=True) == " AUTH=<>"


def test_binary_content_says_so() -> None:
    assert words(ALL, MailParameters(body="BINARYMIME")) == " SIZE=99 BODY=BINARYMIME"
    assert not Offers.of({"BINARYMIME": ""}).binary  # useless without CHUNKING


def test_by_time_within_nine_digits() -> None:
    assert words(ALL, MailParameters(deliver_by=DeliverBy(-(10**12), "N"))) == " SIZE=99 BY=-999999999;N"
    assert words(ALL, MailParameters(deliver_by=DeliverBy(10**12, "R"))) == " SIZE=99 BY=999999999;R"


def test_values_that_are_too_long_are_left_out() -> None:
    assert words(ALL, MailParameters(envid="x" * 101)) == " SIZE=99"
    assert words(ALL, MailParameters(auth="x" * 501), logged_in=True) == " SIZE=99"
    assert rcpt_words(ALL, "a@b", RcptParameters(frozenset({"NEVER"}), "rfc822;" + "x" * 500)) == " NOTIFY=NEVER"


def test_numbers_of_keywords() -> None:
    offers = Offers.of({"SIZE": " 1000 ", "DELIVERBY": "240"})
    assert (offers.size_limit, offers.by_least, offers.deliver_by) == (1000, 240, True)
    strange = Offers.of({"SIZE": "-5", "DELIVERBY": "x"})
    assert (strange.size_limit, strange.by_least) == (0, 0)


def test_recipient_parameters() -> None:
    assert rcpt_words(ALL, "a+b@c.test", RcptParameters()) == ""
    assert rcpt_words(NOTHING, "a@b", RcptParameters(frozenset({"SUCCESS"}))) == ""
    both = RcptParameters(frozenset({"SUCCESS", "DELAY"}), "rfc822;first+2Bx@d.test")
    assert rcpt_words(ALL, "a@b", both) == " NOTIFY=DELAY,SUCCESS ORCPT=rfc822;first+2Bx@d.test"
    unitext = RcptParameters(orcpt="utf-8;grün@d.test")
    assert rcpt_words(ALL, "a@b", unitext) == r" ORCPT=utf-8;gr\x{FC}n@d.test"
    made = rcpt_words(ALL, "a+b=c@d.test", RcptParameters(frozenset({"FAILURE"})))
    assert made == " NOTIFY=FAILURE ORCPT=rfc822;a+2Bb+3Dc@d.test"


@pytest.mark.parametrize(
    ("by", "notify", "said"),
    [
        (DeliverBy(60, "N"), "", " NOTIFY=DELAY,FAILURE"),
        (DeliverBy(60, "N"), "SUCCESS", " NOTIFY=DELAY,SUCCESS"),
        (DeliverBy(60, "N"), "NEVER", " NOTIFY=NEVER"),
        (DeliverBy(0, "N"), "", ""),
        (DeliverBy(60, "R"), "", ""),
        (None, "FAILURE", " NOTIFY=FAILURE"),
    ],
)
def test_a_hop_without_deliverby_is_asked_for_delays(by: DeliverBy | None, notify: str, said: str) -> None:
    parameters = RcptParameters(frozenset(filter(None, [notify])))
    assert rcpt_words(Offers(dsn=True), "a@b", parameters, by).partition(" ORCPT")[0] == said
    usual = f" NOTIFY={notify}" if notify else ""
    assert rcpt_words(Offers(dsn=True, deliver_by=True), "a@b", parameters, by).partition(" ORCPT")[0] == usual


def test_original_recipient_with_international_characters() -> None:
    assert original_recipient("grü\\ße+x@münchen.example") == r"utf-8;gr\x{FC}\x{5C}\x{DF}e\x{2B}x@m\x{FC}nchen.example"


@pytest.mark.parametrize(
    ("said", "limits"),
    [
        ("RCPTMAX=20 MAILMAX=5 RCPTDOMAINMAX=1", (20, 5, 1)),
        ("", (0, 0, 0)),
        ("RCPTMAX=0 MAILMAX=x RCPTDOMAINMAX=", (0, 0, 0)),
        ("RCPTMAX FOO=3 MAILMAX=-1 RCPTDOMAINMAX=99999999999999999999999", (0, 0, 0)),
    ],
)
def test_limits(said: str, limits: tuple[int, int, int]) -> None:
    offers = Offers.of({"LIMITS": said})
    assert (offers.recipients_most, offers.transactions_most, offers.domains_most) == limits
