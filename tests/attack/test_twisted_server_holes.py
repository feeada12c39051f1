"""The known defects of Twisted's own SMTP server (T1 to T9 of the peer survey, 1 to 18 of the Twisted survey): none is in this engine."""

from __future__ import annotations

import base64
import tracemalloc

import attrs
import pytest

from tests.wire.driver import BANNER, SETTINGS, Driver, codes, feed_split, greeted, in_data, positive
from twistedrelay.values import reply as replies
from twistedrelay.values.envelope import MailParameters
from twistedrelay.wire.events import Authenticate, EndOfContent, Event, Mail, ProtocolError, Rcpt, StartTLS
from twistedrelay.wire.server import SMTPServer

EVIL = b"MAIL FROM:<evil@x.example>\r\nRCPT TO:<victim@own.example>\r\nDATA\r\nsecond\r\n"


def test_t1_commands_behind_starttls_are_never_executed() -> None:
    """Also defect 4."""
    for driver in feed_split(greeted, b"STARTTLS\r\nMAIL FROM:<evil@x.example>\r\nRSET\r\n"):
        assert driver.engine.closing
        assert driver.senders == []
        assert not driver.engine.secure
        assert driver.engine.buffered == 0
        assert driver.feed(b"NOOP\r\n") == []


def test_t1_a_fragment_behind_starttls_never_becomes_part_of_the_first_line_under_tls() -> None:
    for driver in feed_split(greeted, b"STARTTLS\r\nMAIL FROM:<evil@x.exam"):
        assert driver.engine.closing
        driver.engine.tls_started()
        assert driver.feed(b"ple>\r\nEHLO x\r\n") == []
        assert driver.senders == []


def test_t1_octets_that_come_while_the_decision_on_starttls_is_pending() -> None:
    driver = greeted()
    driver.engine.receive_data(b"STARTTLS\r\n")
    assert driver.engine.next_event() == StartTLS()
    driver.engine.receive_data(b"RSET\r\n")
    driver.engine.respond(replies.STARTTLS_READY)
    assert driver.engine.closing
    assert not driver.engine.awaiting_tls
    assert codes(driver.engine.data_to_send()) == [503]
    assert driver.engine.next_event() is None


def test_t1_no_state_survives_starttls() -> None:
    """Session fixation: hello, envelope and login of before are gone."""
    driver = greeted()
    assert driver.feed(b"MAIL FROM:<a@own.example>\r\nSTARTTLS\r\n") == [250, 503]
    driver = greeted()
    assert driver.feed(b"STARTTLS\r\n") == [220]
    driver.engine.tls_started()
    assert driver.feed(b"RCPT TO:<b@own.example>\r\nDATA\r\nMAIL FROM:<a@own.example>\r\nAUTH PLAIN AHUAcA==\r\n") == [503] * 4
    assert not driver.engine.authenticated


def test_t3_an_over_long_line_in_data_does_not_end_it() -> None:
    """Also defect 1."""
    body = b"x" * 20_000 + b"\r\n" + EVIL
    for at in (0, 1, 510, 512, 16_384, 16_385, 19_999, 20_000, 20_001, 20_002):
        driver = in_data()
        assert driver.feed(body[:at]) == []
        assert driver.feed(body[at:]) == []
        assert driver.feed(b".\r\n") == [250]
        assert driver.messages == [body]
        assert driver.senders == []


def test_t4_an_endless_command_line_is_held_in_bounded_memory_and_answered_once() -> None:
    """Also defect 2."""
    driver = greeted()
    tracemalloc.start()
    for _ in range(400):
        assert driver.feed(b"a" * 16_384) == []
        assert driver.engine.buffered <= 12_288
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    assert driver.feed(b"\r\nNOOP\r\n") == [500, 250]


def test_t4_the_tail_of_a_long_line_is_never_a_command() -> None:
    for driver in feed_split(greeted, b"NOOP " + b"a" * 600 + b"MAIL FROM:<evil@x.example>\r\nNOOP\r\n"):
        assert driver.codes == [500, 250]
        assert driver.senders == []


def test_t4_an_endless_auth_line() -> None:
    driver = greeted()
    driver.feed(b"AUTH LOGIN\r\n")
    for _ in range(50):
        assert driver.feed(b"A" * 16_384) == []
        assert driver.engine.buffered <= 12_288
    assert driver.feed(b"\r\nNOOP\r\n") == [500, 250]


def test_t6_replies_keep_their_order_while_a_commit_is_pending() -> None:
    """Also defect 9."""
    driver = in_data()
    engine = driver.engine
    engine.receive_data(b"x\r\n.\r\nRSET\r\nMAIL FROM:<next@own.example>\r\nNOOP\r\n")
    engine.next_event()
    assert engine.next_event() == EndOfContent()
    for _ in range(3):
        assert engine.next_event() is None
        assert engine.data_to_send() == b""
    engine.respond(replies.SYSTEM_RESOURCES)
    while (event := engine.next_event()) is not None:
        driver.take(event)
    assert codes(engine.data_to_send()) == [452, 250, 250, 250]


def test_t6_an_asynchronous_answer_to_mail_does_not_let_rcpt_overtake() -> None:
    engine = SMTPServer(SETTINGS)
    engine.greet(BANNER)
    engine.receive_data(b"EHLO x\r\nMAIL FROM:<a@own.example>\r\nRCPT TO:<b@own.example>\r\nDATA\r\n")
    engine.next_event()
    engine.respond(replies.HELLO_OK)
    engine.data_to_send()
    sent = []
    for kind, reply in ((Mail, replies.SENDER_OK), (Rcpt, replies.RECIPIENT_OK)):
        assert isinstance(engine.next_event(), kind)
        assert engine.next_event() is None
        engine.respond(reply)
        sent += codes(engine.data_to_send())
    engine.next_event()
    engine.respond(replies.START_INPUT)
    assert sent + codes(engine.data_to_send()) == [250, 250, 354]


def test_t7_the_reply_to_the_end_of_data_is_the_sessions_own() -> None:
    """Also defect 11: a full disk is never a 5xx."""
    for reply in (replies.SYSTEM_RESOURCES, replies.LOCAL_ERROR):
        driver = in_data(decide=lambda event, reply=reply: reply if isinstance(event, EndOfContent) else positive(event))  # type: ignore[misc]
        assert driver.feed(b"x\r\n.\r\n") == [reply.code]


def test_t8_bare_lf_and_nul_never_pass() -> None:
    """Also defect 3."""
    for body in (b"a\n.\nb", b"a\0b", b"a\rb"):
        for driver in feed_split(in_data, body + b"\r\n.\r\n"):
            assert driver.codes == [550]
            assert driver.messages == []
    relaxed = attrs.evolve(SETTINGS, bare_linefeed_rejection_enabled=False)
    for driver in feed_split(lambda: in_data(relaxed), b"a\n.\nb\rc\r\n.\r\n"):
        assert driver.messages == [b"a\r\n.\r\nb\r\nc\r\n"]


def test_t9_the_extensions_are_there() -> None:
    driver = Driver()
    driver.feed(b"EHLO x\r\n")
    for keyword in (b"PIPELINING", b"SIZE 1000000", b"8BITMIME", b"ENHANCEDSTATUSCODES", b"STARTTLS", b"AUTH LOGIN PLAIN"):
        assert b"-" + keyword + b"\r\n" in driver.output.replace(b"250 ", b"250-")


def test_defect_5_no_starttls_inside_implicit_tls() -> None:
    driver = Driver(attrs.evolve(SETTINGS, implicit_tls=True))
    driver.feed(b"EHLO x\r\n")
    assert b"STARTTLS" not in driver.output
    assert driver.feed(b"STARTTLS\r\n") == [503]


def test_defect_6_auth_is_neither_offered_nor_taken_before_tls_where_the_connector_says_so() -> None:
    driver = Driver(attrs.evolve(SETTINGS, auth_requires_tls=True))
    driver.feed(b"EHLO x\r\n")
    assert b"AUTH" not in driver.output
    assert driver.feed(b"AUTH PLAIN AHUAcA==\r\n") == [538]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"AUTH", 501),
        (b"AUTH ", 501),
        (b"AUTH PLAIN =", 501),
        (b"AUTH PLAIN !!!!AHUAcA==", 501),
        (b"AUTH PLAIN AHUAcA", 501),
        (b"AUTH PLAIN AHUAcA== x", 501),
        (b"AUTH \xff", 504),
    ],
)
def test_defect_6_bad_auth_lines_are_answered_and_raise_nothing(line: bytes, code: int) -> None:
    for driver in feed_split(greeted, line + b"\r\nNOOP\r\n"):
        assert driver.codes == [code, 250]
        assert not [event for event in driver.events if isinstance(event, Authenticate)]


def test_defect_6_no_auth_inside_a_mail_transaction() -> None:
    for driver in feed_split(greeted, b"MAIL FROM:<a@own.example>\r\nAUTH PLAIN AHUAcA==\r\n"):
        assert driver.codes == [250, 503]


def test_defect_7_noop_vrfy_help_expn_are_known() -> None:
    for driver in feed_split(greeted, b"NOOP\r\nVRFY a\r\nHELP\r\nEXPN a\r\n"):
        assert driver.codes == [250, 252, 214, 502]


def test_defect_7_octets_of_another_protocol_are_refused_without_an_exception() -> None:
    for garbage in (
        b"\x16\x03\x01\x00\x05hello\r\n",
        bytes(range(128, 256)) + b"\r\n",
        b"\0\0\0\r\n",
        b"V\xe9RFY\r\n",
    ):
        for driver in feed_split(greeted, garbage + b"NOOP\r\n"):
            assert driver.codes == [500, 250]
            assert all(error.command.isascii() and error.command.isprintable() for error in driver.errors)


def test_defect_7_nothing_is_done_for_a_browser() -> None:
    page = b"POST /x HTTP/1.1\r\nHost: x\r\n\r\nEHLO x\r\nMAIL FROM:<a@own.example>\r\n"
    for driver in feed_split(greeted, page):
        assert driver.codes == [500]
        assert driver.engine.closing


def test_defect_8_hello_comes_first() -> None:
    for driver in feed_split(Driver, b"MAIL FROM:<a@own.example>\r\n"):
        assert driver.errors == [ProtocolError(replies.HELLO_FIRST, "MAIL FROM:<a@own.example>")]


def test_defect_10_parameters_are_read_and_unknown_ones_refused() -> None:
    for driver in feed_split(
        greeted, b"MAIL FROM:<a@own.example> SIZE=99999999999 BODY=8BITMIME\r\nRSET\r\nMAIL FROM:<a@own.example> FOO=1\r\n"
    ):
        assert driver.codes == [250, 250, 555]
        mail = driver.events[0]
        assert isinstance(mail, Mail)
        assert mail.parameters == MailParameters(size=99_999_999_999, body="8BITMIME")


def test_defect_13_literals_are_addresses_and_utf8_is_refused_unless_asked_for() -> None:
    line = "MAIL FROM:<jösé@own.example>\r\n".encode()
    for driver in feed_split(greeted, line + b"MAIL FROM:<root@[192.0.2.1]>\r\nRCPT TO:<u@[IPv6:2001:db8::1]>\r\nRCPT TO:<postmaster>\r\n"):
        assert driver.codes == [550, 250, 250, 250]
        assert driver.recipients == ["u@[IPv6:2001:db8::1]", "postmaster"]


def test_defect_14_one_content_for_all_recipients() -> None:
    driver = greeted()
    driver.feed(b"MAIL FROM:<a@own.example>\r\n" + b"".join(b"RCPT TO:<r%d@own.example>\r\n" % n for n in range(10)))
    assert driver.feed(b"DATA\r\nx\r\n.\r\n") == [354, 250]
    assert driver.messages == [b"x\r\n"]


def test_passwords_are_in_no_representation() -> None:
    """Defect 23 of the client has its mirror here: nothing behind AUTH is shown."""

    def decide(event: Event) -> replies.Reply:
        return replies.AUTH_FAILED if isinstance(event, Authenticate) else positive(event)

    secret = base64.b64encode(b"\0user\0hunter2")
    lines = (
        b"AUTH PLAIN " + secret,
        b"AUTH PLAIN x" + secret,
        b"AUTH PLAIN\r\n" + secret,
        b"AUTH CRAM-MD5\r\n" + secret,
        b"AUTH PLAIN\r\n!" + secret,
    )
    for data in lines:
        driver = greeted(decide=decide)
        driver.feed(data + b"\r\n")
        shown = repr(driver.events).encode()
        assert b"hunter2" not in shown
        assert secret not in shown
