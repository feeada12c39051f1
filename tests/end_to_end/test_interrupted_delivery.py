"""Delivery that is interrupted: by a shutdown, by a kill, by a next hop that is away for a while."""

from __future__ import annotations

import datetime
import itertools
import threading
import time
from collections.abc import Iterator

import pytest

from tests.end_to_end.relay import Relay, article
from tests.end_to_end.sink import Sink, Stage
from tests.network import PATIENCE, answers, eventually


class Gate:
    """A stage of a sink that waits until it is opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self, argument: str) -> None:
        self.reached.set()
        self.opened.wait(PATIENCE)


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A gate that lets everybody go in the end."""
    made = Gate()
    yield made
    made.opened.set()


def slow(sink: Sink, shutdown_timeout: str) -> Relay:
    """A relay in front of a slow next hop."""
    configuration, ports = article(sink.hop)
    configuration["transport"]["shutdown_timeout"] = shutdown_timeout
    return Relay(configuration, ports)


def test_a_shutdown_waits_for_a_slow_delivery(gate: Gate) -> None:
    """SIGTERM behind the final dot: the reply is awaited, and nothing is sent twice."""
    with Sink() as sink:
        sink.on("end", gate)
        with slow(sink, "1m") as relay:
            relay.submit(["user@akkaya.local"])
            assert gate.reached.wait(PATIENCE)
            threading.Timer(0.7, gate.opened.set).start()
            assert relay.stop() == 0
            relay.start()
            assert relay.is_empty()
            assert "uncertain" not in relay.output()
        assert len(sink.delivered) == 1


def test_a_shutdown_while_it_starts() -> None:
    """SIGTERM as soon as the first port answers: the start is finished and ended in good order."""
    with Sink() as sink:
        configuration, ports = article(sink.hop)
        relay = Relay(configuration, ports)
        try:
            for _ in range(3):
                relay.launch()
                eventually(lambda: answers(relay.port), "it listens")
                assert relay.stop() == 0
            assert "did not end in good order" not in relay.output()
        finally:
            relay.close()


@pytest.mark.parametrize("stage", ["rcpt", "end"])
def test_a_shutdown_does_not_wait_for_ever(gate: Gate, stage: Stage) -> None:
    """A next hop that says nothing: after C{shutdown_timeout} the message stays in the spool, and goes out after the next start.

    Before the final dot nothing happened; behind it nobody knows, which is said.
    """
    with Sink() as sink:
        sink.on(stage, gate)
        with slow(sink, "1s") as relay:
            relay.submit(["user@akkaya.local"])
            assert gate.reached.wait(PATIENCE)
            begun = time.monotonic()
            assert relay.stop() == 0
            assert time.monotonic() - begun > 0.9
            sink.on(stage, None)
            assert ("it may be delivered twice" in relay.output()) == (stage == "end")
            relay.start()
            eventually(lambda: sink.delivered, "it arrives")
            eventually(relay.is_empty, "nothing waits any more")
            assert "did not end in good order" not in relay.output()


def test_a_kill_in_the_middle_of_a_delivery(gate: Gate) -> None:
    """kill -9 behind the final dot: the next start says that there is doubt, and sends again."""
    with Sink() as sink:
        sink.on("end", gate)
        with slow(sink, "10s") as relay:
            relay.submit(["user@akkaya.local"])
            assert gate.reached.wait(PATIENCE)
            relay.kill()
            sink.on("end", None)
            relay.start()
            eventually(lambda: sink.delivered, "it arrives")
            eventually(relay.is_empty, "nothing waits any more")
            assert "uncertain: the last run did not end in good order; those of 1 due messages" in relay.output()
            assert relay.status()["uncertain_at_start"] == 1


def test_a_message_that_is_removed_while_it_is_sent_is_gone_after_a_kill(gate: Gate) -> None:
    """The administrator was told that it is removed: it is not sent again."""
    with Sink() as sink:
        sink.on("rcpt", gate)
        with slow(sink, "10s") as relay:
            relay.submit(["user@akkaya.local"])
            assert gate.reached.wait(PATIENCE)
            [row] = relay.listed("message", "list")
            done = relay.relayctl("message", "remove", str(row["identity"]), "--without-ndr")
            assert done.returncode == 0, done.stderr
            assert relay.listed("message", "list")[0]["status"] == "PendingRemove"
            relay.kill()
            sink.on("rcpt", None)
            relay.start()
            eventually(relay.is_empty, "it is gone")
            relay.submit(["other@akkaya.local"])
            eventually(lambda: sink.delivered, "another one arrives")
            assert [mail.recipients for mail in sink.delivered] == [("other@akkaya.local",)]


def test_the_first_retries_are_exchanges() -> None:
    """By default a next hop that is down is tried again after a minute (QueueGlitchRetryInterval), and the queue says when and why."""
    with Sink() as sink:
        sink.stop()
        configuration, ports = article(sink.hop)
        del configuration["transport"]
        with Relay(configuration, ports) as relay:
            begun = datetime.datetime.now(datetime.UTC)
            relay.submit(["user@akkaya.local"])
            [row] = eventually(lambda: relay.queues(status="Retry"), "the queue waits")
            wait = (datetime.datetime.fromisoformat(row["next_retry_time"]) - begun).total_seconds()
            assert 53 <= wait < 66 + PATIENCE  # a tenth more or less, so that queues do not come together
            assert (row["message_count"], row["retry_count"]) == (1, 1)
            assert row["last_error"].startswith("451 4.4.1")
            shown = relay.relayctl("queue", "list").stdout
            assert "Retry" in shown
            assert "451 4.4.1" in shown
            assert relay.status()["queue_count"] == 1


def test_a_next_hop_is_probed_at_its_time() -> None:
    """Not before its interval, and not at that of the next stage; mail that comes meanwhile waits with the rest and goes with it."""
    with Sink() as sink:
        tried: list[float] = []

        def busy(_: str) -> str:
            tried.append(time.monotonic())
            return "421 4.3.2 come back later"

        sink.on("connect", busy)
        configuration, ports = article(sink.hop)
        configuration["transport"] |= {"queue_glitch_retry_interval": "3s", "transient_failure_retry_interval": "1h"}
        with Relay(configuration, ports) as relay:
            relay.submit(["user0@akkaya.local"])
            eventually(lambda: [row["status"] for row in relay.queues()] == ["Retry"], "the first attempt has failed")
            for number in (1, 2):
                relay.submit([f"user{number}@akkaya.local"])
            eventually(lambda: len(tried) == 3, "three attempts")
            sink.on("connect", None)
            eventually(lambda: len(sink.delivered) == 3, "all arrive")
        gaps = [after - before for before, after in itertools.pairwise(tried)]
        assert all(1.5 < gap < PATIENCE for gap in gaps), gaps  # the other intervals have a second
