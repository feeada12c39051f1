"""RCPT where somebody has to be asked whether the recipient exists: the session waits, and nothing else goes wrong."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from zope.interface import implementer

from tests.net.relay import Client, Relay
from twistedrelay.interfaces import IRecipients
from twistedrelay.policy.acceptance import Acceptance
from twistedrelay.values import events
from twistedrelay.values.address import Address
from twistedrelay.values.reply import RECIPIENT_LOOKUP_FAILED, Reply


@implementer(IRecipients)
class Recipients:
    """Answers at once for those that it knows, later for others."""

    def __init__(self) -> None:
        self.at_once: dict[str, bool | Reply] = {"known": True, "unknown": False, "doubt": RECIPIENT_LOOKUP_FAILED}
        self.asked: list[str] = []
        self.waiting: list[Deferred[bool | Reply]] = []

    def known(self, recipient: Address) -> bool | Reply | Deferred[bool | Reply]:
        self.asked.append(recipient.text)
        if recipient.local in self.at_once:
            return self.at_once[recipient.local]
        self.waiting.append(Deferred())
        return self.waiting[-1]


def start(connector: dict[str, Any] | None = None) -> tuple[Relay, Recipients, Client]:
    """A session behind MAIL."""
    relay, recipients = Relay({"Default Frontend": connector or {}}), Recipients()
    relay.replace(acceptance=Acceptance(relay.config, recipients=recipients))
    client = relay.connect()
    client.send(b"EHLO x\r\nMAIL FROM:<a@client.example>\r\n")
    client.said()
    return relay, recipients, client


def rcpt(*names: str) -> bytes:
    return "".join(f"RCPT TO:<{name}@akkaya.local>\r\n" for name in names).encode()


def test_what_is_known_at_once() -> None:
    _, recipients, client = start()
    client.send(rcpt("known", "unknown", "doubt") + b"RCPT TO:<postmaster>\r\nRCPT TO:<x@outside.example>\r\n")
    assert client.said().splitlines() == [
        "250 2.1.5 Recipient OK",
        "550 5.1.1 User unknown",
        "451 4.4.3 Recipient cannot be looked up now. Please try again later.",
        "250 2.1.5 Recipient OK",
        "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain",
    ]
    assert recipients.asked == ["known@akkaya.local", "unknown@akkaya.local", "doubt@akkaya.local"]


def test_replies_stay_in_order_and_the_message_goes_to_those_that_exist() -> None:
    relay, recipients, client = start()
    client.send(rcpt("later", "unknown", "later2", "known") + b"DATA\r\n")
    assert client.codes() == []
    recipients.waiting[0].callback(True)
    assert client.codes() == [250, 550]
    recipients.waiting[1].callback(False)
    assert client.codes() == [550, 250, 354]
    client.send(b"Subject: x\r\n\r\ny\r\n.\r\n")
    assert client.codes() == [250]
    (message,) = relay.spool.stored
    assert [recipient.address.local for recipient in message.recipients] == ["later", "known"]
    assert [recipient.index for recipient in message.recipients] == [0, 1]


def test_the_refusal_is_tarpitted_and_logged() -> None:
    relay, recipients, client = start({"tarpit_interval": "5s"})
    client.send(rcpt("later", "known"))
    recipients.waiting[0].callback(False)
    relay.clock.advance(4.9)
    assert client.codes() == []
    relay.clock.advance(0.2)
    assert client.codes() == [550, 250]
    (refused,) = relay.events.of(events.CommandRefused)
    assert refused.command == "RCPT TO:<later@akkaya.local>" and refused.reply.enhanced == "5.1.1"


def test_who_may_relay_is_told_nothing() -> None:
    relay, recipients, _ = start()
    client = relay.connect()
    client.command("EHLO x")
    assert "235" in client.login()
    client.send(b"MAIL FROM:<cengiz@akkaya.local>\r\n" + rcpt("unknown", "later"))
    assert client.codes() == [250, 250, 250]
    assert recipients.asked == []


@pytest.mark.parametrize("answer", [True, False, RECIPIENT_LOOKUP_FAILED])
@pytest.mark.parametrize("end", ["lost", "drained", "aborted"])
def test_the_session_ends_while_it_waits(answer: bool | Reply, end: str) -> None:
    relay, recipients, client = start()
    client.send(rcpt("known", "later") + b"DATA\r\n")
    client.said()
    if end == "lost":
        client.transport.close()
    elif end == "drained":
        relay.sessions.drain()
        assert client.said().startswith("421 4.3.2")
    else:
        relay.sessions.abort()
    recipients.waiting[0].callback(answer)
    client.transport.close()
    relay.clock.advance(100.0)
    assert client.said() == "" and relay.spool.contents == [] and relay.buffers.used == 0


def test_a_defect_of_the_lookup_ends_the_session_and_no_other() -> None:
    relay, recipients, client = start()
    client.send(rcpt("later"))
    recipients.waiting[0].errback(ValueError("a defect"))
    assert client.said().startswith("421 4.3.0") and client.is_closing
    assert relay.connect().codes() == [220]


def test_the_time_of_a_lookup_is_not_the_peers() -> None:
    relay, recipients, client = start({"connection_inactivity_timeout": "10s"})
    client.send(rcpt("later"))
    relay.pass_time(60)
    assert client.said() == ""
    recipients.waiting[0].callback(True)
    assert client.codes() == [250]
    relay.pass_time(9)
    assert client.said() == ""
    relay.pass_time(3)
    assert client.said().startswith("421 4.4.1")


def test_what_follows_in_the_same_packet_is_not_lost() -> None:
    """RSET, EHLO and QUIT behind a pending RCPT act on the transaction once it is answered."""
    relay, recipients, client = start()
    client.send(rcpt("later") + b"RSET\r\n" + b"MAIL FROM:<b@client.example>\r\n" + rcpt("later2") + b"EHLO y\r\nDATA\r\nQUIT\r\n")
    recipients.waiting[0].callback(True)
    assert client.codes() == [250, 250, 250]
    recipients.waiting[1].callback(True)
    assert client.codes() == [250, 250, 503, 221]
    assert relay.spool.contents == []
