"""The extensions in a session: what they make of a message, and what the client hears."""

from __future__ import annotations

import re

from tests.net.relay import NOON, FakeSpool, Relay, configuration
from twistedrelay.config.schema import Config
from twistedrelay.policy.acceptance import Acceptance
from twistedrelay.values import events
from twistedrelay.values.envelope import DeliverBy, MailParameters, RcptParameters

MESSAGE = b"Subject: x\r\n\r\ntext\r\n"


def content(spool: FakeSpool) -> bytes:
    """The last content behind its trace header."""
    return re.sub(rb"^Received: [^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*", b"", spool.contents[-1].octets)


def test_chunks_become_a_message() -> None:
    relay = Relay()
    client = relay.connect()
    client.send(b"EHLO x\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<user@akkaya.local>\r\n")
    client.said()
    client.send(b"BDAT 12\r\nSubject: x\r\nBDAT 2\r\n\r\n")
    assert client.said() == "250 2.0.0 Octets received\r\n" * 2
    assert relay.spool.stored == []
    client.send(b"BDAT 6 LAST\r\ntext\r\n")
    assert client.said().startswith("250 2.6.0 <")
    assert content(relay.spool) == MESSAGE
    assert len(relay.submitted) == 1


def test_the_session_goes_on_behind_a_spoilt_message() -> None:
    relay = Relay()
    client = relay.connect()
    client.send(b"EHLO x\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<user@akkaya.local>\r\nBDAT 5\r\nok\r\n\nBDAT 4 LAST\r\nQUIT")
    assert client.codes() == [220, 250, 250, 250, 550, 550]
    assert relay.spool.contents[0].aborted == 1
    assert client.session.transaction is None
    client.send(b"MAIL FROM:<a@client.example>\r\nRCPT TO:<user@akkaya.local>\r\nBDAT 20 LAST\r\n" + MESSAGE)
    assert client.codes() == [250, 250, 250]
    assert content(relay.spool) == MESSAGE


def test_rset_and_hanging_up_between_chunks() -> None:
    relay = Relay()
    client = relay.connect()
    client.send(b"EHLO x\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<user@akkaya.local>\r\nBDAT 4\r\nok\r\nRSET\r\n")
    assert relay.spool.contents[0].aborted == 1
    client.send(b"MAIL FROM:<a@client.example>\r\nRCPT TO:<user@akkaya.local>\r\nBDAT 4\r\nok\r\n")
    client.transport.close()
    assert relay.spool.contents[1].aborted == 1
    assert relay.spool.stored == []


def test_a_drain_lets_chunks_end() -> None:
    relay = Relay()
    client = relay.connect()
    client.send(b"EHLO x\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<user@akkaya.local>\r\nBDAT 4\r\nok\r\n")
    relay.sessions.drain()
    assert not client.is_closing
    client.said()
    client.send(b"BDAT 4 LAST\r\nok\r\n")
    assert client.codes() == [250, 421]
    assert len(relay.submitted) == 1


def test_lmtp() -> None:
    relay = Relay({"Inside": {"protocol": "LMTP"}})
    client = relay.connect()
    client.send(b"LHLO x\r\nMAIL FROM:<a@client.example>\r\n")
    client.send(b"RCPT TO:<user@akkaya.local>\r\nRCPT TO:<x@outside.example>\r\nRCPT TO:<info@akkaya.local>\r\nDATA\r\n")
    assert client.codes() == [220, 250, 250, 250, 550, 250, 354]
    assert (client.session.facts.esmtp, client.session.facts.lmtp) == (True, True)
    client.send(MESSAGE + b".\r\n")
    said = client.said().splitlines()
    assert len(said) == 2
    assert said[0] == said[1]
    assert said[0].startswith("250 2.6.0 <")
    [message] = relay.spool.stored
    assert [recipient.address.text for recipient in message.recipients] == ["user@akkaya.local", "info@akkaya.local"]


def test_parameters_reach_the_message() -> None:
    relay = Relay({"All": {"mt_priority_enabled": True}})
    client = relay.connect()
    client.send(b"EHLO x\r\nMAIL FROM:<a@client.example> RET=HDRS ENVID=a+2Bb SMTPUTF8 BODY=8BITMIME SIZE=20 MT-PRIORITY=-3\r\n")
    client.send("RCPT TO:<büro@akkaya.local> NOTIFY=DELAY,FAILURE ORCPT=rfc822;x@y.example\r\nDATA\r\n".encode() + MESSAGE + b".\r\n")
    assert client.codes() == [220, 250, 250, 250, 354, 250]
    assert client.session.facts.smtp_utf8
    [message] = relay.spool.stored
    assert message.parameters == MailParameters(size=20, body="8BITMIME", ret="HDRS", envid="a+b", smtp_utf8=True, priority=-3)
    assert b"\r\n PRIORITY -3;\r\n" in b"".join(message.content.in_memory() or ())
    assert message.recipients[0].parameters == RcptParameters(frozenset({"DELAY", "FAILURE"}), "rfc822;x@y.example")
    client.send(b"MAIL FROM:<a@client.example>\r\n")
    assert not client.session.facts.smtp_utf8


def test_a_domain_is_the_same_in_both_its_forms() -> None:
    domains = {"xn--bcher-kva.example": {"next_hop": "10.0.0.1:25"}}
    relay = Relay()
    given = configuration().model_dump() | {"accepted_domains": domains}
    relay.replace(acceptance=Acceptance(Config.model_validate(given)))
    client = relay.connect()
    client.send(b"EHLO x\r\nMAIL FROM:<a@client.example> SMTPUTF8\r\nRCPT TO:<user@xn--bcher-kva.example>\r\n")
    client.send("RCPT TO:<user@bücher.example>\r\nRCPT TO:<büro@BÜCHER.example>\r\nRCPT TO:<büro@bäcker.example>\r\n".encode())
    assert client.codes() == [220, 250, 250, 250, 250, 250, 550]


def test_a_limit_names_itself_in_the_log() -> None:
    relay = Relay({"Small": {"max_message_size": "64KB", "max_recipients_per_message": 1}})
    client = relay.connect()
    client.send(b"EHLO x\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<user@akkaya.local>\r\nRCPT TO:<info@akkaya.local>\r\n")
    client.send(b"BDAT 65537 LAST\r\n" + b"x" * 65_537)
    assert client.codes() == [220, 250, 250, 250, 452, 552]
    assert [event.reason for event in relay.events.of(events.CommandRefused)] == ["max_recipients_per_message", "max_message_size"]


def test_times_count_from_mail() -> None:
    relay = Relay({"Later": {"future_release_enabled": True, "max_future_release_interval": "1h"}})
    client = relay.connect()
    assert "FUTURERELEASE 3600 2027-01-15T09:00:00Z" in client.command("EHLO x")
    client.send(b"MAIL FROM:<a@client.example> HOLDFOR=600 BY=900;NT\r\nRCPT TO:<user@akkaya.local>\r\nDATA\r\n")
    relay.pass_time(100)
    client.send(MESSAGE + b".\r\n")
    assert relay.spool.stored[0].parameters == MailParameters(hold_for=600, hold_until=NOON + 600, deliver_by=DeliverBy(800, "N", True))
    assert relay.spool.stored[0].received_at == NOON + 100
    client.send(
        b"MAIL FROM:<a@client.example> HOLDUNTIL=2027-01-15T08:30:00Z\r\nRCPT TO:<user@akkaya.local>\r\nDATA\r\n" + MESSAGE + b".\r\n"
    )
    assert relay.spool.stored[1].parameters == MailParameters(hold_until=NOON + 1800)
    client.said()
    assert client.command("MAIL FROM:<a@client.example> HOLDFOR=3601").startswith("501 5.5.4 ")
    assert "max_future_release_interval" in client.command("MAIL FROM:<a@client.example> HOLDUNTIL=2027-01-15T09:00:01Z")


def test_a_stranger_raises_no_priority() -> None:
    relay = Relay({"All": {"mt_priority_enabled": True}})
    anonymous, user = relay.connect(), relay.connect()
    user.command("EHLO x")
    user.login()
    anonymous.command("EHLO x")
    assert anonymous.command("MAIL FROM:<a@client.example> MT-PRIORITY=4").startswith("250 2.3.6 0 ")
    assert user.command("MAIL FROM:<cengiz@akkaya.local> MT-PRIORITY=4").startswith("250 2.1.0 ")
    priorities = [client.session.transaction and client.session.transaction.parameters.priority for client in (anonymous, user)]
    assert priorities == [0, 4]


def test_a_rewritten_recipient_keeps_its_original() -> None:
    client = Relay().connect()
    client.send(b"EHLO x\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<postmaster> NOTIFY=SUCCESS\r\nRCPT TO:<postmaster>\r\n")
    assert client.session.transaction is not None
    first, second = client.session.transaction.recipients
    assert first.parameters == RcptParameters(frozenset({"SUCCESS"}), "rfc822;postmaster")
    assert (second.parameters.orcpt, "@" in second.address.text) == ("", True)


def test_nobody_vouches_for_what_an_anonymous_client_says_of_the_submitter() -> None:
    relay = Relay()
    anonymous, user = relay.connect(), relay.connect()
    user.command("EHLO x")
    user.login()
    for client in (anonymous, user):
        client.send(b"EHLO x\r\nMAIL FROM:<cengiz@akkaya.local> AUTH=boss+40akkaya.local\r\n")
    assert user.session.transaction is not None
    assert user.session.transaction.parameters.auth == "boss@akkaya.local"
    anonymous.send(b"MAIL FROM:<a@client.example> AUTH=boss@akkaya.local\r\n")
    assert anonymous.session.transaction is not None
    assert anonymous.session.transaction.parameters.auth == "<>"


def test_every_toggle_reaches_ehlo() -> None:
    toggles = {
        "size_enabled": "Disabled",
        "pipelining_enabled": False,
        "delivery_status_notification_enabled": False,
        "enhanced_status_codes_enabled": False,
        "eight_bit_mime_enabled": False,
        "binary_mime_enabled": False,
        "chunking_enabled": False,
        "smtp_utf8_enabled": False,
        "deliver_by_enabled": False,
        "limits_enabled": False,
        "auth_mechanism": ["None"],
    }
    bare = Relay({"Bare": toggles}).connect()
    bare.said()
    assert len(bare.command("EHLO x").splitlines()) == 1
    assert bare.command("NOOP") == "250 OK\r\n"
    words = [
        line[4:]
        for line in Relay({"Full": {"mt_priority_enabled": True, "size_enabled": "EnabledWithoutValue"}})
        .connect()
        .command("EHLO x")
        .splitlines()
    ]
    assert words[2:] == [
        "SIZE",
        "PIPELINING",
        "DSN",
        "ENHANCEDSTATUSCODES",
        "STARTTLS",
        "AUTH LOGIN PLAIN",
        "8BITMIME",
        "BINARYMIME",
        "CHUNKING",
        "SMTPUTF8",
        "DELIVERBY",
        "MT-PRIORITY",
        "LIMITS RCPTMAX=200",
    ]


def test_a_farewell_without_enhanced_codes() -> None:
    relay = Relay({"Bare": {"enhanced_status_codes_enabled": False}})
    client = relay.connect()
    client.command("EHLO x")
    relay.pass_time(301)
    assert client.said() == "421 Connection timed out\r\n"
    assert client.is_closing


def test_the_priority_of_a_header_counts_where_the_connector_says_so() -> None:
    """High and Low are +4 and -4 (RFC 6710); MT-PRIORITY goes before them, and a stranger raises nothing."""

    def priority(field: str, *, enabled: bool = True, mail: str = "", login: bool = True) -> int | None:
        relay = Relay({"All": {"mt_priority_enabled": True, "x_priority_enabled": enabled}})
        client = relay.connect()
        client.command("EHLO x")
        if login:
            assert "235" in client.login()
        client.send(f"MAIL FROM:<cengiz@akkaya.local>{mail}\r\nRCPT TO:<user@akkaya.local>\r\nDATA\r\n".encode())
        client.send(f"{field}Subject: x\r\n\r\ny\r\n.\r\n".encode())
        return relay.spool.stored[-1].parameters.priority

    assert priority("X-Priority: 1 (Highest)\r\n") == priority("importance: HIGH\r\n") == priority("X-Priority:\r\n 2\r\n") == 4
    assert priority("X-Priority: 5\r\n") == priority("Importance: low\r\n") == -4
    assert priority("X-Priority: 3\r\nImportance: high\r\n") is None
    assert priority("X-Priority: 17\r\n") is priority("X-Priority: \r\n") is priority("") is None
    assert priority("X-Priority: 1\r\n", mail=" MT-PRIORITY=2") == 2
    assert priority("X-Priority: 1\r\n", enabled=False) is None
    assert priority("X-Priority: 1\r\n", login=False) is None
    assert priority("X-Priority: 4\r\n", login=False) == -4
