"""Tests for L{twistedrelay.wire.traced}."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistedrelay.values import reply as replies
from twistedrelay.wire.commands import UNTOLD
from twistedrelay.wire.events import Authenticate, Data, EndOfContent, Event, ProtocolError
from twistedrelay.wire.sasl import Password
from twistedrelay.wire.server import SMTPServer
from twistedrelay.wire.settings import ServerSettings
from twistedrelay.wire.traced import MASK, TOO_LONG, TracedServer

SETTINGS = ServerSettings("relay.example", "192.0.2.1", auth_mechanisms=("LOGIN", "PLAIN"), auth_requires_tls=False)
USER, SECRET = b64encode(b"cengiz"), b64encode(b"secret word")
PLAIN = b64encode(b"\0cengiz\0secret word")


def answer(event: Event) -> replies.Reply:
    if isinstance(event, ProtocolError):
        return event.reply
    if isinstance(event, Authenticate):
        return replies.AUTH_OK if event.credentials == Password("cengiz", password="secret word") else replies.AUTH_FAILED
    return replies.START_INPUT if isinstance(event, Data) else replies.NOOP


def dialogue(octets: bytes, size: int = 0) -> tuple[list[tuple[str, str]], bytes]:
    """What was told of a session that sends these octets, and what it was sent."""
    return said(octets, size)[:2]


def said(octets: bytes, size: int) -> tuple[list[tuple[str, str]], bytes, list[str]]:
    """The same, and how refused commands are named."""
    told: list[tuple[str, str]] = []
    refused: list[str] = []
    engine = TracedServer(SETTINGS, lambda direction, text: told.append((direction, text)))
    engine.greet(replies.Reply(220, "", "relay.example"))
    sent = engine.data_to_send()
    for start in range(0, len(octets), size or len(octets)):
        engine.receive_data(octets[start : start + (size or len(octets))])
        while (event := engine.next_event()) is not None:
            if isinstance(event, ProtocolError):
                refused.append(event.command)
            if hasattr(event, "reply") or isinstance(event, EndOfContent | Data | Authenticate) or type(event).__name__ in WAIT:
                engine.respond(answer(event))
        sent += engine.data_to_send()
    return told, sent, refused


WAIT = {"Hello", "Mail", "Rcpt", "Quit", "Vrfy"}

SESSION = (
    b"EHLO client.example\r\nMAIL FROM:<a@b.example> SIZE=10\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"
    b"Subject: confidential\r\n\r\nEHLO in the content\r\n.\r\nNOOP\r\nQUIT\r\n"
)


@pytest.mark.parametrize("size", [0, 1, 7])
def test_a_dialogue(size: int) -> None:
    told, sent = dialogue(SESSION, size)
    assert [text for direction, text in told if direction == "<"] == [
        "EHLO client.example",
        "MAIL FROM:<a@b.example> SIZE=10",
        "RCPT TO:<c@d.example>",
        "DATA",
        "NOOP",
        "QUIT",
    ]
    assert "".join(f"{text}\r\n" for direction, text in told if direction == ">").encode() == sent
    assert [direction for direction, _ in told][:3] == [">", "<", ">"]
    assert ("<", "NOOP") in told
    assert told.index(("<", "NOOP")) > told.index((">", "354 Start mail input; end with <CRLF>.<CRLF>"))


def test_what_is_told_in_a_pipeline_is_in_the_order_of_the_dialogue() -> None:
    told, _ = dialogue(b"NOOP\r\nHELP\r\nNOOP\r\n")
    assert [direction for direction, _ in told] == [">", "<", ">", "<", ">", ">", "<", ">"]


@pytest.mark.parametrize(
    ("octets", "lines"),
    [
        (b"AUTH PLAIN " + PLAIN, [f"AUTH PLAIN {MASK}"]),
        (b"auth plain " + PLAIN, [f"AUTH PLAIN {MASK}"]),
        (b"AUTH PLAIN\r\n" + PLAIN, ["AUTH PLAIN", MASK]),
        (b"AUTH LOGIN\r\n" + USER + b"\r\n" + SECRET, ["AUTH LOGIN", MASK, MASK]),
        (b"AUTH LOGIN " + USER + b"\r\n" + SECRET, [f"AUTH LOGIN {MASK}", MASK]),
        (b"AUTH LOGIN\r\n*", ["AUTH LOGIN", "*"]),
        (b"AUTH LOGIN\r\nnot base64 %%%\r\n" + SECRET, ["AUTH LOGIN", MASK, UNTOLD]),
        (b"AUTH NTLM " + SECRET + b"\r\n" + SECRET, [f"AUTH NTLM {MASK}", UNTOLD]),
        (b"AUTH " + PLAIN, [f"AUTH {UNTOLD}"]),
        (b"  AUTH\tPLAIN " + PLAIN, [f"AUTH PLAIN {MASK}"]),
        (
            b"AUTH PLAIN " + b64encode(b"\0cengiz\0secret wrong") + b"\r\n" + SECRET + b"\r\nsecret word",
            [f"AUTH PLAIN {MASK}", UNTOLD, UNTOLD],
        ),
        (b"AUTHPLAIN " + PLAIN, [f"AUTHPLAIN {UNTOLD}"]),
        (b"PASS secret word", [f"PASS {UNTOLD}"]),
        (b"AUTH LOGIN\r\n" + b"x" * 20_000 + b"\r\n" + SECRET, ["AUTH LOGIN", MASK, UNTOLD]),
        (b"AUTH PLAIN " + PLAIN * 1000 + b"\r\n" + SECRET, [TOO_LONG, UNTOLD]),
        (b"AUTHPLAIN\r\n" + USER + b"\r\n" + SECRET, ["AUTHPLAIN", UNTOLD, UNTOLD]),
        (b"AUTH=" + PLAIN, [UNTOLD]),
        (b"AUHT PLAIN " + PLAIN, [f"AUHT {UNTOLD}"]),
        (SECRET, [UNTOLD]),
        (b"U3Vic2NyaWJl", [UNTOLD]),
        (b"x" * 300, [UNTOLD]),
        (b"Subject: secret", [f"Subject: {UNTOLD}"]),
        (b"\x16\x03\x01\xff\r\n", ["\\x16\\x03\\x01\\xff", ""]),
    ],
)
def test_secrets_are_not_told(octets: bytes, lines: list[str]) -> None:
    told, _ = dialogue(b"EHLO x.example\r\n" + octets + b"\r\n")
    assert [text for direction, text in told if direction == "<"][1:] == lines
    everything = "\n".join(text for _, text in told)
    for secret in (PLAIN, SECRET, USER, b"secret"):
        assert secret.decode() not in everything
    assert "VXNlcm5hbWU6" not in everything


LINES = [b"EHLO x", b"RSET", b"NOOP", b"MAIL FROM:<a@b.example>", b"RCPT TO:<c@d.example>", b"DATA", b".", b"BDAT 9", b"*", b"", b"="]
LINES += [
    b"AUTH",
    b"AUTH PLAIN",
    b"AUTH LOGIN",
    b"AUTH XOAUTH2",
    b"AUHT LOGIN",
    b"AUTHLOGIN",
    SECRET,
    PLAIN,
    USER,
    b"secret word",
    b"Secret-Word: x",
]
LINES += [
    b"%s %s" % (verb, secret)
    for verb in (b"AUTH", b"AUTH PLAIN", b" auth login", b"AUTH\tPLAIN", b"AUHT PLAIN")
    for secret in (SECRET, PLAIN)
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(LINES), max_size=12), st.sampled_from([0, 1, 30]))
def test_no_order_of_lines_brings_a_secret_out(lines: list[bytes], size: int) -> None:
    told, _, refused = said(b"".join(line + b"\r\n" for line in lines) or b"\r\n", size)
    everything = "\n".join([text for _, text in told] + refused)
    for secret in (PLAIN, SECRET, USER, b"secret word"):
        assert secret.decode() not in everything


def test_after_a_login_lines_are_told_again() -> None:
    told, _ = dialogue(b"EHLO x.example\r\nAUTH PLAIN " + PLAIN + b"\r\nHURRAH\r\nVRFY x\r\n")
    assert [text for direction, text in told if direction == "<"][2:] == ["HURRAH", "VRFY x"]


def test_it_answers_as_the_other_one() -> None:
    """Not telling is all the difference."""
    plain = SMTPServer(SETTINGS)
    plain.greet(replies.Reply(220, "", "relay.example"))
    plain.receive_data(b"EHLO x\r\nNOOP\r\n")
    event = plain.next_event()
    assert event is not None
    plain.respond(answer(event))
    assert plain.next_event() is None
    assert dialogue(b"EHLO x\r\nNOOP\r\n")[1] == plain.data_to_send()
