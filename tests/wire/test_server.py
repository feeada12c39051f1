"""The server engine: conversations, in order, whatever the packets and whenever the answers come."""

from __future__ import annotations

import base64
import re
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wire.driver import BANNER, SETTINGS, STRICT, Driver, codes, feed_split, greeted, in_data, positive
from twistedrelay.values import reply as replies
from twistedrelay.values.envelope import MailParameters
from twistedrelay.values.reply import Reply
from twistedrelay.wire.events import (
    Authenticate,
    Authenticated,
    EndOfContent,
    Event,
    Hello,
    Mail,
    ProtocolError,
    Quit,
    Rcpt,
    Reset,
    StartTLS,
    Vrfy,
)
from twistedrelay.wire.sasl import Password
from twistedrelay.wire.server import SMTPServer
from twistedrelay.wire.settings import ServerSettings

MESSAGE = b"MAIL FROM:<a@own.example>\r\nRCPT TO:<b@own.example>\r\nDATA\r\nSubject: x\r\n\r\n..body\r\n.\r\n"


def plain(user: str = "user", password: str = "secret") -> bytes:
    return base64.b64encode(f"\0{user}\0{password}".encode())


def test_the_article() -> None:
    driver = Driver()
    assert driver.feed(b"helo\r\n") == [250]
    assert driver.output == b"250 relay.example Hello [192.0.2.9]\r\n"
    assert driver.feed(b"mail from: cengiz@cozumpark.com\r\n") == [250]
    assert driver.feed(b"rcpt to: user@akkaya.local\r\n") == [250]
    assert driver.feed(b"Data\r\n") == [354]
    assert driver.feed(b"Subject: Test email\r\n\r\nTesting\r\n.\r\n") == [250]
    assert driver.messages == [b"Subject: Test email\r\n\r\nTesting\r\n"]
    assert driver.output.split(b"\r\n")[1:] == [
        b"250 2.1.0 Sender OK",
        b"250 2.1.5 Recipient OK",
        b"354 Start mail input; end with <CRLF>.<CRLF>",
        b"250 2.6.0 <1@relay.example> Queued mail for delivery",
        b"",
    ]
    assert driver.feed(b"quit\r\n") == [221]
    assert driver.engine.closing


def test_keywords_in_exchanges_order() -> None:
    driver = Driver()
    driver.feed(b"EHLO client.example\r\n")
    assert driver.output.decode().splitlines() == [
        "250-relay.example Hello [192.0.2.9]",
        "250-SIZE 1000000",
        "250-PIPELINING",
        "250-DSN",
        "250-ENHANCEDSTATUSCODES",
        "250-STARTTLS",
        "250-AUTH LOGIN PLAIN",
        "250-8BITMIME",
        "250-BINARYMIME",
        "250-CHUNKING",
        "250 SMTPUTF8",
    ]
    everything = attrs.evolve(
        SETTINGS,
        implicit_tls=True,
        deliver_by=True,
        future_release=86400,
        future_release_until=1_800_086_400,
        mt_priority=True,
        max_recipients=200,
        xclient=True,
    )
    driver = Driver(everything)
    driver.feed(b"EHLO client.example\r\n")
    assert driver.output.decode().splitlines()[9:] == [
        "250-SMTPUTF8",
        "250-REQUIRETLS",
        "250-DELIVERBY",
        "250-FUTURERELEASE 86400 2027-01-16T08:00:00Z",
        "250-MT-PRIORITY",
        "250-LIMITS RCPTMAX=200",
        "250 XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT",
    ]


@pytest.mark.parametrize(
    ("change", "shown", "hidden"),
    [
        ({"auth_requires_tls": True}, "STARTTLS", "AUTH"),
        ({"auth_requires_tls": True, "implicit_tls": True}, "AUTH LOGIN PLAIN", "STARTTLS"),
        ({"offer_starttls": False}, "AUTH LOGIN PLAIN", "STARTTLS"),
        ({"auth_mechanisms": ()}, "STARTTLS", "AUTH"),
        ({"size_enabled": "Disabled"}, "8BITMIME", "SIZE"),
        ({"max_message_size": None}, "SIZE", "SIZE 1000000"),
        ({"size_enabled": "EnabledWithoutValue"}, "SIZE", "SIZE 1000000"),
        ({"pipelining": False}, "DSN", "PIPELINING"),
        ({"dsn": False}, "PIPELINING", "DSN"),
        ({"enhanced_status_codes": False}, "DSN", "ENHANCEDSTATUSCODES"),
        ({"eight_bit_mime": False}, "CHUNKING", "8BITMIME"),
        ({"eight_bit_mime": False}, "CHUNKING", "SMTPUTF8"),
        ({"binary_mime": False}, "CHUNKING", "BINARYMIME"),
        ({"chunking": False}, "8BITMIME", "CHUNKING"),
        ({"chunking": False}, "8BITMIME", "BINARYMIME"),
        ({"smtp_utf8": False}, "8BITMIME", "SMTPUTF8"),
        ({"requiretls": True}, "8BITMIME", "REQUIRETLS"),
        ({"implicit_tls": True, "requiretls": False}, "8BITMIME", "REQUIRETLS"),
    ],
)
def test_keywords_follow_the_settings(change: dict[str, Any], shown: str, hidden: str) -> None:
    driver = Driver(attrs.evolve(SETTINGS, **change))
    driver.feed(b"EHLO x\r\n")
    words = [line[4:] for line in driver.output.decode().splitlines()]
    assert shown in words
    assert not [word for word in words if word == hidden or word.split()[0] == hidden]


def test_a_message_at_every_split() -> None:
    for driver in feed_split(greeted, MESSAGE * 2 + b"QUIT\r\n"):
        assert driver.codes == [250, 250, 354, 250] * 2 + [221]
        assert driver.messages == [b"Subject: x\r\n\r\n.body\r\n"] * 2
        assert driver.engine.closing


def test_one_write_for_one_packet() -> None:
    driver = greeted()
    driver.engine.receive_data(MESSAGE + b"NOOP\r\n")
    while (event := driver.engine.next_event()) is not None:
        driver.take(event)
    assert codes(driver.engine.data_to_send()) == [250, 250, 354, 250, 250]
    assert driver.engine.data_to_send() == b""


def test_nothing_is_read_while_an_answer_is_pending() -> None:
    engine = SMTPServer(SETTINGS)
    engine.greet(BANNER)
    engine.receive_data(b"EHLO x\r\n" + MESSAGE + b"RSET\r\nQUIT\r\n")
    seen = []
    while not engine.closing:
        event = engine.next_event()
        assert event is not None
        seen.append(type(event).__name__)
        if seen[-1] in ("Content", "Reset"):
            continue
        engine.receive_data(b"")
        sent = engine.data_to_send()
        assert engine.next_event() is None
        assert engine.data_to_send() == b"", sent
        engine.respond(positive(event))
    assert seen == ["Hello", "Mail", "Rcpt", "Data", "Content", "EndOfContent", "Reset", "Quit"]


def test_octets_that_wait_are_counted() -> None:
    engine = SMTPServer(SETTINGS)
    engine.receive_data(b"EHLO x\r\nNOOP\r\n")
    assert engine.next_event() is None
    assert engine.buffered == 14
    engine.greet(BANNER)
    assert isinstance(engine.next_event(), Hello)
    engine.receive_data(b"NO")
    assert engine.buffered == 8
    engine.respond(replies.HELLO_OK)
    assert engine.next_event() is None
    assert engine.buffered == 2


def test_respond_without_an_event() -> None:
    with pytest.raises(RuntimeError):
        SMTPServer(SETTINGS).respond(replies.NOOP)


def test_a_negative_greeting_closes() -> None:
    engine = SMTPServer(SETTINGS)
    engine.greet(replies.SERVICE_NOT_AVAILABLE)
    engine.receive_data(b"EHLO x\r\n")
    assert engine.closing
    assert engine.next_event() is None
    assert engine.data_to_send() == b"421 4.3.2 Service not available\r\n"


def test_421_closes_whatever_it_answers() -> None:
    driver = greeted(decide=lambda event: replies.TOO_MANY_ERRORS if isinstance(event, ProtocolError) else positive(event))
    assert driver.feed(b"NOOP\r\nWHAT\r\nNOOP\r\n") == [250, 421]
    assert driver.engine.closing
    assert driver.feed(b"NOOP\r\n") == []
    assert driver.engine.buffered == 0


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"WHATISTHIS", replies.UNRECOGNIZED),
        (b"", replies.UNRECOGNIZED),
        (b" NOOP", replies.UNRECOGNIZED),
        (b"MAILX FROM:<a@b.example>", replies.UNRECOGNIZED),
        (b"NOOP\0", replies.UNRECOGNIZED),
        (b"NOOP\rNOOP", replies.UNRECOGNIZED),
        (b"V\xe9RFY", replies.UNRECOGNIZED),
        (b"LHLO client.example", replies.UNRECOGNIZED),
        (b"XCLIENT NAME=x", replies.UNRECOGNIZED),
        (b"EXPN staff", replies.NOT_IMPLEMENTED),
        (b"TURN", replies.NOT_IMPLEMENTED),
        (b"ETRN own.example", replies.NOT_IMPLEMENTED),
        (b"VRFY", replies.BAD_ARGUMENTS),
        (b"VRFY a\0b", replies.BAD_ARGUMENTS),
        (b"VRFY b\xfcro", replies.BAD_ARGUMENTS),
        (b"VRFY b\xfcro SMTPUTF8", replies.BAD_ARGUMENTS),
        (b"VRFY b\xc3\xbcro", replies.BAD_ARGUMENTS),
        (b"EXPN b\xc3\xbcro SMTPUTF8", replies.NOT_IMPLEMENTED),
        (b"RSET now", replies.BAD_ARGUMENTS),
        (b"QUIT now", replies.BAD_ARGUMENTS),
        (b"DATA now", replies.BAD_ARGUMENTS),
        (b"STARTTLS now", replies.BAD_ARGUMENTS),
        (b"AUTH", replies.BAD_ARGUMENTS),
        (b"DATA", replies.NEED_MAIL),
        (b"RCPT TO:<a@b.example>", replies.NEED_MAIL),
        (b"EHLO two words", replies.BAD_DOMAIN),
        (b"NOOP " + b"x" * 506, replies.LINE_TOO_LONG),
    ],
)
def test_refused_lines_keep_the_session(line: bytes, reply: Reply) -> None:
    driver = greeted()
    assert driver.feed(line + b"\r\n") == [reply.code]
    assert driver.feed(b"NOOP\r\n") == [250]
    assert [error.reply for error in driver.errors] == [reply]
    assert all(error.command.isprintable() for error in driver.errors)


SECRET = b"AGNlbmdpegBzZWNyZXQgd29yZA=="


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (b"AUHT PLAIN " + SECRET, ["AUHT <not shown>"]),
        (b" AUTH PLAIN " + SECRET, [" AUTH <not shown>"]),
        (b"AUTH\tPLAIN\t" + SECRET, ["AUTH <not shown>"]),
        (b"AUTHLOGIN\r\n" + SECRET + b"\r\nsecret", ["AUTHLOGIN", "", ""]),
        (b"AUTH=" + SECRET, ["<not shown>"]),
        (SECRET, ["<not shown>"]),
        (b"Z2Vo", ["<not shown>"]),
        (b"Subject: secret", ["Subject: <not shown>"]),
        (b"GET / HTTP/1.1", ["GET <not shown>"]),
        (b"Hurrah", ["Hurrah"]),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03", ["\\x16\\x03\\x01\\x02\\x00\\x01\\x00\\x01 <not shown>"]),
        (b"", [""]),
    ],
)
def test_what_is_no_command_is_not_quoted(lines: bytes, told: list[str]) -> None:
    """It may be a misspelled login, or content that nobody asked for."""
    driver = greeted()
    driver.feed(lines + b"\r\n")
    assert [error.command for error in driver.errors] == told


def test_an_unknown_word_keeps_the_transaction() -> None:
    assert greeted().feed(b"MAIL FROM:<a@b.example>\r\nFOOBAR\r\nNOOP\r\nRCPT TO:<a@b.example>\r\n") == [250, 500, 250, 250]


def test_before_hello() -> None:
    driver = Driver()
    assert driver.feed(b"NOOP\r\nRSET\r\nHELP\r\nVRFY a\r\n") == [250, 250, 214, 252]
    driver = Driver()
    driver.feed(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\nSTARTTLS\r\n")
    driver.feed(b"AUTH PLAIN " + plain() + b"\r\n")
    assert [error.reply for error in driver.errors] == [replies.HELLO_FIRST] * 5


def test_hello_may_be_refused() -> None:
    driver = Driver(decide=lambda event: replies.BAD_DOMAIN if isinstance(event, Hello) else positive(event))
    assert driver.feed(b"EHLO x\r\nMAIL FROM:<a@b.example>\r\n") == [501, 503]


def test_vrfy() -> None:
    driver = greeted()
    assert driver.feed(b"VRFY user@own.example\r\n") == [252]
    assert driver.events == [Vrfy("user@own.example")]
    assert driver.feed(b"VRFY user SMTPUTF8\r\n") == [252]
    assert driver.feed("VRFY büro SMTPUTF8\r\n".encode()) == [252]
    assert driver.events[-1] == Vrfy("büro")


def test_vrfy_keeps_the_transaction() -> None:
    driver = greeted()
    stream = b"MAIL FROM:<a@own.example>\r\nRCPT TO:<b@own.example>\r\nVRFY b\xc3\xbcro\r\nDATA\r\nx\r\n.\r\n"
    assert driver.feed(stream) == [250, 250, 501, 354, 250]


def test_events_of_an_envelope() -> None:
    driver = greeted()
    assert driver.feed(b"MAIL FROM:<@r.example:A@Own.example> SIZE=10 BODY=8BITMIME AUTH=<>\r\nRCPT TO:<Postmaster>\r\n") == [250, 250]
    mail, rcpt = driver.events
    assert isinstance(mail, Mail)
    assert isinstance(rcpt, Rcpt)
    assert (mail.sender.text, mail.sender.domain) == ("A@Own.example", "own.example")
    assert mail.parameters == MailParameters(size=10, body="8BITMIME", auth="<>")
    assert rcpt.recipient.is_postmaster


def test_helo_offers_nothing() -> None:
    driver = Driver(hello=b"HELO x\r\n")
    assert driver.feed(b"MAIL FROM:<a@b.example> SIZE=10\r\nMAIL FROM:<a@b.example>\r\n") == [555, 250]
    assert driver.feed(b"RCPT TO:<b@b.example> NOTIFY=NEVER\r\nRCPT TO:<b@b.example>\r\n") == [555, 250]


def test_addresses_beyond_ascii() -> None:
    driver = greeted()
    rcpt = "RCPT TO:<büro@bücher.example> ORCPT=utf-8;büro@bücher.example\r\n".encode()
    assert driver.feed("MAIL FROM:<jösé@own.example>\r\n".encode()) == [550]  # RFC 6531 section 3.5: 550 here, 553 for a recipient
    assert driver.feed(b"MAIL FROM:<a@own.example>\r\n" + rcpt) == [250, 553]
    assert driver.feed(b"RSET\r\n" + "MAIL FROM:<jösé@own.example> SMTPUTF8\r\n".encode() + rcpt) == [250, 250, 250]
    assert driver.recipients == ["büro@bücher.example"]
    assert driver.feed(b"RSET\r\nMAIL FROM:<a@own.example>\r\n" + rcpt) == [250, 250, 553]


def test_replies_without_enhanced_codes() -> None:
    driver = greeted(attrs.evolve(SETTINGS, enhanced_status_codes=False))
    stream = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<b@b.example>\r\nBDAT 3\r\nabcBDAT 0 LAST\r\n" + MESSAGE
    driver.feed(stream + b"NOOP\r\nRSET\r\nHELP\r\nWHAT\r\nBDAT 1\r\nxVRFY a\r\nAUTH NO\r\nQUIT\r\n")
    lines = driver.output.decode().splitlines()
    assert len(lines) == 17
    assert not [line for line in lines if re.match(r"\d{3}[ -][245]\.\d+\.\d+", line)]
    engine = greeted(attrs.evolve(SETTINGS, enhanced_status_codes=False)).engine
    engine.dismiss(replies.TIMED_OUT)
    assert engine.closing
    assert engine.data_to_send() == b"421 Connection timed out\r\n"


def test_a_strict_connector() -> None:
    driver = Driver(STRICT)
    assert driver.feed(b"HELO\r\nHELO x.example\r\nMAIL FROM: <a@b.example>\r\nMAIL FROM:a@b.example\r\n") == [501, 250, 501, 501]
    assert driver.feed(b"mail from:<a@b.example>  \r\nRCPT TO:<a@b.example.>\r\n") == [250, 501]


def test_settings_may_change() -> None:
    driver = greeted()
    driver.engine.settings = attrs.evolve(SETTINGS, max_message_size=10)
    assert driver.feed(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n01234567890\r\n.\r\n") == [250, 250, 354, 552]
    assert driver.events[-1] == EndOfContent(replies.MESSAGE_TOO_LARGE)
    assert driver.messages == []


def test_data_may_be_refused() -> None:
    answers = iter([replies.SYSTEM_RESOURCES, replies.START_INPUT])
    driver = greeted(decide=lambda event: next(answers) if type(event).__name__ == "Data" else positive(event))
    assert driver.feed(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\nDATA\r\nx\r\n.\r\n") == [250, 250, 452, 354, 250]


def test_where_the_session_stands_is_visible() -> None:
    driver = greeted()
    engine = driver.engine
    driver.feed(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<a@b.example>\r\n")
    assert (engine.in_transaction, engine.in_content, engine.secure) == (True, False, False)
    driver.feed(b"DATA\r\nx\r\n")
    assert (engine.in_transaction, engine.in_content) == (True, True)
    driver.feed(b".\r\n")
    assert (engine.in_transaction, engine.in_content) == (False, False)


def test_empty_message() -> None:
    driver = in_data()
    assert driver.feed(b".\r\n") == [250]
    assert driver.messages == [b""]


@pytest.mark.parametrize("mechanism", [b"PLAIN", b"plain"])
def test_auth_plain(mechanism: bytes) -> None:
    for data in (b"AUTH " + mechanism + b" " + plain() + b"\r\n", b"AUTH " + mechanism + b"\r\n" + plain() + b"\r\n"):
        for driver in feed_split(greeted, data):
            assert driver.codes[-1] == 235
            assert driver.events == [Authenticate("PLAIN", Password("user", password="secret")), Authenticated()]
            assert driver.engine.authenticated
            assert "secret" not in repr(driver.events)


def test_auth_plain_prompts_with_nothing() -> None:
    driver = greeted()
    driver.feed(b"AUTH PLAIN\r\n")
    assert driver.output == b"334 \r\n"


def test_auth_login() -> None:
    driver = greeted()
    driver.feed(b"AUTH login\r\n")
    driver.feed(b"dXNlcg==\r\n")
    driver.feed(b"c2VjcmV0\r\n")
    assert driver.output == b"334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n235 2.7.0 Authentication successful\r\n"
    driver = greeted()
    assert driver.feed(b"AUTH login dXNlcg==\r\nc2VjcmV0\r\n") == [334, 235]
    assert driver.events == [Authenticate("LOGIN", Password("user", password="secret")), Authenticated()]


def test_auth_after_helo_and_ehlo_after_auth() -> None:
    driver = Driver(hello=b"HELO printer\r\n")
    assert driver.feed(b"AUTH PLAIN " + plain() + b"\r\n") == [235]
    driver.feed(b"EHLO printer\r\n")
    assert driver.engine.authenticated
    assert b"AUTH" not in driver.output
    assert b"STARTTLS" not in driver.output


@pytest.mark.parametrize(
    ("before", "line", "reply"),
    [
        (b"", b"AUTH CRAM-MD5", replies.UNRECOGNIZED_AUTH),
        (b"", b"AUTH gssapi ", replies.UNRECOGNIZED_AUTH),
        (b"", b"AUTH \xff\xfe", replies.UNRECOGNIZED_AUTH),
        (b"", b"AUTH PLAIN =", replies.AUTH_SYNTAX),
        (b"", b"AUTH PLAIN !!!!AHUAcA==", replies.AUTH_SYNTAX),
        (b"AUTH PLAIN\r\n", b"*", replies.AUTH_CANCELLED),
        (b"AUTH LOGIN\r\ndXNlcg==\r\n", b"*", replies.AUTH_CANCELLED),
        (b"AUTH LOGIN\r\ndXNlcg==\r\n", b"\xff", replies.AUTH_SYNTAX),
        (b"AUTH LOGIN\r\n", b"A" * 12287, replies.LINE_TOO_LONG),
        (b"MAIL FROM:<a@b.example>\r\n", b"AUTH PLAIN " + plain(), replies.BAD_SEQUENCE),
        (b"AUTH PLAIN " + plain() + b"\r\n", b"AUTH PLAIN " + plain(), replies.ALREADY_AUTHENTICATED),
    ],
)
def test_auth_refused(before: bytes, line: bytes, reply: Reply) -> None:
    driver = greeted()
    driver.feed(before)
    assert driver.feed(line + b"\r\nNOOP\r\n") == [reply.code, 250]
    assert [error.reply for error in driver.errors] == [reply]
    assert driver.errors[0].command in ("AUTH", "")


def test_auth_where_it_is_not_to_be() -> None:
    driver = greeted(attrs.evolve(SETTINGS, auth_mechanisms=()))
    assert driver.feed(b"AUTH PLAIN " + plain() + b"\r\n") == [504]
    driver = greeted(attrs.evolve(SETTINGS, auth_requires_tls=True))
    assert driver.feed(b"AUTH PLAIN " + plain() + b"\r\n") == [538]
    assert not driver.engine.authenticated


def test_failed_auth_keeps_the_session_anonymous() -> None:
    driver = greeted(decide=lambda event: replies.AUTH_FAILED if isinstance(event, Authenticate) else positive(event))
    assert driver.feed(b"AUTH PLAIN " + plain() + b"\r\nMAIL FROM:<a@b.example>\r\n") == [535, 250]
    assert not driver.engine.authenticated


def test_responses_that_follow_a_refused_auth_are_not_shown() -> None:
    driver = greeted(attrs.evolve(SETTINGS, auth_mechanisms=("PLAIN",)))
    assert driver.feed(b"AUTH LOGIN\r\ndXNlcg==\r\nc2VjcmV0\r\nNOOP\r\nWHAT\r\n") == [504, 500, 500, 250, 500]
    assert [error.command for error in driver.errors] == ["AUTH", "", "", "WHAT"]


def test_starttls() -> None:
    driver = greeted(attrs.evolve(SETTINGS, auth_requires_tls=True))
    assert driver.feed(b"STARTTLS\r\n") == [220]
    assert driver.output == b"220 2.0.0 SMTP server ready\r\n"
    assert driver.events == [StartTLS()]
    assert driver.feed(b"") == []
    assert driver.engine.awaiting_tls
    assert driver.engine.next_event() is None
    driver.engine.tls_started()
    assert not driver.engine.awaiting_tls
    assert driver.engine.secure
    driver.events.clear()
    assert driver.feed(b"MAIL FROM:<a@b.example>\r\n") == [503]
    assert driver.events[0] == Reset()
    driver.output = b""
    assert driver.feed(b"EHLO x\r\n") == [250]
    assert b"STARTTLS" not in driver.output
    assert b"250-AUTH LOGIN PLAIN\r\n" in driver.output
    assert driver.feed(b"STARTTLS\r\n") == [503]
    assert driver.feed(b"AUTH PLAIN " + plain() + b"\r\n") == [235]


@pytest.mark.parametrize(
    ("change", "before", "reply"),
    [
        ({"offer_starttls": False}, b"", replies.NOT_IMPLEMENTED),
        ({"implicit_tls": True}, b"", replies.BAD_SEQUENCE),
        ({}, b"MAIL FROM:<a@b.example>\r\n", replies.BAD_SEQUENCE),
        ({}, b"AUTH PLAIN " + plain() + b"\r\n", replies.BAD_SEQUENCE),
    ],
)
def test_starttls_refused(change: dict[str, Any], before: bytes, reply: Reply) -> None:
    driver = greeted(attrs.evolve(SETTINGS, **change))
    driver.feed(before)
    assert driver.feed(b"STARTTLS\r\n") == [reply.code]
    assert not driver.engine.awaiting_tls
    assert driver.feed(b"NOOP\r\n") == [250]


def test_starttls_that_the_session_cannot_do() -> None:
    driver = greeted(decide=lambda event: replies.TLS_NOT_AVAILABLE if isinstance(event, StartTLS) else positive(event))
    assert driver.feed(b"STARTTLS\r\n") == [454]
    assert driver.feed(b"MAIL FROM:<a@b.example>\r\n") == [250]


@pytest.mark.parametrize(
    ("line", "events"), [(b"RSET", [Reset()]), (b"EHLO x", [Hello("EHLO", "x"), Reset()]), (b"helo y", [Hello("HELO", "y"), Reset()])]
)
def test_resets(line: bytes, events: list[Event]) -> None:
    driver = greeted()
    driver.feed(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<a@b.example>\r\n")
    driver.events.clear()
    assert driver.feed(line + b"\r\nRCPT TO:<a@b.example>\r\nDATA\r\nMAIL FROM:<a@b.example>\r\nDATA\r\n") == [250, 503, 503, 250, 503]
    assert driver.events[: len(events)] == events


def test_a_refused_hello_keeps_the_transaction() -> None:
    driver = greeted()
    assert driver.feed(b"MAIL FROM:<a@b.example>\r\nEHLO two words\r\nRCPT TO:<a@b.example>\r\n") == [250, 501, 250]


@pytest.mark.parametrize("command", [b"NOOP\r\n", b"HELP\r\n", b"RSET\r\n", b"EHLO x.example\r\n", b"HURRAH\r\n"])
def test_a_flood_is_answered_in_portions(command: bytes) -> None:
    """What is not sent yet stays small, and nothing is lost."""
    engine = SMTPServer(SETTINGS)
    engine.greet(BANNER)
    engine.receive_data(command * 5000)
    said, portions = b"", 0
    while True:
        while (event := engine.next_event()) is not None:
            if not isinstance(event, Reset):
                engine.respond(positive(event))
        congested = engine.congested
        portion = engine.data_to_send()
        assert len(portion) < 100_000
        said, portions = said + portion, portions + 1
        if not congested:
            break
    assert portions > 10
    assert len(codes(said)) == 1 + 5000
    assert engine.buffered == 0


def test_quit_leaves_the_rest_unread() -> None:
    driver = greeted()
    assert driver.feed(b"QUIT\r\nNOOP\r\n") == [221]
    assert driver.events == [Quit()]


LINES = st.sampled_from(
    [
        b"EHLO x",
        b"HELO",
        b"MAIL FROM:<a@b.example>",
        b"MAIL FROM:<a@b",
        b"RCPT TO:<a@b.example>",
        b"RCPT TO:<refused@b.example>",
        b"RCPT TO:<>",
        b"LHLO x",
        b"XCLIENT ADDR=192.0.2.1",
        b"MAIL FROM:<a@b.example> SMTPUTF8 RET=FULL",
        b"RCPT TO:<a@b.example> NOTIFY=NEVER",
        b"RSET",
        b"NOOP x",
        b"HELP",
        b"VRFY a",
        b"EXPN a",
        b"AUTH PLAIN " + plain(),
        b"AUTH NTLM",
        b"DATA now",
        b"x" * 600,
        b"\x16\x03\x01\x02",
        b"",
    ]
)


def refusing_some(event: Event) -> Reply:
    if isinstance(event, Rcpt) and event.recipient.local == "refused":
        return replies.UNABLE_TO_RELAY
    return positive(event)


#: What is followed by something other than commands, or by nothing.
ENDS = {b"QUIT", b"STARTTLS", b"DATA", b"BDAT", b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT", b"DELETE", b"PATCH"}


@settings(max_examples=60, deadline=None)
@given(lines=st.lists(LINES | st.binary(max_size=20).filter(lambda line: b"\r\n" not in line), max_size=25), size=st.integers(1, 700))
def test_every_command_has_one_reply_however_it_is_cut(lines: list[bytes], size: int) -> None:
    lines = [line for line in lines if line.split(b" ")[0].strip().upper() not in ENDS or line == b"DATA now"]
    data = b"".join(line + b"\r\n" for line in lines)
    driver = Driver(SETTINGS, refusing_some)
    for at in range(0, len(data), size):
        driver.feed(data[at : at + size])
    assert len(driver.codes) == len(lines)
    at_once = Driver(SETTINGS, refusing_some)
    at_once.feed(data)
    assert (at_once.output, at_once.events) == (driver.output, driver.events)


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=200), begin=st.sampled_from([b"", MESSAGE, b"AUTH LOGIN\r\n*\r\n", b"STARTTLS\r\n"]))
def test_no_octets_raise(data: bytes, begin: bytes) -> None:
    driver = greeted(ServerSettings("relay.example", "192.0.2.9", offer_starttls=True, auth_mechanisms=("LOGIN",), auth_requires_tls=False))
    driver.feed(begin)
    driver.feed(data)
    driver.feed(b"\r\n.\r\n*\r\nQUIT\r\n")  # out of a message, and out of a login
    assert driver.engine.closing


def test_every_reply_has_an_enhanced_code_but_those_of_rfc_2034() -> None:
    """Not the banner, the replies to EHLO, and 3xx; each line of a reply has it, after HELO too."""
    for hello in (b"EHLO x.example\r\n", b"HELO x.example\r\n"):
        driver = greeted()
        driver.feed(hello)
        before = len(driver.output)
        driver.feed(b"HELP\r\nNOOP\r\nVRFY a\r\nEXPN a\r\nWHAT\r\nRCPT TO:<a@b.example>\r\nDATA\r\nMAIL FROM:<a\r\nAUTH X\r\n")
        driver.feed(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<b@b.example>\r\n" + MESSAGE + b"RSET\r\nSTARTTLS\r\nQUIT\r\n")
        lines = driver.output[before:].decode().splitlines()
        assert len(lines) > 15
        for line in lines:
            assert re.match(rf"{line[:3]}[- ]{line[0]}\.\d+\.\d+ ", line) or line.startswith("354 "), line
