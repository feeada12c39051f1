"""The verbs of queues and messages against the real daemon: filters, what is in flight, redirect, resubmit, export and bulk changes."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

from tests.end_to_end.sink import Sink
from tests.end_to_end.site import Site
from tests.network import LOOPBACK, PATIENCE, eventually


def test_what_is_being_sent_is_shown_and_its_suspension_and_removal_pend(site: Site) -> None:
    relay, held = site.relay, threading.Event()

    def end(argument: str) -> str | None:
        held.wait(4 * PATIENCE)
        return "451 4.3.0 not now"

    site.mailbox.on("end", end)
    try:
        relay.submit(["slow@akkaya.local"])
        [message] = eventually(lambda: relay.listed("message", "list", "--filter", "Status -eq 'Active'"), "it is being sent")
        [queue] = relay.queues(status="Active")
        assert message["identity"] == f"{queue['identity']}\\{message['id']}"
        assert message["remote"].endswith(f":{site.mailbox.port}") and message["active_since"]
        shown = relay.control.get(f"/v1/queues/{queue['identity']}")
        assert [(lane["active"], lane["connections"]) for lane in shown["lanes"]] == [(1, 1)]
        assert relay.relayctl("message", "suspend", message["identity"]).returncode == 0
        assert relay.control.message(message["id"])["status"] == "PendingSuspend"
    finally:
        held.set()
    eventually(lambda: relay.control.message(message["id"])["status"] == "Suspended", "it is suspended then")
    assert relay.relayctl("message", "remove", "--filter", "Status -eq Suspended", "--yes", "--without-ndr").returncode == 0
    eventually(relay.is_empty, "and removed")


def test_a_dead_queue_is_redirected_over_a_restart_and_back(site: Site) -> None:
    relay, other = site.relay, Sink()
    other.start()
    site.mailbox.stop()
    try:
        for number in range(3):
            relay.submit([f"user{number}@akkaya.local"])
        [queue] = eventually(lambda: relay.queues(status="Retry", message_count=3), "they wait")
        done = relay.relayctl("queue", "redirect", queue["identity"], "--to", f"{LOOPBACK}:{other.port}")
        assert done.returncode == 0, done.stderr
        eventually(lambda: len(other.delivered) == 3, "they arrive at the other server")
        relay.stop()
        relay.start()
        [queue] = eventually(lambda: relay.queues(identity=queue["identity"]), "it is shown")
        assert queue["redirected_to"] == f"[{LOOPBACK}]:{other.port}"
        relay.submit(["later@akkaya.local"])
        eventually(lambda: len(other.delivered) == 4, "what comes later, too")
        site.mailbox.start()
        assert relay.relayctl("queue", "redirect", queue["identity"], "--cancel").returncode == 0
        assert relay.relayctl("queue", "redirect", queue["identity"], "--cancel").returncode == 1
        relay.submit(["home@akkaya.local"])
        eventually(lambda: site.mailbox.delivered, "it goes its own way again")
        assert len(other.delivered) == 4
        eventually(relay.is_empty, "nothing waits any more")
    finally:
        other.stop()


def test_chosen_messages_are_redirected_also_those_that_the_disk_alone_has(site: Site) -> None:
    relay, other = site.relay, Sink()
    other.start()
    site.mailbox.stop()
    try:
        for number in range(4):
            relay.submit([f"user{number}@akkaya.local"])
        eventually(lambda: relay.queues(status="Retry", message_count=4), "they wait")
        assert relay.relayctl("message", "suspend", "--filter", "Recipients -eq 'user3@akkaya.local'", "--yes").returncode == 0
        chosen = "Recipients -like 'user1@*' -or Recipients -eq 'USER3@akkaya.local'"
        what_if = relay.relayctl("message", "redirect", "--filter", chosen, "--to", f"{LOOPBACK}:{other.port}", "--what-if")
        assert "What if: 2 messages would be redirected" in what_if.stdout
        asked = relay.relayctl("message", "redirect", "--filter", chosen, "--to", f"{LOOPBACK}:{other.port}")
        assert asked.returncode == 2 and "--yes" in asked.stderr
        assert relay.relayctl("message", "redirect", "--filter", chosen, "--to", f"{LOOPBACK}:{other.port}", "--yes").returncode == 0
        eventually(lambda: len(other.delivered) == 1, "the one that takes part arrives")
        relay.stop()
        relay.start()
        [waiting] = relay.listed("message", "list", "--filter", "RedirectedTo -ne $null")
        assert waiting["status"] == "Suspended"
        assert relay.relayctl("message", "resume", str(waiting["id"])).returncode == 0
        eventually(lambda: len(other.delivered) == 2, "and the suspended one once it is resumed")
        assert {got.recipients for got in other.delivered} == {("user1@akkaya.local",), ("user3@akkaya.local",)}
        eventually(lambda: len(list(relay.control.messages())) == 2, "the others wait still")
    finally:
        other.stop()


def test_an_export_can_be_given_to_the_replay_directory(site: Site) -> None:
    relay = site.relay
    site.mailbox.stop()
    body = b"Subject: =?utf-8?q?M=C3=BCll?=\r\n\r\n" + os.urandom(300_000).hex().encode().replace(b"00", b"\r\n") + b"\r\n"
    relay.submit(["one@akkaya.local", "two@akkaya.local"], body, sender="a@akkaya.local", options="RET=HDRS ENVID=x+2By")
    eventually(lambda: relay.queues(status="Retry"), "it waits")
    [message] = relay.listed("message", "list", "--filter", "Subject -like 'm\N{LATIN SMALL LETTER U WITH DIAERESIS}*'")
    done = relay.relayctl("message", "export", message["identity"], "--output", "out")
    assert done.returncode == 0, done.stderr
    exported = (relay.directory / "out" / f"{message['id']}.eml").read_bytes()
    head, _, rest = exported.partition(b"Received:")
    assert head.decode().splitlines() == [
        "X-Sender: <a@akkaya.local> RET=HDRS ENVID=x+2By",
        "X-Receiver: <one@akkaya.local>",
        "X-Receiver: <two@akkaya.local>",
    ]
    assert rest.endswith(body)
    assert len(exported) == len(head) + message["size"]
    plain = relay.relayctl("message", "export", str(message["id"]), "--content-only", "--output", "plain")
    assert plain.returncode == 0
    assert (relay.directory / "plain" / f"{message['id']}.eml").read_bytes() == exported[len(head) :]
    assert relay.relayctl("message", "export", "999", "--output", "plain").returncode == 1
    assert sorted(path.name for path in (relay.directory / "plain").iterdir()) == [f"{message['id']}.eml"]
    relay.stop()
    relay.configuration["transport"]["replay_directory_path"] = str(relay.directory / "replay")
    relay.write()
    relay.start()
    assert relay.relayctl("message", "remove", str(message["id"]), "--without-ndr").returncode == 0
    Path(relay.directory / "replay" / "again.eml").write_bytes(exported)
    site.mailbox.start()
    [got] = eventually(lambda: site.mailbox.delivered, "the replayed copy arrives")
    assert set(got.recipients) == {"one@akkaya.local", "two@akkaya.local"}
    assert got.content.endswith(body)


def test_resubmit_lets_waiting_mail_find_its_way_at_once(site: Site) -> None:
    relay = site.relay
    relay.stop()
    for key in ("message_retry_interval", "mailbox_delivery_queue_retry_interval"):
        relay.configuration["transport"][key] = "1h"
    relay.write()
    relay.start()
    site.mailbox.on("rcpt", lambda argument: "451 4.2.1 try later")
    relay.submit(["user@akkaya.local"])
    [queue] = eventually(lambda: relay.queues(deferred_message_count=1), "it waits for an hour")
    site.mailbox.on("rcpt", lambda argument: None)
    assert relay.relayctl("queue", "retry", queue["identity"]).returncode == 0
    time.sleep(0.3)
    assert not site.mailbox.delivered
    done = relay.relayctl("queue", "retry", queue["identity"], "--resubmit")
    assert "look for their ways anew" in done.stdout
    eventually(lambda: site.mailbox.delivered, "it arrives at once")
    assert relay.relayctl("queue", "retry", "Unreachable", "--resubmit").returncode == 0
    refused = relay.relayctl("queue", "retry", "Unreachable")
    assert refused.returncode == 1 and "--resubmit" in refused.stderr


def test_identities_and_filters_say_what_is_wrong(site: Site) -> None:
    relay = site.relay
    site.mailbox.stop()
    for number in range(2):
        relay.submit([f"user{number}@akkaya.local"])
    [queue] = eventually(lambda: relay.queues(message_count=2, status="Retry"), "they wait")
    name = queue["identity"].partition("\\")[2]
    several = relay.relayctl("message", "suspend", f"{name}\\*")
    assert several.returncode == 1 and "--filter" in several.stderr
    elsewhere = relay.relayctl("message", "show", "elsewhere.example\\1")
    assert elsewhere.returncode == 1 and f"in the queue {name}" in elsewhere.stderr
    both = relay.relayctl("message", "suspend", "1", "--filter", "Id -eq 1")
    assert both.returncode == 2
    wrong = relay.relayctl("message", "list", "--filter", "Staus -eq 'Retry'")
    assert wrong.returncode == 1 and "column 1" in wrong.stderr and "Status" in wrong.stderr
    listed = relay.relayctl("message", "list", f"EXCSERVER\\{name}\\*", "--json", "--result-size", "unlimited")
    assert [row["id"] for row in json.loads(listed.stdout)] == [1, 2]
    newest = relay.listed("message", "list", "--newest-first", "--limit", "1")
    assert [row["id"] for row in newest] == [2]
    suspended = relay.relayctl("queue", "suspend", "*akkaya*" if "akkaya" in name else f"{name[:4]}*", "--reason", "test")
    assert suspended.returncode == 0, suspended.stderr
    shown = relay.relayctl("queue", "show", name)
    assert "SuspendedBy" in shown.stdout and "Lane" not in shown.stderr
    assert relay.relayctl("queue", "resume", "--filter", "SuspendReason -eq 'test'", "--yes").returncode == 0
    assert not relay.queues(status="Suspended")
