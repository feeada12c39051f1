"""The self-test: from where a listener is tried, what is said, and what the answers mean."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.answers.audit.audited import NOW, configuration, loaded, relaying
from tests.network import PATIENCE
from twistedrelay.answers.audit.attempts import Attempt, Outcome, attempts
from twistedrelay.answers.audit.caller import Call, try_all
from twistedrelay.answers.audit.case import Case, Facts
from twistedrelay.answers.audit.finding import Finding, Severity
from twistedrelay.answers.audit.probe import Trial, probe
from twistedrelay.answers.audit.tried import trial_findings

UNUSED_PORT = 1  # nobody listens on tcpmux here

DOMAINS = {"accepted_domains": {"akkaya.local": {"next_hop": "mail.akkaya.local:25"}}}
#: No address of this host is a stranger's.
TRUSTED = ["127.0.0.0/8", "192.168.0.0/16"]


def tried(tmp_path: Path, given: dict[str, Any]) -> tuple[list[Trial], list[Finding]]:
    subject = loaded(tmp_path, given)
    ends: set[str] = set()
    trials = probe(subject.config, NOW, ends)
    assert not ends
    return trials, list(trial_findings(Case(subject.config, subject.places, Facts(now=NOW)), trials))


def test_a_stranger_is_rehearsed_where_all_addresses_here_are_trusted(tmp_path: Path) -> None:
    given = {**relaying(*TRUSTED, "198.51.100.0/24", bindings=["127.0.0.1:2525"]), **DOMAINS}
    [trial], findings = tried(tmp_path, given)
    assert trial.manner.startswith("as 198.51.100.77, in a rehearsed session")
    [relayed] = [each for each in findings if each.code == "probe-relayed"]
    assert relayed.severity is Severity.CRITICAL
    assert "a source route by our domain" in relayed.reason
    assert relayed.cure.startswith("relayctl permission remove IP_Relay")


def test_a_rehearsed_stranger_who_may_not_relay(tmp_path: Path) -> None:
    given = {**configuration({"remote_ip_ranges": [*TRUSTED, "198.51.100.0/24"], "bindings": ["127.0.0.1:2525"]}), **DOMAINS}
    [trial], findings = tried(tmp_path, given)
    assert [each.code for each in findings if each.severity > Severity.INFO] == []
    assert findings[-1].code == "probe"
    assert all(outcome.reply.startswith("5") for outcome in trial.outcomes if outcome.attempt.direct)


def test_a_stranger_whom_no_connector_takes(tmp_path: Path) -> None:
    [trial], findings = tried(tmp_path, relaying(*TRUSTED, bindings=["127.0.0.1:2525"]))
    assert trial.connector == ""
    assert {outcome.reply[:3] for outcome in trial.outcomes} == {"421"}
    assert [(each.code, each.object) for each in findings] == [("probe", "EXCSERVER")]


def test_traps_for_the_next_hop_are_told(tmp_path: Path) -> None:
    subject = loaded(tmp_path, {**configuration(), **DOMAINS})
    hack = next(each for each in attempts(subject.config, "127.0.0.1") if each.what == "the percent hack")
    assert hack.recipient == "nobody%example.org@akkaya.local"
    trial = Trial("0.0.0.0:25", "IP_Relay", "from 127.0.0.99", (Outcome(hack, "250 OK", True),))
    codes = [each.code for each in trial_findings(Case(subject.config, subject.places, Facts(now=NOW)), [trial])]
    assert codes == ["probe-trap", "probe"]


def test_nobody_listens(tmp_path: Path) -> None:
    [trial], findings = tried(tmp_path, configuration({"bindings": [f"127.0.0.1:{UNUSED_PORT}"]}))
    assert trial.manner == "from 127.0.0.99, over a connection"
    assert [each.code for each in findings] == ["probe-failed"]


def outcomes_told(tmp_path: Path, *replies: str, connector: str = "IP_Relay", error: str = "") -> list[Finding]:
    subject = loaded(tmp_path, {**configuration(), **DOMAINS})
    asked = attempts(subject.config, "127.0.0.1")
    outcomes = tuple(Outcome(attempt, reply, reply.startswith("2")) for attempt, reply in zip(asked, replies, strict=False))
    trial = Trial("0.0.0.0:25", connector, "from 127.0.0.99", outcomes, error)
    return list(trial_findings(Case(subject.config, subject.places, Facts(now=NOW)), [trial]))


def test_not_now_is_no_refusal(tmp_path: Path) -> None:
    """A relay that is too busy for the test has not said that it relays for nobody."""
    [told] = outcomes_told(tmp_path, "550 5.7.54 no", "421 4.3.2 too many", "", error="Connection refused")
    assert "3 ways to relay were tried at 0.0.0.0:25 from 127.0.0.99: 0 were open; 1 were refused: 550 5.7.54 no;" in told.reason
    assert told.reason.endswith("of 2 it cannot be said: 421 4.3.2 too many")
    for replies, why in ((("421 4.3.2 too many", ""), "421 4.3.2 too many"), (("", ""), "no answer in time")):
        [told] = outcomes_told(tmp_path, *replies)
        assert (told.code, told.severity) == ("probe-failed", Severity.MEDIUM)
        assert told.reason.endswith(why)
    [told] = outcomes_told(tmp_path, "421 4.3.2 not available", connector="")
    assert told.code == "probe"
    assert "1 were refused" in told.reason
    assert "probe-relayed" in {each.code for each in outcomes_told(tmp_path, "250 OK", "")}


@pytest.mark.parametrize(
    ("key", "manner"),
    [("proxy_protocol_from", "over a connection from 127.0.0.1 with a PROXY header"), ("xclient_from", "from 127.0.0.99")],
)
def test_strangers_are_introduced(tmp_path: Path, key: str, manner: str) -> None:
    ranges = {} if key == "xclient_from" else {"remote_ip_ranges": [*TRUSTED, "198.51.100.0/24"]}
    given = configuration({"bindings": [f"127.0.0.1:{UNUSED_PORT}"], key: ["127.0.0.1"], **ranges})
    [trial], _ = tried(tmp_path, given)
    assert manner in trial.manner


def test_xclient_where_nobody_here_is_a_stranger(tmp_path: Path) -> None:
    given = configuration({"bindings": [f"127.0.0.1:{UNUSED_PORT}"], "xclient_from": ["127.0.0.0/24"], "remote_ip_ranges": TRUSTED})
    [trial], _ = tried(tmp_path, given)
    assert trial.manner.endswith("with XCLIENT")


class Server(threading.Thread):
    """Takes some connections and answers by the first word of each line."""

    def __init__(self, answers: dict[str, str], connections: int = 1) -> None:
        super().__init__(daemon=True)
        self.answers = answers
        self.connections = connections
        self.heard: list[str] = []
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]

    def run(self) -> None:
        for _ in range(self.connections):
            connection, _ = self.listening.accept()
            with contextlib.suppress(ConnectionError), connection, connection.makefile("rb") as lines:
                connection.sendall(self.answers.get("(connect)", "220 hello\r\n").encode())
                for line in lines:
                    self.heard.append(line.decode().strip())
                    answer = self.answers.get(self.heard[-1].split(" ")[0].split(":")[0], "250-one\r\n250 two\r\n")
                    if not answer:
                        break
                    connection.sendall(answer.encode())
        self.listening.close()


@pytest.fixture
def serve() -> Iterator[Any]:
    servers = []

    def start(answers: dict[str, str], connections: int = 1) -> Server:
        servers.append(Server(answers, connections))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.join(PATIENCE)
        assert not server.is_alive()


ATTEMPTS = [Attempt("one", "a@example.org", "b@example.org"), Attempt("two", "", "c@example.org")]


def called(server: Server, **more: Any) -> list[Outcome]:
    return list(try_all(Call(host="127.0.0.1", port=server.port, source="127.0.0.99", **more), ATTEMPTS, set()))


def test_a_call_goes_as_far_as_rcpt(serve: Any) -> None:
    server = serve({"RCPT": "550 5.7.54 no\r\n"})
    outcomes = called(server)
    assert [(outcome.accepted, outcome.reply) for outcome in outcomes] == [(False, "550 5.7.54 no")] * 2
    server.join(PATIENCE)
    session = ["MAIL FROM:<a@example.org>", "RCPT TO:<b@example.org>", "RSET", "MAIL FROM:<>", "RCPT TO:<c@example.org>", "RSET", "QUIT"]
    assert server.heard == ["EHLO relay-test.invalid", *session]


def test_both_ends_are_known_while_a_call_lasts(serve: Any) -> None:
    server, ends = serve({}), set()
    for _ in try_all(Call(host="127.0.0.1", port=server.port, source="127.0.0.99"), ATTEMPTS, ends):
        [end] = ends
        assert end.startswith("127.0.0.99:")
    assert not ends


def test_acceptance_is_seen(serve: Any) -> None:
    assert [outcome.accepted for outcome in called(serve({}), lmtp=True)] == [True, True]


def test_a_refused_sender_asks_for_no_recipient(serve: Any) -> None:
    server = serve({"MAIL": "530 5.7.57 log in\r\n"})
    assert [outcome.reply for outcome in called(server)] == ["530 5.7.57 log in"] * 2
    assert not [line for line in server.heard if line.startswith("RCPT")]


def test_a_relay_that_hangs_up_is_called_again(serve: Any) -> None:
    outcomes = called(serve({"RCPT": ""}, connections=2))
    assert [(outcome.accepted, outcome.reply) for outcome in outcomes] == [(False, "")] * 2


def test_a_relay_that_refuses_the_connection(serve: Any) -> None:
    outcomes = called(serve({"(connect)": "421 4.3.2 not here\r\n"}, connections=2))
    assert [outcome.reply for outcome in outcomes] == ["421 4.3.2 not here"] * 2


def test_introductions(serve: Any) -> None:
    server = serve({})
    called(server, header=b"PROXY TCP4 198.51.100.77 127.0.0.1 40000 25\r\n")
    assert server.heard[0].startswith("PROXY TCP4 198.51.100.77")
    server = serve({})
    called(server, xclient="198.51.100.77")
    assert server.heard[:3] == ["EHLO relay-test.invalid", "XCLIENT ADDR=198.51.100.77", "EHLO relay-test.invalid"]
