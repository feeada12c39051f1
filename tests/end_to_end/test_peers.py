"""Next hops of every kind and temper: old ones, moody ones, LMTP; each recipient's fate is the one its reply says."""

from __future__ import annotations

import email
import re
from collections import Counter
from pathlib import Path

from tests.end_to_end.relay import TEST, Relay, article
from tests.end_to_end.sink import HANG_UP, Sink
from tests.network import eventually


def test_servers_of_every_age() -> None:
    """EHLO without extensions, and HELO only: plain SMTP, no parameter that was not offered; content is encoded for them."""
    content = "Subject: Grüße\r\n\r\nGrüße\r\n".encode()
    with Sink() as modern, Sink() as plain, Sink() as old:
        plain.features = []
        old.on("ehlo", "502 5.5.2 what?")
        configuration, ports = article(modern.hop)
        configuration["accepted_domains"] |= {"plain.test": {"next_hop": plain.hop}, "old.test": {"next_hop": old.hop}}
        with Relay(configuration, ports) as relay:
            recipients = [f"{name}@{domain}" for domain in ("akkaya.local", "plain.test", "old.test") for name in ("a", "b")]
            relay.submit(recipients, content, options="BODY=8BITMIME")
            for sink in (modern, plain, old):
                [message] = eventually(lambda sink=sink: sink.delivered, "it arrives")  # type: ignore[misc]
                assert len(message.recipients) == 2
                assert email.message_from_bytes(message.content).get_payload(decode=True) == "Grüße\r\n".encode()
            eventually(relay.is_empty, "nothing waits any more")
    assert modern.delivered[0].content.endswith(content)
    assert "BODY=8BITMIME" in modern.delivered[0].mail_parameters
    assert "SIZE=" in modern.delivered[0].mail_parameters
    assert (plain.delivered[0].mail_parameters, old.delivered[0].mail_parameters) == ("", "")
    assert [command.split()[0] for command in old.commands[:3]] == ["EHLO", "HELO", "MAIL"]


def test_a_server_that_takes_three_messages_a_connection() -> None:
    """421 to the fourth MAIL: the rest goes over new connections, all of it once and at once."""
    with Sink() as sink:
        begun: Counter[int] = Counter()

        def fourth(sender: str) -> str | None:
            begun[sink.connections] += 1
            return "421 4.7.0 enough for now" if begun[sink.connections] > 3 else None

        sink.on("mail", fourth)
        configuration, ports = article(sink.hop)
        configuration["transport"]["max_per_domain_outbound_connections"] = 1
        with Relay(configuration, ports) as relay:
            for number in range(10):
                relay.submit([f"user{number}@akkaya.local"])
            eventually(lambda: len(sink.delivered) >= 10, "all arrive")
            eventually(relay.is_empty, "nothing waits any more")
        assert sorted(message.recipients[0] for message in sink.delivered) == [f"user{number}@akkaya.local" for number in range(10)]
        assert sink.connections >= 4


def test_each_recipient_has_a_fate_of_its_own() -> None:
    """250, 450 and 550 to the recipients of one message: delivered, tried again, returned."""
    with Sink() as sink:
        again = iter(["450 4.2.0 greylisted"])

        def refuse(address: str) -> str | None:
            if address.startswith("no@"):
                return "550 5.1.1 no such user"
            return next(again, None) if address.startswith("later@") else None

        sink.on("rcpt", refuse)
        configuration, ports = article(sink.hop)
        with Relay(configuration, ports) as relay:
            relay.submit(["yes@akkaya.local", "later@akkaya.local", "no@akkaya.local"], sender="boss@akkaya.local")
            eventually(lambda: len(sink.delivered) == 3, "the message, the late one, and the report")
            eventually(relay.is_empty, "nothing waits any more")
        assert {message.recipients for message in sink.delivered} == {
            ("yes@akkaya.local",),
            ("later@akkaya.local",),
            ("boss@akkaya.local",),
        }
        [report] = sink.for_recipient("boss@akkaya.local")
        assert b"Final-Recipient: rfc822; no@akkaya.local" in report.content
        assert b"yes@akkaya.local" not in report.content.partition(b"message/rfc822")[0]


def test_a_reply_lost_after_the_dot() -> None:
    """Nobody knows whether it was taken: tried again, and the doubt is said in the log and counted."""
    with Sink() as sink:
        replies = iter([HANG_UP])
        sink.on("end", lambda content: next(replies, None))
        configuration, ports = article(sink.hop)
        with Relay(configuration, ports) as relay:
            relay.submit(["user@akkaya.local"])
            eventually(lambda: sink.delivered, "it arrives")
            eventually(relay.is_empty, "nothing waits any more")
            eventually(lambda: re.search(r" DEFER \d+ to=<user@akkaya\.local> .* uncertain ", relay.output()), "the log tells of it")
            assert "it may be delivered twice" in relay.output()
            assert relay.status()["totals"]["send_uncertain"] == 1
            shown = relay.relayctl("status").stdout
            assert re.search(r"(?m)^UncertainDeliveries\s*: 1$", shown)
            assert re.search(r"(?m)^UncertainAtStart\s*: 0$", shown)


def test_lmtp_answers_for_each_recipient(tmp_path: Path) -> None:
    """Over TCP and over a UNIX socket: one reply for each recipient behind the content, each acted upon by itself."""
    with Sink(lmtp=True) as network, Sink(lmtp=True, path=str(tmp_path / "lmtp")) as local, Sink() as outside:
        configuration, ports = article(network.hop, outside.hop)
        configuration["accepted_domains"]["local.test"] = {"next_hop": local.hop}
        for sink in (network, local):
            full = iter(["452 4.2.2 mailbox full"])

            def answer(address: str, full: object = full) -> str | None:
                if address.startswith("no@"):
                    return "550 5.1.1 no such mailbox"
                return next(full, None) if address.startswith("full@") else None  # type: ignore[call-overload]

            sink.on("lmtp", answer)
        names = ("yes", "full", "no")
        with Relay(configuration, ports) as relay:
            for domain in ("akkaya.local", "local.test"):
                relay.submit([f"{name}@{domain}" for name in names], sender="boss@example.test")
            for sink, domain in ((network, "akkaya.local"), (local, "local.test")):
                eventually(lambda sink=sink: len(sink.delivered) == 2, "now and later")  # type: ignore[misc]
                assert [message.recipients for message in sink.delivered] == [(f"yes@{domain}",), (f"full@{domain}",)]
                assert all(message.content.endswith(TEST) for message in sink.delivered)
                assert sink.commands[0].startswith("LHLO ")
            eventually(lambda: len(outside.delivered) == 2, "a report about each")
            eventually(relay.is_empty, "nothing waits any more")
            assert relay.status()["totals"]["recipients_failed"] == 2
        reported = {name for report in outside.delivered for name in re.findall(rb"(?m)^Final-Recipient: rfc822; (\S+)", report.content)}
        assert reported == {b"no@akkaya.local", b"no@local.test"}
