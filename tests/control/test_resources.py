"""Queues, messages, certificates and accounts by the API: filters, pages, changes, export; what requests may not look like."""

from __future__ import annotations

import json
import socket
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import defer, reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.control.fakes import Content, Lane, Schedule, Spool, make_api, make_config, make_message
from tests.network import PATIENCE
from twistedrelay import __version__
from twistedrelay.control.client import ControlClient, Refused
from twistedrelay.control.server import ControlService
from twistedrelay.values.browsing import Term
from twistedrelay.values.envelope import MailParameters, RcptParameters, RecipientState

QUEUE = "[10.0.0.1],relay.x.com"


class ResourceTests(TestCase):
    """Over a real UNIX socket."""

    timeout = PATIENCE

    def setUp(self) -> None:
        directory = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.path, self.users = str(directory / "s"), directory / "users"
        self.users.write_text("")
        self.spool = Spool({number: make_message(number) for number in range(1, 6)})
        self.schedule = Schedule(self.spool)
        config = make_config().model_copy(update={"users": str(self.users)})
        service = ControlService(reactor, self.path, make_api(reactor, self.spool, self.schedule, config=config))  # type: ignore[arg-type]
        service.startService()
        self.addCleanup(service.stopService)
        self.client = ControlClient(self.path)

    def get(self, path: str, **query: str) -> defer.Deferred[Any]:
        return deferToThread(self.client.get, path, query)

    def pages(self, path: str, **query: str) -> defer.Deferred[list[list[dict[str, Any]]]]:
        return deferToThread(lambda: list(self.client.pages(path, query)))

    async def refused(self, asked: defer.Deferred[Any], status: int, *words: str) -> None:
        error = await self.assertFailure(asked, Refused)
        assert error.status == status, error
        for word in words:
            assert word in str(error), error

    def raw(self, request: str, body: bytes = b"") -> defer.Deferred[tuple[bytes, bytes]]:
        """The head and the body of an answer."""

        def talk() -> tuple[bytes, bytes]:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(PATIENCE)
                connection.connect(self.path)
                connection.sendall(f"{request}\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
                got = b""
                while chunk := connection.recv(65536):
                    got += chunk
            head, _, rest = got.partition(b"\r\n\r\n")
            return head, rest

        return deferToThread(talk)

    async def test_messages_by_filter_and_what_the_spool_is_asked(self) -> None:
        self.spool.kept[3].sender = self.spool.kept[3].recipients[0].address
        found = await self.get("/v1/messages", filter="FromAddress -like '*@akkaya.local' -and Id -le 4 -and Status -eq 'Retry'")
        assert [message["id"] for message in found] == [3]
        assert self.spool.asked[-1].terms == (
            Term("sender", "like", "*@akkaya.local"),
            Term("id", "le", 4),
            Term("status", "eq", 0),
        )
        assert await self.get("/v1/messages", filter="Subject -like 'm\N{LATIN SMALL LETTER U WITH DIAERESIS}ll*' -and Id -eq 1")
        assert not await self.get("/v1/messages", filter="Subject -eq 'other'")
        assert len(await self.get("/v1/messages", filter="Queue -eq 'EXCSERVER\\akkaya.local'")) == 5
        assert len(await self.get("/v1/messages", filter="Identity -eq 'EXCSERVER\\akkaya.local\\4' -or Identity -eq '2'")) == 2
        assert len(await self.get("/v1/messages", filter="MessageLatency -gt 1d -and RetryCount -eq 1")) == 5

    async def test_subjects_that_nobody_can_read(self) -> None:
        """Strangers choose them: neither a list nor the message itself may fail because of one."""
        subjects = (b"=?utf-8?b?A?=", b"=?utf-7?q?+2AA-?=", b"=?unicode_escape?q?\\ud800?=", b"=?none?q?x?=", b"\xff\xfe")
        for message, subject in zip(self.spool.kept.values(), subjects, strict=True):
            message.content = Content(b"Subject: " + subject + b"\r\n\r\nx")
        assert len(await self.get("/v1/messages", filter="Subject -like '*'")) == 5
        shown = [(await self.get(f"/v1/messages/{id}"))["subject"] for id in self.spool.kept]
        assert shown == ["=?utf-8?b?A?=", "?", "?", "=?none?q?x?=", "\N{REPLACEMENT CHARACTER}" * 2]

    async def test_pages_of_messages(self) -> None:
        pages = await self.pages("/v1/messages", limit="2")
        assert [[message["id"] for message in page] for page in pages] == [[1, 2], [3, 4], [5]]
        pages = await self.pages("/v1/messages", limit="2", sort="-date_received", filter="Id -ne 4")
        assert [message["id"] for page in pages for message in page] == [5, 3, 2, 1]

    async def test_what_is_in_flight(self) -> None:
        self.schedule.messages.active.add(2)
        [message] = await self.get("/v1/messages", filter="Status -eq 'Active'", include_recipient_info="true")
        assert (message["id"], message["active_since"]) == (2, "2023-11-14T22:15:00Z")
        assert message["remote"] == message["recipient_info"][0]["remote"] == "mx.akkaya.local [10.0.0.1]:25"
        assert message["identity"] == "EXCSERVER\\akkaya.local\\2"
        whole = await self.get("/v1/messages/2")
        assert whole["subject"] == "M\N{LATIN SMALL LETTER U WITH DIAERESIS}ll today"

    async def test_a_message_to_very_many_is_shown_in_parts(self) -> None:
        self.spool.kept[1] = make_message(1, recipients=2500)
        part = await self.get("/v1/messages/1", after="2000")
        assert (len(part["recipient_info"]), part["recipient_count"]) == (500, 2500)
        assert part["recipient_info"][0]["queue"] == "akkaya.local"
        whole = await deferToThread(self.client.message, 1)
        assert [each["address"] for each in whole["recipient_info"]] == [f"user{n}@akkaya.local" for n in range(2500)]

    async def test_a_filter_that_is_not_understood(self) -> None:
        await self.refused(self.get("/v1/messages", filter="Staus -eq 1"), 400, "column 1", "did you mean Status?")
        await self.refused(self.get("/v1/queues", filter="Status -eq 'Poison'"), 400, "column 12", "Suspended")

    async def test_changes_of_several_messages(self) -> None:
        for action, more, done in (
            ("suspend", {}, ("suspend", [1, 9])),
            ("resume", {}, ("resume", [1, 9])),
            ("remove", {"with_ndr": False}, ("remove", [1, 9], False)),
            ("redirect", {"to": "10.0.0.9:2525"}, ("redirect", [1, 9], "[10.0.0.9]:2525")),
            ("cancel-redirect", {}, ("redirect", [1, 9], "")),
        ):
            answer = await deferToThread(self.client.post, "/v1/messages/changes", {"action": action, "ids": [1, 9, 1], **more})
            assert answer == {"action": action, "asked": 2, "changed": 1}
            assert self.schedule.messages.done[-1] == done
        for body, status in (
            ({"action": "redirect", "ids": [1]}, 400),
            ({"action": "redirect", "ids": [1], "to": "maildir:/x"}, 400),
            ({"action": "explode", "ids": [1]}, 422),
            ({"action": "suspend", "ids": []}, 422),
            ({"action": "suspend", "ids": [0]}, 422),
        ):
            await self.refused(deferToThread(self.client.post, "/v1/messages/changes", body), status)

    async def test_export(self) -> None:
        message = self.spool.kept[1] = make_message(1, recipients=3)
        message.content = Content(b"Subject: big\r\n\r\n" + b"0123456789abcdef" * 100_000)
        message.parameters = MailParameters(body="8BITMIME", ret="FULL", envid="a b", require_tls=True, priority=3)
        message.recipients[1].state = RecipientState.DELIVERED
        message.recipients[2].parameters = RcptParameters(frozenset({"FAILURE", "DELAY"}), "rfc822;x+y@z")
        got = await deferToThread(lambda: b"".join(self.client.download("/v1/messages/1/content")))
        head = (
            b"X-Sender: <cengiz@cozumpark.com> BODY=8BITMIME RET=FULL ENVID=a+20b REQUIRETLS MT-PRIORITY=3\r\n"
            b"X-Receiver: <user0@akkaya.local>\r\n"
            b"X-Receiver: <user2@akkaya.local> NOTIFY=DELAY,FAILURE ORCPT=rfc822;x+2By@z\r\n"
        )
        assert got == head + message.content.octets
        plain = await deferToThread(lambda: b"".join(self.client.download("/v1/messages/1/content", {"envelope": "false"})))
        assert plain == message.content.octets
        await self.refused(deferToThread(lambda: list(self.client.download("/v1/messages/99/content"))), 404)

    async def test_an_export_of_what_leaves_meanwhile_says_so(self) -> None:
        class Leaving(Content):
            def read(self, offset: int, length: int) -> defer.Deferred[bytes]:
                return super().read(offset, length) if offset < 200_000 else defer.succeed(b"")

        self.spool.kept[1].content = Leaving(b"x" * 1_000_000)
        await self.refused(deferToThread(lambda: list(self.client.download("/v1/messages/1/content"))), 410, "left the queue")
        assert len(await self.get("/v1/messages")) == 5

    async def test_a_queue_with_its_ways(self) -> None:
        shown = await self.get(f"/v1/queues/EXCSERVER\\{QUEUE}")
        assert (shown["status"], shown["next_hop_category"]) == ("Retry", "External")
        (lane,) = shown["lanes"]
        assert (lane["user_name"], lane["tls"], lane["connections"], lane["max_connections"]) == ("relay@x.com", "domain", 1, 20)
        assert lane["errors"] == [{"time": "2023-11-14T22:18:20Z", "error": "421 4.3.2 Service not available"}]
        await self.refused(self.get("/v1/queues/nowhere"), 404)

    async def test_queues_by_filter_and_pages(self) -> None:
        assert len(await self.get("/v1/queues", filter="Velocity -lt -1 -and NextHopConnector -eq 'internet'")) == 1
        assert len(await self.get("/v1/queues", filter=f"Identity -eq '{QUEUE}'")) == 1
        assert await self.get("/v1/queues", filter="MessageCount -gt 100") == []
        assert await self.get("/v1/queues", after=f"EXCSERVER\\{QUEUE}") == []
        assert len(await self.get("/v1/queues", limit="1")) == 1

    async def test_an_address_is_named_with_brackets_or_without(self) -> None:
        """The configuration has C{127.0.0.1:2600} where the queue is C{[127.0.0.1]:2600}."""
        self.patch(Schedule, "lanes", lambda _: [Lane(identity="[127.0.0.1]:2600", next_hop_domain="[127.0.0.1]:2600")])
        for name in ("127.0.0.1:2600", "[127.0.0.1]:2600"):
            assert (await self.get(f"/v1/queues/{name}"))["identity"] == "EXCSERVER\\[127.0.0.1]:2600"
            for found in (f"NextHopDomain -eq '{name}'", f"Identity -eq 'excserver\\{name}'", f"NextHopDomain -like '{name[:8]}*'"):
                assert len(await self.get("/v1/queues", filter=found)) == 1, found
            for other in (f"NextHopDomain -ne '{name}'", f"Identity -eq '{name}5'", f"Identity -notlike '{name[:8]}*'"):
                assert await self.get("/v1/queues", filter=other) == [], other
        await self.refused(self.get("/v1/queues/127.0.0.1"), 404, "There is no queue [127.0.0.1]")

    async def test_redirect_and_resubmit_a_queue(self) -> None:
        redirected = await deferToThread(self.client.post, f"/v1/queues/{QUEUE}/redirect", None, {"to": "relay2.example:25"})
        assert redirected["redirected_to"] == "relay2.example"
        assert (await self.get("/v1/queues"))[0]["redirected_to"] == "relay2.example"
        await deferToThread(self.client.delete, f"/v1/queues/{QUEUE}/redirect")
        await self.refused(deferToThread(self.client.delete, f"/v1/queues/{QUEUE}/redirect"), 404)
        await self.refused(deferToThread(self.client.post, "/v1/queues/nowhere/redirect", None, {"to": "x.example"}), 404)
        await self.refused(deferToThread(self.client.post, f"/v1/queues/{QUEUE}/redirect", None, {"to": "no host"}), 400)
        done = await deferToThread(self.client.post, "/v1/queues/Unreachable/retry", None, {"resubmit": "true"})
        assert done["action"] == "resubmit"

    async def test_who_suspends_is_known(self) -> None:
        await deferToThread(self.client.suspend_queue, QUEUE, "why")
        [queue] = await self.get("/v1/queues")
        assert queue["suspended_by"]

    async def test_accounts(self) -> None:
        made = await deferToThread(self.client.post, "/v1/users", {"address": "a@x.example", "password": "Correct horse 1"})
        assert (made["address"], made["send_as"]) == ("a@x.example", [])
        assert [user["address"] for user in await self.get("/v1/users")] == ["a@x.example"]
        await self.refused(deferToThread(self.client.post, "/v1/users", {"address": "a@x.example", "password": "x" * 20}), 409)
        await self.refused(deferToThread(self.client.post, "/v1/users", {"address": "no address", "password": "x" * 20}), 422)
        before = self.users.read_text()
        await deferToThread(self.client.post, "/v1/users/a@x.example/password", {"password": "another long one"})
        assert self.users.read_text() != before
        await deferToThread(self.client.delete, "/v1/users/a@x.example")
        await self.refused(deferToThread(self.client.delete, "/v1/users/a@x.example"), 404)
        assert await self.get("/v1/users") == []

    async def test_certificates(self) -> None:
        assert await self.get("/v1/certificates") == []
        await self.refused(self.get("/v1/certificates/ABCD"), 404)

    async def test_unknown_parameters_are_refused_with_a_suggestion(self) -> None:
        await self.refused(self.get("/v1/messages", fliter="Id -eq 1"), 400, "'fliter'", "Did you mean filter?", "Allowed:")
        await self.refused(self.get("/v1/status", x="1"), 400, "takes none")
        await self.refused(self.get("/v1/messages", sort="size"), 400, "one of date_received")
        for path in ("/v1/messages", "/v1/queues"):
            await self.refused(self.get(path, filter=""), 400, "filter must be not empty")
            await self.refused(self.get(path, filter="  "), 400, "The filter is not understood")
        _, body = await self.raw("GET /v1/messages?limit=many HTTP/1.1")
        assert json.loads(body) == {
            "type": "about:blank",
            "title": "Bad Request",
            "status": 400,
            "detail": "limit must be a number from 1 to 1000.",
            "instance": "/v1/messages",
            "errors": [{"detail": "limit must be a number from 1 to 1000.", "pointer": "", "parameter": "limit"}],
            "findings": [],
        }

    async def test_bodies(self) -> None:
        request, good = "POST /v1/messages/changes HTTP/1.1", b'{"action": "suspend", "ids": [1, "x"]}'
        head, body = await self.raw(f"{request}\r\nContent-Type: text/plain", good)
        assert head.startswith(b"HTTP/1.1 415 ")
        head, body = await self.raw(f"{request}\r\nContent-Type: application/json; charset=utf-8", good)
        assert head.startswith(b"HTTP/1.1 422 ")
        assert [part["pointer"] for part in json.loads(body)["errors"]] == ["/ids/1"]
        head, _ = await self.raw("POST /v1/messages/1/suspend HTTP/1.1", b"{}")
        assert head.startswith(b"HTTP/1.1 400 ")
        head, _ = await self.raw(f"{request}\r\nContent-Type: application/x-www-form-urlencoded", b"action=suspend")
        assert head.startswith(b"HTTP/1.1 415 ")

    async def test_methods_and_caching(self) -> None:
        head, _ = await self.raw("PUT /v1/messages/1 HTTP/1.1")
        assert head.startswith(b"HTTP/1.1 405 ")
        allowed = next(line for line in head.splitlines() if line.lower().startswith(b"allow:"))
        assert b"GET" in allowed and b"DELETE" in allowed
        head, _ = await self.raw("GET /v1/messages HTTP/1.1")
        assert b"cache-control: no-store" in head.lower()
        head, _ = await self.raw("GET /v1/openapi.json HTTP/1.1")
        tag = next(line.split(b" ", 1)[1] for line in head.splitlines() if line.lower().startswith(b"etag:")).decode()
        head, body = await self.raw(f"GET /v1/openapi.json HTTP/1.1\r\nIf-None-Match: {tag}")
        assert head.startswith(b"HTTP/1.1 304 ") and body == b""
        head, body = await self.raw("HEAD /v1/messages/1/content HTTP/1.1")
        assert head.startswith(b"HTTP/1.1 200 ") and body == b""

    async def test_each_answer_says_who_answers(self) -> None:
        server = f"server: twistedrelay/{__version__}".encode()
        for line in ("GET /v1/status", "GET /nothing", "GET /v1/%ff", "DELETE /v1/status", f"GET /v1/{'x' * 70_000}"):
            head, _ = await self.raw(f"{line} HTTP/1.1")
            found = [each for each in head.lower().splitlines() if each.startswith(b"server:")]
            assert found == [server], line[:20]

    async def test_long_lines_are_told(self) -> None:
        head, body = await self.raw(f"GET /v1/messages?filter={'x' * 70_000} HTTP/1.1")
        assert head.startswith(b"HTTP/1.1 431 ")
        assert json.loads(body)["status"] == 431
