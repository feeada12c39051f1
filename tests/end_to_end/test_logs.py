"""Sessions, the live trace and the log files of a real relay."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.end_to_end.relay import FQDN, TEST, Relay, article, child_environment
from tests.end_to_end.sink import Sink
from tests.network import PATIENCE, eventually

pytestmark = pytest.mark.end_to_end


@pytest.fixture
def relay() -> Iterator[Relay]:
    """A relay that logs all it can, as JSON."""
    with Sink() as sink:
        configuration, ports = article(f"127.0.0.1:{sink.port}", f"127.0.0.1:{sink.port}")
        configuration["server"]["log_format"] = "json"
        configuration["send_connectors"]["Internet"]["protocol_logging_level"] = "Verbose"
        configuration["receive_connectors"]["IP_Relay"]["protocol_logging_level"] = "Verbose"
        relay = Relay(configuration, ports)
        relay.start()
        yield relay
        relay.close()


def test_one_session_by_all_ways(relay: Relay) -> None:
    words = ["trace", "--from", "127.0.0.2", "--recipient", "u@else.example", "--json", "--count", "40"]
    command = [sys.executable, "-c", "from twistedrelay.relayctl.main import main; main()", "--config", str(relay.file), *words]
    trace = subprocess.Popen(command, stdout=subprocess.PIPE, env=child_environment(), text=True)

    def over() -> bool:
        with relay.dialogue(source="127.0.0.2") as client:
            client.command(f"EHLO {FQDN}")
            assert client.message("a@b.example", ["u@else.example"], TEST).startswith("250 ")
            client.command("QUIT")
        return trace.poll() is not None

    eventually(over, "the trace has seen enough")
    records = [json.loads(line) for line in trace.communicate()[0].splitlines()]
    assert trace.returncode == 0
    assert "< RCPT TO:<u@else.example>" in [record["line"] for record in records]
    number = next(record["session"] for record in records if record["event"] == "connect")  # of those before only the end is seen

    def shown() -> bool:
        record = json.loads(relay.relayctl("session", "show", number, "--json").stdout or "{}")
        events = [event["event_id"] for event in record.get("events", [])]
        return events == ["RECEIVE", "SEND"] and [line["event"] for line in record["lines"][-1:]] == ["-"]

    eventually(shown, "the session is written")

    def written(pattern: str) -> str:
        return "".join(path.read_text() for path in (relay.state / "logs").glob(pattern))

    eventually(lambda: "RCPT TO:<u@else.example>" in written("protocol/SEND*.LOG"), "the send log is written")
    assert "Testing" not in written("protocol/SEND*.LOG")
    eventually(lambda: "connector Internet" in written("connectivity/CONNECTLOG*.LOG"), "the connectivity log is written")
    assert all(json.loads(line)["event"] for line in relay.output().splitlines())


def test_a_session_is_ended_by_command(relay: Relay) -> None:
    with relay.dialogue() as client:
        client.command(f"EHLO {FQDN}")
        (row,) = json.loads(relay.relayctl("session", "list", "--json").stdout)
        assert (row["connector"], row["helo"], row["state"]) == ("Default Frontend", FQDN, "Idle")
        assert relay.relayctl("session", "disconnect", row["session"]).returncode == 0
        assert client.reply().startswith("421 ")


def test_logs_are_switched_on_while_mail_flows_and_a_trace_goes_on(relay: Relay) -> None:
    def levels(level: str) -> None:
        for verb, name in (("connector", "IP_Relay"), ("send-connector", "Internet")):
            done = relay.relayctl(verb, "set", name, "--protocol-logging-level", level)
            assert done.returncode == 0, done.stderr

    levels("None")
    heard: list[dict[str, Any]] = []
    watching = threading.Thread(target=lambda: heard.extend(relay.control.stream("/v1/trace")))
    watching.start()
    relay.submit(["one@else.example"])
    levels("Verbose")
    assert relay.relayctl("reload").returncode == 0
    relay.submit(["two@else.example"])
    received = relay.state / "logs" / "protocol"
    eventually(lambda: "two@else.example" in "".join(file.read_text() for file in received.glob("RECV*.LOG")), "the receive log begins")
    assert not any("one@else.example" in file.read_text() for file in received.glob("RECV*.LOG"))
    eventually(relay.is_empty, "all is delivered")
    assert relay.stop() == 0
    sent = "".join(file.read_text() for file in received.glob("SEND*.LOG"))
    rows = list(csv.reader(line for line in sent.splitlines() if not line.startswith("#")))
    assert (rows[0][3], rows[0][8]) == ("0", "attempting to connect"), "the connection that was open already is not used again"
    assert "RCPT TO:<two@else.example>" in [row[7] for row in rows]
    watching.join(PATIENCE)
    lines = [record["line"] for record in heard if "line" in record]
    assert any("protocol_logging_level: None -> Verbose" in line for line in lines)
    assert "< RCPT TO:<two@else.example>" in lines
    assert heard[-1]["event"] == "end"
