"""Queues under an administrator's hands, and next hops that ask for less."""

from __future__ import annotations

from tests.end_to_end.site import Site
from tests.network import eventually


def test_a_suspended_queue_takes_mail_survives_a_restart_and_goes_on(site: Site) -> None:
    relay = site.relay
    relay.submit(["first@akkaya.local"])
    eventually(lambda: site.mailbox.delivered, "the first one arrives")
    [row] = eventually(relay.queues, "there is a queue")
    identity = row["identity"]
    done = relay.relayctl("queue", "suspend", identity, "--reason", "their move", "--for", "1d")
    assert done.returncode == 0, done.stderr
    relay.submit(["second@akkaya.local"])
    [row] = eventually(lambda: relay.queues(message_count=1), "it takes mail")
    assert (row["status"], row["suspend_reason"]) == ("Suspended", "their move")
    relay.stop()
    relay.start()
    [row] = eventually(lambda: relay.queues(message_count=1), "it is there after the restart")
    assert (row["status"], row["suspend_reason"]) == ("Suspended", "their move")
    assert row["suspended_until"]
    assert len(site.mailbox.delivered) == 1
    assert relay.relayctl("queue", "resume", identity).returncode == 0
    eventually(lambda: len(site.mailbox.delivered) == 2, "the second one arrives")
    assert relay.relayctl("queue", "resume", identity).returncode == 1


def test_a_suspended_message_waits_over_a_restart(site: Site) -> None:
    relay = site.relay
    site.mailbox.stop()
    relay.submit(["user@akkaya.local"])
    eventually(lambda: relay.queues(status="Retry"), "it waits")
    [message] = relay.control.messages()
    assert relay.relayctl("message", "suspend", message["identity"]).returncode == 0
    relay.stop()
    site.mailbox.start()
    relay.start()
    [message] = relay.control.messages()
    assert message["status"] == "Suspended"
    relay.submit(["other@akkaya.local"])
    eventually(lambda: site.mailbox.delivered, "another one passes")
    assert [got.recipients for got in site.mailbox.delivered] == [("other@akkaya.local",)]
    assert relay.relayctl("message", "resume", str(message["id"])).returncode == 0
    eventually(lambda: len(site.mailbox.delivered) == 2, "it arrives")
    eventually(relay.is_empty, "nothing waits any more")


def test_a_next_hop_that_asks_for_less_gets_it_and_no_message_is_deferred(site: Site) -> None:
    relay, refused = site.relay, 0

    def mail(argument: str) -> str | None:
        nonlocal refused
        if refused < 2:
            refused += 1
            return "432 4.3.2 Concurrent connections limit exceeded"
        return None

    site.mailbox.on("mail", mail)
    relay.submit([f"user{number}@akkaya.local" for number in range(3)])
    [row] = eventually(lambda: relay.queues(status="Retry"), "the lane pauses")
    assert row["last_error"].startswith("432 4.3.2")
    assert all(each["attempts"] == 0 for each in relay.control.message(1)["recipient_info"])
    eventually(lambda: site.mailbox.delivered, "it arrives")
    eventually(relay.is_empty, "nothing waits any more")
    assert len(site.mailbox.delivered) == 1


def test_a_next_hop_that_drops_each_session_gets_few_connections(site: Site) -> None:
    relay, connections = site.relay, 0

    def connect(argument: str) -> str | None:
        nonlocal connections
        connections += 1
        return None

    site.mailbox.on("connect", connect)
    site.mailbox.on("mail", lambda argument: "421 4.4.2 going down")
    for number in range(30):
        relay.submit([f"user{number}@akkaya.local"])
    eventually(lambda: relay.queues(status="Retry"), "the lane backs off")
    assert connections < 15
    site.mailbox.on("mail", lambda argument: None)
    eventually(relay.is_empty, "nothing waits any more")
    assert len(site.mailbox.delivered) == 30
