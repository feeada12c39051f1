"""What became of messages, as the running relay tracks it and relayctl finds it, with the daemon and without."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from tests.end_to_end.relay import Relay, article
from tests.end_to_end.sink import Sink
from tests.network import PATIENCE, eventually

pytestmark = pytest.mark.end_to_end


@attrs.frozen
class Site:
    """A relay with a mailbox server and a way to test systems, where everything goes to one address."""

    relay: Relay
    mailbox: Sink
    outside: Sink


@pytest.fixture
def site() -> Iterator[Site]:
    with Sink() as mailbox, Sink() as outside:
        configuration, ports = article(mailbox.hop)
        qa = {"address_spaces": ["*"], "smart_hosts": [outside.hop], "redirect_all_to": "test@qa.example"}
        configuration["send_connectors"] = {"Test systems": qa}
        with Relay(configuration, ports) as relay:
            yield Site(relay, mailbox, outside)


def message(number: str, subject: str = "Test email") -> bytes:
    return f"Message-ID: <{number}@printer.example>\r\nSubject: {subject}\r\n\r\nTesting\r\n".encode()


def events(relay: Relay, *filters: str) -> list[str]:
    """The names of the events that are found, oldest first."""
    return [row["event_id"] for row in relay.listed("track", "--oldest-first", *filters)]


def test_the_lives_of_messages(site: Site) -> None:
    relay, mailbox = site.relay, site.mailbox
    relay.submit(["u@akkaya.local"], message("/sent", "=?utf-8?B?w4dhecSx?= saati"))
    eventually(lambda: len(mailbox.delivered) == 1, "the mail arrives")
    assert [row["event_id"] for row in relay.listed("track", "/sent@printer.example")] == ["RECEIVE", "SEND"]
    relay.submit(["somebody@customer.example", "other@customer.example"], message("redirected"))
    eventually(lambda: site.outside.delivered, "the mail goes to the test address")

    mailbox.on("rcpt", "451 4.2.1 mailbox busy")
    relay.submit(["busy@akkaya.local"], message("deferred"))
    eventually(lambda: events(relay, "--message-id", "deferred@printer.example", "--event", "defer"), "an attempt ends")
    [queued] = relay.control.messages()
    assert relay.relayctl("message", "remove", str(queued["id"]), "--without-ndr").returncode == 0

    mailbox.on("rcpt", lambda address: "550 5.1.1 User unknown" if address.startswith("unknown@") else None)
    relay.submit(["unknown@akkaya.local"], message("failed"))
    eventually(lambda: len(mailbox.delivered) == 2, "the report arrives")
    eventually(relay.is_empty, "all is done")

    [received, sent] = relay.listed("track", "--oldest-first", "--subject", "çayı saati")
    assert (received["event_id"], received["client_ip"], received["connector_id"]) == ("RECEIVE", "127.0.0.2", "EXCSERVER\\IP_Relay")
    assert (received["server_ip"], received["client_hostname"], received["sender"]) == ("127.0.0.1", "client", "a@akkaya.local")
    assert (sent["event_id"], sent["recipients"], sent["recipient_status"]) == ("SEND", ["u@akkaya.local"], ["250 2.0.0 taken"])
    assert sent["server_ip"] == "127.0.0.1"
    assert 0 <= sent["message_latency"] < PATIENCE

    redirected = relay.listed("track", "--oldest-first", "--message-id", "<redirected@printer.example>")
    assert [row["event_id"] for row in redirected] == ["RECEIVE", "REDIRECT", "SEND"]
    assert redirected[0]["recipient_count"] == 2
    assert redirected[1]["recipients"] == ["test@qa.example"] * 2
    assert redirected[2]["recipients"] == ["somebody@customer.example", "other@customer.example"]
    assert redirected[2]["connector_id"] == "Test systems"
    assert events(relay, "--recipient", "test@qa.example") == ["REDIRECT", "SEND"]
    assert events(relay, "--connector", "Test systems") == ["REDIRECT", "SEND"]

    found = events(relay, "--recipient", "busy@akkaya.local")
    assert found[:2] == ["RECEIVE", "DEFER"]
    assert found[-1] == "FAIL"
    [removed] = relay.listed("track", "--recipient", "busy@akkaya.local", "--event", "FAIL")
    assert removed["source"] == "ADMIN"

    assert events(relay, "--message-id", "failed@printer.example") == ["RECEIVE", "FAIL"]
    [failed] = relay.listed("track", "--reply", "user UNKNOWN")
    [report] = relay.listed("track", "--event", "DSN")
    assert (report["related_message"], report["reference"]) == (failed["internal_message_id"], "<failed@printer.example>")
    assert events(relay, "--client", "127.0.0.0/29", "--sender", "@akkaya.local", "--event", "RECEIVE") == ["RECEIVE"] * 4
    assert events(relay, "--client", "10.0.0.0/8") == []
    assert events(relay, "--start", "1h", "--end", "30m") == []

    told = relay.relayctl("track", "failed@printer.example")
    assert told.returncode == 0, told.stderr
    for part in ("from a@akkaya.local", "by IP_Relay client [127.0.0.2]", ": 550 5.1.1 User unknown", "non-delivery report: message "):
        assert part in told.stdout, told.stdout
    assert f"about message {failed['internal_message_id']}" in told.stdout

    before = relay.listed("track", "--oldest-first")
    assert relay.stop() == 0
    assert relay.listed("track", "--oldest-first") == before, "the files tell the same without a daemon"
    unknown = relay.relayctl("track", "nobody@nowhere.example")
    assert (unknown.returncode, "Nothing is known" in unknown.stderr) == (1, True)
    check_export(relay, before)


def check_export(relay: Relay, known: list[dict[str, object]]) -> None:
    """Scripts that read Exchange's logs read ours."""
    logs = relay.directory / "logs"
    logs.mkdir()
    done = relay.relayctl("track", "--export", str(logs))
    assert done.returncode == 0, done.stderr
    lines = [line for path in sorted(logs.iterdir()) for line in path.read_text(encoding="utf-8").splitlines()]
    assert lines[0].startswith("#Software: ")
    fields = next(line for line in lines if line.startswith("#Fields: ")).removeprefix("#Fields: ").split(",")
    assert (fields[0], fields[8], fields[-1], len(fields)) == ("date-time", "event-id", "schema-version", 30)
    rows = [dict(zip(fields, row, strict=True)) for row in csv.reader(line for line in lines if not line.startswith("#"))]
    assert [row["event-id"] for row in rows] == [row["event_id"] for row in known]
    assert relay.relayctl("track", "--export", "-").stdout.splitlines()[5:] == [line for line in lines if not line.startswith("#")]


def test_a_killed_relay_and_a_damaged_file(site: Site) -> None:
    relay, mailbox = site.relay, site.mailbox
    relay.submit(["u@akkaya.local"], message("first"))
    eventually(lambda: events(relay, "--event", "SEND") == ["SEND"], "it is tracked")
    relay.kill()
    assert events(relay, "--message-id", "first@printer.example") == ["RECEIVE", "SEND"], "the files of a killed daemon are read"
    relay.start()
    relay.submit(["u@akkaya.local"], message("second"))
    eventually(lambda: len(mailbox.delivered) == 2, "mail goes on")
    eventually(lambda: len(events(relay)) == 4, "and tracking too")
    relay.stop()
    [file] = files(relay)
    file.write_bytes(b"no database at all" * 1000)
    relay.start()
    relay.submit(["u@akkaya.local"], message("third"))
    eventually(lambda: events(relay, "--message-id", "third@printer.example")[-1:] == ["SEND"], "tracking begins anew")
    assert "is damaged" in relay.output()
    assert any(path.name.endswith(".damaged") for path in (relay.state / "tracking").iterdir())


def files(relay: Relay) -> list[Path]:
    return sorted((relay.state / "tracking").glob("*.sqlite"))
