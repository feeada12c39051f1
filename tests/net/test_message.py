"""Messages of a session: what goes to the spool, and what the client hears."""

from __future__ import annotations

import pytest
from twisted.logger import capturedLogs
from twisted.python.failure import Failure

from tests.net.relay import FQDN, FakeSpool, Relay
from twistedrelay.interfaces import SpoolError
from twistedrelay.net.intake import HEADER_LOOKAHEAD
from twistedrelay.values import events
from twistedrelay.values import reply as replies

MESSAGE = b"Subject: x\r\nMessage-ID: <1@client.example>\r\n\r\ntext\r\n"


def body_of(spool: FakeSpool) -> bytes:
    """The last content behind its trace header."""
    octets = spool.contents[-1].octets
    assert octets.startswith(b"Received: from client.example ([192.168.1.30])\r\n by " + FQDN.encode())
    end = octets.index(b"\r\n", octets.index(b";\r\n") + 3) + 2
    return octets[end:]


def test_a_message() -> None:
    relay = Relay()
    client = relay.connect().begin("a@client.example", "user@akkaya.local", "info@akkaya.local")
    client.send(MESSAGE + b".\r\n")
    assert client.said() == f"250 2.6.0 <1@client.example> [InternalId=1, Hostname={FQDN}] Queued mail for delivery\r\n"
    [message] = relay.spool.stored
    assert relay.submitted == [message]
    assert [recipient.address.text for recipient in message.recipients] == ["user@akkaya.local", "info@akkaya.local"]
    assert message.sender.text == "a@client.example"
    assert (message.origin.connector, message.origin.client) == ("Default Frontend", "192.168.1.30")
    assert message.origin.session == client.session.session
    assert body_of(relay.spool) == MESSAGE
    assert relay.spool.contents[0].aborted == 0
    assert relay.events.of(events.Receive)[0].message is message
    client.transport.close()
    assert relay.events.of(events.Disconnected)[0].messages == 1


def test_nothing_is_said_before_it_is_stored() -> None:
    relay = Relay()
    relay.spool.held = []
    client = relay.connect().begin()
    client.send(MESSAGE + b".\r\nMAIL FROM:<b@client.example>\r\n")
    assert client.said() == ""
    assert relay.submitted == []
    relay.spool.held[0].callback(None)
    assert client.codes() == [250, 250]
    assert len(relay.submitted) == 1


def test_the_client_leaves_while_its_message_is_stored() -> None:
    """It stays accepted, and that the client does not know is told."""
    relay = Relay()
    relay.spool.held = []
    client = relay.connect().begin()
    client.send(MESSAGE + b".\r\n")
    client.transport.close()
    assert relay.spool.contents[0].aborted == 0
    relay.spool.held[0].callback(None)
    assert relay.submitted == relay.spool.stored
    assert [event.message for event in relay.events.of(events.ReceiveUncertain)] == relay.spool.stored


@pytest.mark.parametrize("refusal", [replies.SYSTEM_RESOURCES, replies.LOCAL_ERROR])
def test_the_disk_refuses(refusal: replies.Reply) -> None:
    relay = Relay()
    relay.spool.error = SpoolError("no space left on device", refusal)
    client = relay.connect().begin()
    client.send(MESSAGE + b".\r\n")
    assert client.said() == refusal.wire.decode()
    assert relay.submitted == []
    assert relay.events.of(events.CommandRefused)[0].reason == "no space left on device"
    relay.spool.error = None
    client.begin().send(MESSAGE + b".\r\n")
    assert client.codes() == [250]


def test_any_other_failure_of_the_spool_is_451() -> None:
    relay = Relay()
    relay.spool.error = ValueError("a defect")
    client = relay.connect().begin()
    with capturedLogs() as logs:
        client.send(MESSAGE + b".\r\n")
    assert client.codes() == [451]
    assert any("storing a message failed" in entry["log_format"] for entry in logs)


def test_a_failure_for_a_client_that_left() -> None:
    relay = Relay()
    relay.spool.held = []
    client = relay.connect().begin()
    client.send(MESSAGE + b".\r\n")
    client.transport.close()
    relay.spool.held[0].errback(Failure(SpoolError("full", replies.SYSTEM_RESOURCES)))
    assert relay.submitted == []
    assert not relay.events.of(events.ReceiveUncertain)


def test_half_a_message_is_thrown_away() -> None:
    relay = Relay()
    client = relay.connect().begin()
    client.send(b"Subject: half\r\n")
    client.transport.close()
    assert relay.spool.contents[0].aborted == 1
    assert relay.spool.stored == []


@pytest.mark.parametrize(("content", "code"), [(b"a\nb\r\n.\r\n", 550), (b"a\0b\r\n.\r\n", 550), (b"x" * 70_000 + b"\r\n.\r\n", 552)])
def test_a_faulty_message_is_thrown_away(content: bytes, code: int) -> None:
    relay = Relay({"Default Frontend": {"max_message_size": "64KB"}})
    client = relay.connect().begin()
    client.send(content)
    assert client.codes() == [code]
    assert relay.spool.contents[0].aborted == 1
    assert relay.spool.stored == []
    client.begin().send(MESSAGE + b".\r\n")
    assert client.codes() == [250]


@pytest.mark.parametrize("reset", [b"RSET\r\n", b"EHLO client.example\r\n"])
def test_a_transaction_is_forgotten(reset: bytes) -> None:
    relay = Relay()
    client = relay.connect()
    client.send(b"EHLO client.example\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<user@akkaya.local>\r\n" + reset + b"DATA\r\n")
    assert client.codes()[-1] == 503
    assert relay.spool.contents == []


def test_recipients_do_not_outlive_their_message() -> None:
    relay = Relay()
    client = relay.connect()
    for recipient in ("user@akkaya.local", "info@akkaya.local"):
        client.begin("a@client.example", recipient).send(MESSAGE + b".\r\n")
        assert client.codes() == [250]
    assert [[recipient.address.text for recipient in message.recipients] for message in relay.spool.stored] == [
        ["user@akkaya.local"],
        ["info@akkaya.local"],
    ]


@pytest.mark.parametrize(("hops", "code"), [(60, 250), (61, 554)])
def test_a_message_that_goes_in_circles(hops: int, code: int) -> None:
    relay = Relay()
    client = relay.connect().begin()
    client.send(b"Received: from a by b;\r\n now\r\n" * hops + MESSAGE + b".\r\n")
    said = client.said()
    assert said.startswith(str(code))
    if code == 554:
        assert said == "554 5.4.6 Hop count exceeded - possible mail loop (max_hop_count)\r\n"
        assert relay.spool.contents[0].aborted == 1


@pytest.mark.parametrize(
    ("content", "stored"),
    [
        (b"just text\r\n", b"\r\njust text\r\n"),
        (b"", b"\r\n"),
        (b"\r\nbody\r\n", b"\r\nbody\r\n"),
        (b"Subject: x\r\n", b"Subject: x\r\n"),
        (b"..dot\r\n", b"\r\n.dot\r\n"),
    ],
)
def test_what_has_no_header_section_gets_an_empty_line(content: bytes, stored: bytes) -> None:
    relay = Relay()
    relay.connect().begin().send(content + b".\r\n")
    assert body_of(relay.spool) == stored
    assert relay.spool.stored[0].message_id.endswith(f"@{FQDN}>")


def test_a_message_in_single_octets() -> None:
    relay = Relay()
    client = relay.connect().begin()
    for octet in MESSAGE + b".\r\n":
        client.send(bytes([octet]))
    assert client.codes() == [250]
    assert body_of(relay.spool) == MESSAGE


def test_small_packets_become_chunks() -> None:
    """A message in tiny packets takes the memory of its octets, not of as many objects."""
    relay = Relay()
    client = relay.connect().begin()
    content = b"Subject: x\r\n\r\n" + (b"x" * 98 + b"\r\n") * 4000
    for at in range(0, len(content), 10):
        client.send(content[at : at + 10])
    client.send(b".\r\n")
    assert body_of(relay.spool) == content
    assert len(relay.spool.contents[0].chunks) < 2 + len(content) // 4096


def test_a_large_message_is_not_held_back() -> None:
    relay = Relay()
    client = relay.connect().begin()
    client.send(b"Subject: x\r\n\r\n")
    line = b"x" * 998 + b"\r\n"
    for _ in range(HEADER_LOOKAHEAD // len(line) + 2):
        client.send(line)
    assert relay.spool.contents[0].size >= HEADER_LOOKAHEAD
    client.send(b".\r\n")
    assert relay.spool.stored[0].content.size == relay.spool.contents[0].size


def test_for_is_shown_to_a_lone_recipient_only() -> None:
    relay = Relay()
    relay.connect().begin().send(MESSAGE + b".\r\n")
    assert b" for <user@akkaya.local>;" in relay.spool.contents[-1].octets
    many = [f"user{number}@akkaya.local" for number in range(38)]
    relay.connect().begin("a@client.example", *many).send(MESSAGE + b".\r\n")
    assert len(relay.spool.stored[-1].recipients) == 38
    assert b"akkaya.local>" not in relay.spool.contents[-1].octets
    assert b" for " not in relay.spool.contents[-1].octets


def test_postmaster_without_a_domain() -> None:
    relay = Relay()
    relay.connect().begin("", "postmaster").send(MESSAGE + b".\r\n")
    assert relay.spool.stored[0].recipients[0].address.text.lower().startswith("postmaster@")


def test_a_very_long_message_id_is_not_said() -> None:
    relay = Relay()
    client = relay.connect().begin()
    client.send(b"Message-ID: <" + b"x" * 600 + b"@y>\r\n\r\n.\r\n")
    assert client.said().startswith(f"250 2.6.0 <1@{FQDN}> [InternalId=1, ")
