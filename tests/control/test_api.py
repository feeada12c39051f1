"""The API over a real UNIX socket, with stand-ins for the parts of the relay."""

from __future__ import annotations

import json
import math
import os
import socket
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import defer, reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.control.fakes import SafetyNet, Schedule, Spool, make_api, make_message
from tests.network import PATIENCE
from twistedrelay.control.api import OPERATIONS
from twistedrelay.control.client import ControlClient, NoDaemon, Refused
from twistedrelay.control.server import MAX_BODY, ControlService, ControlSocketError
from twistedrelay.observe.places import MOST, RESERVED
from twistedrelay.values.envelope import DeliverBy, MailParameters, MessageStatus
from twistedrelay.values.kept import START, KeptQuery


def exists(path: str) -> bool:
    """Whether there is such a file."""
    return os.path.exists(path)


def read(path: str) -> str:
    """A file's text."""
    return Path(path).read_text()


def write(path: str, text: str) -> None:
    """Make a file."""
    Path(path).write_text(text)


class APITests(TestCase):
    """Each test has a daemon's control service of its own."""

    timeout = PATIENCE

    def setUp(self) -> None:
        # Not trial's mktemp: it leaves its directories where the tests were started, and a socket's path must be short.
        self.directory = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.path = str(self.directory / "c" / "s")
        self.spool = Spool()
        self.schedule = Schedule(self.spool)
        self.net = SafetyNet()
        self.api = make_api(reactor, self.spool, self.schedule, self.net)
        self.service = ControlService(reactor, self.path, self.api)  # type: ignore[arg-type]
        self.service.privilegedStartService()
        self.service.startService()
        self.addCleanup(self.service.stopService)
        self.client = ControlClient(self.path)

    def ask(self, name: str, *arguments: Any) -> defer.Deferred[Any]:
        if name == "kept_list":
            return deferToThread(lambda: list(self.client.kept(*arguments)))
        return deferToThread(lambda: getattr(self.client, name)(*arguments))

    def raw(self, octets: bytes) -> defer.Deferred[bytes]:
        """Send octets, read until the daemon closes."""

        def talk() -> bytes:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(PATIENCE)
                connection.connect(self.path)
                try:
                    connection.sendall(octets)
                except (BrokenPipeError, ConnectionResetError):
                    return b"closed"
                got = b""
                try:
                    while chunk := connection.recv(65536):
                        got += chunk
                except ConnectionResetError:
                    pass
                return got

        return deferToThread(talk)

    async def test_status(self) -> None:
        self.spool.kept[42] = make_message(42)
        status = await self.ask("status")
        assert status["message_count"] == 1
        assert status["sessions"] == 7
        assert status["version"] == "9.9"
        assert (status["uncertain_deliveries"], status["uncertain_at_start"]) == (2, 3)
        assert status["totals"]["received"] == 0
        assert status["pid"] == os.getpid()

    async def test_health_and_back_pressure(self) -> None:
        found = await self.ask("get", "/v1/health")
        assert not found["ready"]
        assert found["checks"][0] == {"name": "spool", "ok": False, "reason": "the spool cannot be written to"}
        assert (await self.ask("status"))["health"] == "spool: the spool cannot be written to"
        pressure = await self.ask("get", "/v1/back-pressure")
        assert (pressure["level"], pressure["paused"], pressure["delay"]) == ("Low", False, 0.0)
        assert pressure["resources"][0]["resource"] == "used_disk_space"
        assert pressure["resources"][0]["value"] is None

    async def test_metrics_are_text(self) -> None:
        answer = await self.raw(b"GET /v1/metrics HTTP/1.0\r\n\r\n")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"text/plain; version=0.0.4" in head.lower()
        assert body == b"twistedrelay_queue_messages 3.0\n"

    async def test_connectors_are_exchanges_table(self) -> None:
        found = await self.ask("connectors")
        assert found[0] == {"identity": "EXCSERVER\\Default Frontend", "bindings": ["0.0.0.0:25", "[::]:25"], "enabled": True}

    async def test_connector_by_name_and_identity(self) -> None:
        found = await self.ask("connector", "excserver\\ip/relay")
        assert found["name"] == "IP/Relay"
        assert found["connection_timeout"] == "00:10:00"
        assert found["message_rate_limit"] == "unlimited"
        assert (await self.ask("connector", "Default Frontend"))["remote_ip_ranges"] == ["0.0.0.0-255.255.255.255"]

    async def test_unknown_connector_suggests(self) -> None:
        error = await self.assertFailure(self.ask("connector", "Default Fronted"), Refused)
        assert error.status == 404
        assert "Default Frontend" in str(error)

    async def test_kept_messages(self) -> None:
        query = {"start": "2026-11-22T12:00:00+00:00", "recipient": "akkaya.local", "next_hop": "mx"}
        first, second = await self.ask("kept_list", query)
        assert (first["id"], first["from_address"], first["recipients"]) == (1, "cengiz@cozumpark.com", ["user0@akkaya.local"])
        assert second["date_delivered"] == "2023-11-14T22:15:02Z"
        ((asked, _, position),) = self.net.asked
        assert asked == KeptQuery(1_795_348_800.0, math.inf, "akkaya.local", "mx")
        assert position == START

    async def test_resubmit_requests(self) -> None:
        made = await self.ask("resubmit", {"start": "2023-11-14T22:00:00+00:00"})
        assert (made["identity"], made["state"], made["start_time"]) == (1, "Running", "2023-11-14T22:00:00Z")
        assert [each["identity"] for each in await self.ask("resubmit_requests")] == [1]
        assert (await self.ask("cancel_resubmission", 1))["identity"] == 1
        error = await self.assertFailure(self.ask("cancel_resubmission", 2), Refused)
        assert error.status == 404

    async def test_a_safety_net_that_is_off_says_so(self) -> None:
        self.net.hold_time = 0.0
        for refused in (self.ask("resubmit", {}), self.ask("kept_list", {})):
            error = await self.assertFailure(refused, Refused)
            assert (error.status, "safety_net_hold_time" in str(error)) == (409, True)

    async def test_odd_times_are_refused(self) -> None:
        for query in ({"start": "noon"}, {"start": "2026-11-22T12:00"}, {"end": "9999-99-99T00:00:00Z"}, {"start": "\0"}):
            error = await self.assertFailure(self.ask("resubmit", query), Refused)
            assert error.status == 400

    async def test_queues(self) -> None:
        (queue,) = await self.ask("queues")
        assert queue["identity"] == "EXCSERVER\\[10.0.0.1],relay.x.com"
        assert queue["next_hop_domain"] == "[10.0.0.1],relay.x.com"
        assert queue["delivery_type"] == "SmartHostConnectorDelivery"
        assert queue["next_retry_time"] == "2023-11-14T22:23:20Z"
        assert queue["message_count"] == 3

    async def test_messages_are_paged(self) -> None:
        self.spool.kept.update({id: make_message(id) for id in range(1, 1203)})
        found = await deferToThread(lambda: list(self.client.messages()))
        assert [message["id"] for message in found] == list(range(1, 1203))
        assert found[0]["last_error"] == "451 4.3.0 later 4.3.0 please"
        assert found[0]["status"] == "Retry"
        assert found[0]["message_source_name"] == "SMTP:IP/Relay"

    async def test_message_has_its_recipients(self) -> None:
        self.spool.kept[42] = make_message(42, recipients=30)
        message = await self.ask("message", 42)
        assert len(message["recipient_info"]) == 30
        assert len(message["recipients"]) == 20
        assert message["recipient_count"] == 30
        assert message["recipient_info"][0]["last_error"].startswith("451")
        assert message["recipient_info"][0]["next_retry_time"] == "2023-11-14T22:18:20Z"

    async def test_message_says_what_its_sender_asked_for(self) -> None:
        asked = self.spool.kept[42] = make_message(42)
        plain = await self.ask("message", 42)
        assert (plain["deferred_until"], plain["deliver_by"], plain["expiration_time"]) == (None, None, "2023-11-16T22:13:20Z")
        asked.parameters = MailParameters(
            body="8BITMIME", require_tls=True, priority=-2, deliver_by=DeliverBy(600, "R"), hold_until=4_000_000_000.0
        )
        asked.recipients[0].last_reply = None
        message = await self.ask("message", 42)
        assert (message["body_type"], message["require_tls"], message["smtp_utf8"], message["priority"]) == ("8BITMIME", True, False, -2)
        assert (message["deferred_until"], message["last_error"]) == (
            "2096-10-02T07:06:40Z",
            "Held for its sender until 2096-10-02 07:06:40 UTC",
        )
        assert (message["deliver_by"], message["deliver_by_mode"]) == ("2023-11-14T22:23:20Z", "R")
        assert message["expiration_time"] == message["deliver_by"]

    async def test_remove(self) -> None:
        self.spool.kept[42] = make_message(42)
        await self.ask("remove", 42, False)
        assert self.schedule.removed == [(42, False)]
        error = await self.assertFailure(self.ask("remove", 42, True), Refused)
        assert error.status == 404

    async def test_suspend_and_resume_a_queue(self) -> None:
        name = "[10.0.0.1],relay.x.com"
        changed = await self.ask("suspend_queue", name, "their move", 3600)
        assert changed["suspended_until"] is not None
        (queue,) = await self.ask("queues")
        assert queue["suspend_reason"] == "their move"
        assert queue["suspended_until"] == changed["suspended_until"]
        await self.ask("resume_queue", name)
        error = await self.assertFailure(self.ask("resume_queue", name), Refused)
        assert error.status == 404
        changed = await self.ask("suspend_queue", "EXCSERVER\\" + name)
        assert changed["suspended_until"] is None
        error = await self.assertFailure(self.ask("suspend_queue", "nowhere.example"), Refused)
        assert error.status == 404
        error = await self.assertFailure(self.ask("suspend_queue", name, "two\nlines"), Refused)
        assert error.status == 400
        error = await self.assertFailure(self.ask("suspend_queue", name, "", 10**12), Refused)
        assert error.status == 400

    async def test_queue_identities_of_every_shape(self) -> None:
        for name in ("maildir:/var/mail/there", "lmtp:unix:/run/x/suspend", "a b%2F\u00e9", "Unreachable"):
            error = await self.assertFailure(self.ask("retry_queue", name), Refused)
            assert error.status == (409 if name == "Unreachable" else 404)
        asked = [name for _, name in self.schedule.queues.done]
        assert asked == ["maildir:/var/mail/there", "lmtp:unix:/run/x/suspend", "a b%2F\u00e9", "Unreachable"]

    async def test_queues_that_nothing_is_sent_from(self) -> None:
        for name in ("Unreachable", "Poison"):
            error = await self.assertFailure(self.ask("retry_queue", name), Refused)
            assert error.status == 409 and f"Nothing is sent from the queue {name}" in str(error)

    async def test_retry_a_queue(self) -> None:
        await self.ask("retry_queue", "[10.0.0.1],relay.x.com")
        assert self.schedule.queues.done == [("retry", "[10.0.0.1],relay.x.com")]

    async def test_queue_properties(self) -> None:
        (queue,) = await self.ask("queues")
        assert queue["message_counts_per_priority"] == {"High": 1, "Normal": 2, "Low": 0}
        assert (queue["incoming_rate"], queue["outgoing_rate"], queue["velocity"]) == (1.5, 0.25, -1.25)
        assert (queue["first_retry_time"], queue["last_retry_time"]) == ("2023-11-14T22:13:20Z", "2023-11-14T22:18:20Z")
        assert (queue["suspend_reason"], queue["suspended_until"]) == ("", None)

    async def test_suspend_and_resume_a_message(self) -> None:
        self.spool.kept[42] = make_message(42)
        await self.ask("suspend_message", 42)
        assert self.schedule.suspended == {42}
        await self.ask("resume_message", 42)
        assert self.schedule.suspended == set()
        for name in ("suspend_message", "resume_message"):
            error = await self.assertFailure(self.ask(name, 43), Refused)
            assert error.status == 404

    async def test_the_status_of_a_message_that_takes_no_part(self) -> None:
        self.spool.kept[1] = suspended = make_message(1)
        suspended.status = MessageStatus.SUSPENDED
        self.spool.kept[2] = poison = make_message(2)
        poison.status = MessageStatus.POISON
        found = await deferToThread(lambda: list(self.client.messages()))
        assert [message["status"] for message in found] == ["Suspended", "Poison"]

    async def test_sick_spool_is_503(self) -> None:
        self.spool.broken = True
        error = await self.assertFailure(self.ask("status"), Refused)
        assert error.status == 503
        assert "disk full" in str(error)

    async def test_a_bug_is_500_and_logged(self) -> None:
        self.schedule.fault = ZeroDivisionError("division by zero")
        error = await self.assertFailure(self.ask("queues"), Refused)
        assert error.status == 500
        assert "division" not in str(error)
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1

    async def test_bad_queries_are_400_problems(self) -> None:
        for target in (
            "messages?limit=0", "messages?limit=1001", "messages?limit=x", "messages?limit=%D9%A1", "messages?limit=1&limit=2",
            "messages?after=-1", "messages?after=" + "9" * 3000, "messages?ofter=1", "messages?filter=Stat+-eq+1",
            "messages/abc", "messages/0", "messages/9223372036854775808",
        ):  # fmt: skip
            answer = await self.raw(f"GET /v1/{target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 400 "), (target, head)
            assert b"application/problem+json" in head.lower()
            assert json.loads(body)["status"] == 400

    async def test_with_ndr_must_be_a_boolean(self) -> None:
        self.spool.kept[42] = make_message(42)
        answer = await self.raw(b"DELETE /v1/messages/42?with_ndr=no HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert 42 in self.spool.kept

    async def test_unknown_paths_and_methods_are_problems(self) -> None:
        for request, status in ((b"GET /v2/status", b"404"), (b"POST /v1/status", b"405"), (b"DELETE /v1/messages", b"405")):
            answer = await self.raw(request + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.split()[1] == status
            assert json.loads(body)["status"] == int(status)

    async def test_malformed_requests_never_harm(self) -> None:
        for octets in (
            b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
            b"GET\r\n\r\n",
            b"GET /v1/messages/%ff%00 HTTP/1.1\r\nConnection: close\r\n\r\n",
            b"GET /v1/connectors/%ff HTTP/1.1\r\nConnection: close\r\n\r\n",
            b"POST /v1/status HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"POST /v1/status HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
            b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
            b"GET /" + b"a" * 100_000,
        ):
            await self.raw(octets)
        assert (await self.ask("status"))["sessions"] == 7
        self.flushLoggedErrors()

    async def test_a_body_is_bounded(self) -> None:
        size = MAX_BODY + 1
        declared = b"POST /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (10 * size)
        answer = await self.raw(declared + b"a" * size)
        assert answer == b"closed" or b" 413 " in answer
        chunk = b"%x\r\n%s\r\n" % (1024, b"a" * 1024)
        chunks = chunk * (MAX_BODY // 1024 + 2)
        answer = await self.raw(b"POST /v1/status HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
        assert answer == b"closed" or b" 413 " in answer
        assert (await self.ask("status"))["sessions"] == 7

    async def test_held_connections_keep_nobody_out(self) -> None:
        """More of them than there are places, each with half a request."""
        held = [socket.socket(socket.AF_UNIX) for _ in range(MOST + RESERVED + 10)]

        def hold() -> None:
            for connection in held:
                self.addCleanup(connection.close)
                connection.connect(self.path)
                connection.sendall(b"GET /v1/status HTTP/1.1\r\nX:")

        await deferToThread(hold)
        for _ in range(3):
            assert (await self.ask("status"))["sessions"] == 7

    async def test_openapi_describes_what_there_is(self) -> None:
        answer = await self.raw(b"GET /v1/openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        described = json.loads(answer.partition(b"\r\n\r\n")[2])
        assert {(path, method) for path, methods in described["paths"].items() for method in methods} == {
            (operation.path, operation.method) for operation in OPERATIONS
        }
        served = {
            (rule.rule.replace("<path:", "<").replace("<", "{").replace(">", "}"), method.lower())
            for rule in self.api.app.url_map.iter_rules()
            for method in rule.methods - {"HEAD"}
        }
        assert served - {("/v1/openapi.json", "get")} == {(operation.path, operation.method) for operation in OPERATIONS}
        assert "#/components/schemas/Status" in json.dumps(described)
        assert not [name for name in described["components"]["schemas"] if "__" in name], "models of one name"
        assert set(described["components"]["schemas"]) >= {"Status", "Totals", "Queue", "Message", "Recipient", "Problem"}

    def test_modes(self) -> None:
        assert stat.S_IMODE(os.stat(os.path.dirname(self.path)).st_mode) == 0o750
        assert stat.S_IMODE(os.stat(self.path).st_mode) == 0o660

    async def test_the_socket_is_gone_after_the_end(self) -> None:
        await self.service.stopService()
        assert not exists(self.path)
        await self.assertFailure(self.ask("status"), NoDaemon)

    async def test_a_live_daemons_socket_is_refused(self) -> None:
        second = ControlService(reactor, self.path, self.api)  # type: ignore[arg-type]
        with pytest.raises(ControlSocketError, match="another daemon"):
            second.privilegedStartService()
        assert (await self.ask("status"))["sessions"] == 7

    async def test_a_killed_daemons_socket_is_replaced(self) -> None:
        await self.service.stopService()
        with socket.socket(socket.AF_UNIX) as left_behind:
            left_behind.bind(self.path)
        await self.assertFailure(self.ask("status"), NoDaemon)
        self.service.startService()
        assert (await self.ask("status"))["sessions"] == 7

    async def test_a_file_in_its_place_is_left_alone(self) -> None:
        await self.service.stopService()
        write(self.path, "precious")
        with pytest.raises(ControlSocketError, match="a file in the place"):
            self.service.privilegedStartService()
        assert read(self.path) == "precious"

    async def test_a_long_path_is_explained(self) -> None:
        service = ControlService(reactor, "/run/" + "a" * 120, self.api)  # type: ignore[arg-type]
        with pytest.raises(ControlSocketError, match="107"):
            service.privilegedStartService()
