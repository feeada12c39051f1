"""The next hop is away, slow, or says no: what waits, what is tried again, what is given up."""

from __future__ import annotations

import socket
from typing import Any

from tests.end_to_end.relay import Relay, article
from tests.end_to_end.sink import HANG_UP, Sink
from tests.end_to_end.site import Site
from tests.network import LOOPBACK, eventually, free_port

CONTENT = b"Subject: Test email\r\n\r\nTesting\r\n"


def send(relay: Relay, *recipients: str, source: str = LOOPBACK) -> None:
    """Put a message in."""
    with relay.dialogue(source=source) as session:
        session.command("EHLO client")
        said = session.message("a@akkaya.local", list(recipients), CONTENT)
        assert said.startswith("250"), said


def queue(relay: Relay, **wanted: Any) -> list[dict[str, Any]]:
    """The queues that have these properties."""
    return [row for row in relay.listed("queue", "list") if all(row.get(key) == value for key, value in wanted.items())]


def test_down_then_up(site: Site) -> None:
    """The queue shows Retry with the reason; when the next hop is back, the message arrives, once."""
    site.mailbox.stop()
    send(site.relay, "user@akkaya.local")
    [row] = eventually(lambda: queue(site.relay, status="Retry", message_count=1), "the queue waits")
    assert "refused" in row["last_error"].lower()
    assert row["next_retry_time"]
    site.mailbox.start()
    eventually(lambda: site.mailbox.delivered, "it arrives")
    eventually(site.relay.is_empty, "nothing waits any more")
    assert len(site.mailbox.delivered) == 1


def test_a_transient_refusal_is_tried_again(site: Site) -> None:
    """451 to one of two recipients: the other is delivered now, this one later, neither twice."""
    refusals = iter(["451 4.2.1 busy"] * 2)
    site.mailbox.on("rcpt", lambda address: next(refusals, None) if address.startswith("late@") else None)
    send(site.relay, "now@akkaya.local", "late@akkaya.local")
    eventually(lambda: len(site.mailbox.delivered) == 2, "both arrive")
    assert [message.recipients for message in site.mailbox.delivered] == [("now@akkaya.local",), ("late@akkaya.local",)]


def test_a_connection_that_breaks_in_the_middle(site: Site) -> None:
    """Hung up at each stage once: the message arrives in the end; only a lost reply to the dot may send it twice."""
    stages = iter(["connect", "ehlo", "mail", "rcpt", "data", "end"])
    hung_up = []

    def sometimes(stage: str) -> Any:
        def handler(argument: str) -> str | None:
            if stage in hung_up:
                return None
            hung_up.append(stage)
            return HANG_UP

        return handler

    for stage in stages:
        site.mailbox.on(stage, sometimes(stage))  # type: ignore[arg-type]
    send(site.relay, "user@akkaya.local")
    eventually(lambda: site.mailbox.delivered, "it arrives")
    eventually(site.relay.is_empty, "nothing waits any more")
    assert sorted(hung_up) == sorted(["connect", "ehlo", "mail", "rcpt", "data", "end"])
    assert all(message.content == site.mailbox.delivered[0].content for message in site.mailbox.delivered)


def test_mail_with_no_way_out_waits_and_says_why() -> None:
    """No send connector: the message waits, and the queue shows why."""
    with Sink() as sink:
        configuration, ports = article(sink.hop)
        with Relay(configuration, ports) as relay:
            send(relay, "cengiz@gmail.com", source="127.0.0.2")
            [row] = eventually(lambda: queue(relay, delivery_type="Unreachable"), "it is shown")
            assert row["message_count"] == 1
            assert "connector cannot be found" in row["last_error"].lower()
            assert not relay.is_empty()


def test_one_dead_destination_delays_no_other(site: Site) -> None:
    """Ten messages for a next hop that accepts and says nothing; another's mail goes through at once."""
    with socket.socket() as silent:
        silent.bind((LOOPBACK, free_port()))
        silent.listen(128)
        configuration = site.relay.configuration
        configuration["accepted_domains"]["silent.example"] = {"next_hop": f"{LOOPBACK}:{silent.getsockname()[1]}"}
        site.relay.write()
        assert site.relay.stop() == 0
        site.relay.start()
        for number in range(10):
            send(site.relay, f"user{number}@silent.example")
        send(site.relay, "user@akkaya.local")
        eventually(lambda: site.mailbox.delivered, "the other's mail arrives", 20)


def test_what_expires_is_returned() -> None:
    """After message_expiration_timeout the sender gets a report with the last reply."""
    with Sink() as mailbox, Sink() as outside:
        configuration, ports = article(mailbox.hop, outside.hop)
        configuration["transport"] |= {"message_expiration_timeout": "5s", "delay_notification_timeout": "1h"}
        mailbox.on("rcpt", "451 4.2.1 busy")
        with Relay(configuration, ports) as relay:
            with relay.dialogue() as session:
                session.command("EHLO client")
                said = session.message("cengiz@cozumpark.com", ["user@akkaya.local"], CONTENT)
                assert said.startswith("250"), said
            eventually(lambda: outside.delivered, "the report arrives")
            [report] = outside.delivered
            assert (report.sender, report.recipients) == ("", ("cengiz@cozumpark.com",))
            assert b"4.4.7" in report.content
            assert b"451 4.2.1 busy" in report.content
            eventually(relay.is_empty, "nothing waits any more")


def test_a_delay_is_told() -> None:
    """After delay_notification_timeout the sender is told once, and the message goes on waiting."""
    with Sink() as mailbox, Sink() as outside:
        configuration, ports = article(mailbox.hop, outside.hop)
        configuration["transport"] |= {"message_expiration_timeout": "2d", "delay_notification_timeout": "2s"}
        mailbox.on("rcpt", "451 4.2.1 busy")
        with Relay(configuration, ports) as relay:
            with relay.dialogue() as session:
                session.command("EHLO client")
                said = session.message("cengiz@cozumpark.com", ["user@akkaya.local"], CONTENT)
                assert said.startswith("250"), said
            eventually(lambda: outside.delivered, "the notice arrives")
            assert b"Action: delayed" in outside.delivered[0].content
            mailbox.on("rcpt", None)
            eventually(lambda: mailbox.delivered, "the message arrives")
            assert len(outside.delivered) == 1


def test_recipients_share_a_transaction(site: Site) -> None:
    """A hundred recipients of one message behind one next hop: not a hundred messages."""
    send(site.relay, *(f"user{number}@akkaya.local" for number in range(100)))
    eventually(lambda: sum(len(message.recipients) for message in site.mailbox.delivered) == 100, "all arrive")
    assert len(site.mailbox.delivered) <= 2
