"""Addresses and header fields that change on the way out."""

from __future__ import annotations

import threading
from typing import Any

import attrs
from twisted.internet.defer import inlineCallbacks
from zope.interface import implementer

from tests.delivery.agent_case import AgentCase, reactor
from tests.delivery.peers import BODY, EHLO, Disk, Lane, Memory, Server, address, job, route
from twistedrelay.interfaces import IRewrite
from twistedrelay.values.address import Address
from twistedrelay.values.envelope import Message, OutcomeKind
from twistedrelay.values.reply import Reply

NOT_HERE = Reply(550, "5.7.1", "Not on this way")
WITH_DSN = EHLO.replace(b"250 8BITMIME", b"250-DSN\r\n250 8BITMIME")


@implementer(IRewrite)
@attrs.frozen
class Rewrite:
    """Sends everybody to one address, but nobody whose name is in C{refused}."""

    into: str = ""
    refused: str = "?"
    added: bytes = b""
    error: str = ""

    @property
    def changes_content(self) -> bool:
        return bool(self.added) or self.error == "header"

    def sender(self, sender: Address) -> Address:
        if self.error == "sender":
            raise ZeroDivisionError("a defect")
        return sender if sender.is_null else address("srs@a.test")

    def recipient(self, recipient: Address) -> Address | Reply:
        if self.refused in recipient.text:
            return NOT_HERE
        return address(self.into) if self.into else recipient

    def header(self, header: bytes, message: Message) -> bytes:
        if self.error == "header":
            raise ZeroDivisionError("a defect")
        return self.added + header


class RewriteTests(AgentCase):
    """Against a server."""

    @inlineCallbacks
    def run_at(self, server: Server, rewrite: Rewrite, *jobs: Any) -> Any:
        self.serve(server)
        lane = Lane(route(self.resolver.list[-1].port, rewrite=rewrite), *jobs)
        yield self.agent.run(lane)
        return lane

    @inlineCallbacks
    def test_sender(self) -> Any:
        server = Server()
        lane = yield self.run_at(server, Rewrite(), job(), job(sender=""))
        assert [line.split(b" SIZE")[0] for line in server.commands if line.startswith(b"MAIL")] == [
            b"MAIL FROM:<srs@a.test>",
            b"MAIL FROM:<>",
        ]
        assert lane.codes == [250, 250]

    @inlineCallbacks
    def test_the_same_address_is_said_once_and_its_answer_is_for_all(self) -> Any:
        server = Server(replies={"RCPT": [b"450 4.2.1 later\r\n"]})
        lane = yield self.run_at(server, Rewrite("all@c.test", "b@"), job("a@b.test", "b@b.test", "c@b.test"))
        assert [line for line in server.commands if line.startswith(b"RCPT")] == [b"RCPT TO:<all@c.test>"]
        assert lane.codes == [450, 550, 450]
        assert [one.remote != "" for one in lane.outcomes] == [True, False, True]
        assert [one.told for one in lane.outcomes] == ["all@c.test", "", "all@c.test"]

    @inlineCallbacks
    def test_nobody_is_left(self) -> Any:
        server = Server()
        lane = yield self.run_at(server, Rewrite(refused="@"), job("a@b.test", "b@b.test"), job("c@b.test"))
        assert [outcome.reply for outcome in lane.outcomes] == [NOT_HERE] * 3
        assert "MAIL" not in server.verbs

    @inlineCallbacks
    def test_reports_name_who_was_meant(self) -> Any:
        server = Server(replies={"EHLO": [WITH_DSN]})
        yield self.run_at(server, Rewrite("all@c.test"), job("a@b.test", notify="SUCCESS"))
        [said] = [line for line in server.commands if line.startswith(b"RCPT")]
        assert said == b"RCPT TO:<all@c.test> NOTIFY=SUCCESS ORCPT=rfc822;a@b.test"

    @inlineCallbacks
    def test_too_many_recipients_of_those_who_are_left(self) -> Any:
        replies = [b"250 ok\r\n", b"452 4.5.3 too many\r\n", b"250 ok\r\n"]
        server = Server(replies={"RCPT": replies})
        lane = yield self.run_at(server, Rewrite(refused="no@"), job("a@b.test", "no@b.test", "c@b.test"))
        assert lane.codes == [250, 550, 250]
        assert len(lane.finished) == 1

    @inlineCallbacks
    def test_header_fields(self) -> Any:
        large = b"Subject: large\r\n\r\n" + b"x" * 70_000 + b"\r\n"
        server = Server()
        jobs = [job(), job(content=Disk(reactor, large)), job(content=Memory(large))]
        lane = yield self.run_at(server, Rewrite(added=b"X-New: 1\r\n"), *jobs)
        assert [content for _, content in server.messages] == [b"X-New: 1\r\n" + one for one in (BODY, large, large)]
        assert [outcome.converted for outcome in lane.outcomes] == [True] * 3
        sizes = [line.split(b"SIZE=")[1].split(b" ")[0] for line in server.commands if line.startswith(b"MAIL")]
        assert sizes == [str(len(content)).encode() for _, content in server.messages]

    @inlineCallbacks
    def test_header_fields_are_looked_through_in_a_thread(self) -> Any:
        threads = set()

        class Slow(Rewrite):
            def header(self, header: bytes, message: Message) -> bytes:
                threads.add(threading.get_ident())
                return header

        lane = yield self.run_at(Server(), Slow(added=b"X-New: 1\r\n"), job())
        assert lane.codes == [250]
        assert threads
        assert threading.get_ident() not in threads

    @inlineCallbacks
    def test_header_and_conversion(self) -> Any:
        server = Server(replies={"EHLO": [b"250-mx.test\r\n250 PIPELINING\r\n"]})
        content = Memory(b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\xc3\xbc\r\n")
        yield self.run_at(server, Rewrite(added=b"X-New: 1\r\n"), job(content=content, body="8BITMIME"))
        [(_, sent)] = server.messages
        assert sent.startswith(b"X-New: 1\r\n")
        assert sent.isascii()

    @inlineCallbacks
    def test_a_defect_defers_and_is_told(self) -> Any:
        for error in ("sender", "header"):
            server = Server()
            lane = yield self.run_at(server, Rewrite(error=error), job(), job())
            assert [(one.kind, one.defect) for one in lane.outcomes] == [(OutcomeKind.DEFERRED, True)] * 2
            assert "MAIL" not in server.verbs
            self.resolver.list.clear()
