"""What a message came with, at next hops that know it and at others."""

from __future__ import annotations

import email
from typing import Any

import attrs
from twisted.internet.defer import Deferred, inlineCallbacks

from tests.delivery.agent_case import AUTHORITY, AgentCase, reactor
from tests.delivery.peers import BODY, Disk, Lane, Memory, Server, ServerCreator, job
from twistedrelay.delivery import fit
from twistedrelay.interfaces import SpoolError
from twistedrelay.values.address import Address
from twistedrelay.values.envelope import DeliverBy, Job, OutcomeKind
from twistedrelay.values.reply import SYSTEM_RESOURCES, Reply
from twistedrelay.values.route import Login

GERMAN = "Subject: x\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße an alle, die dies lesen.\r\n".encode()
BINARY = b"MIME-Version: 1.0\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n\x89PNG\r\n\x1a\n\0\xff"


def ehlo(*keywords: str) -> bytes:
    lines = ["mx.test", *keywords]
    return "".join(f"250{' ' if line is lines[-1] else '-'}{line}\r\n" for line in lines).encode()


class Slow(Disk):
    """Content that is never read."""

    def read(self, offset: int, length: int) -> Deferred[bytes]:
        self.reads.append(offset)
        return Deferred()


class Case(AgentCase):
    """A next hop with some extensions."""

    @inlineCallbacks
    def given(self, job: Job, *keywords: str, lmtp: bool = False) -> Any:
        """Its server and its lane, after a run."""
        server = Server(lmtp=lmtp, replies={"EHLO": [ehlo(*keywords)], "LHLO": [ehlo(*keywords)]})
        self.resolver.list.clear()
        route = self.serve(server)
        lane = Lane(attrs.evolve(route, kind="lmtp") if lmtp else route, job)
        assert (yield self.agent.run(lane)) is None
        return server, lane


class ParameterTests(Case):
    """What is said to a next hop that knows it."""

    @inlineCallbacks
    def test_all_of_them(self) -> Any:
        work = job(
            notify="SUCCESS",
            body="8BITMIME",
            ret="FULL",
            envid="e+1",
            priority=4,
            deliver_by=DeliverBy(10**8, "N"),
            received_at=self.paced.seconds() - 99.5,
        )
        server, lane = yield self.given(work, "PIPELINING", "8BITMIME", "DSN", "DELIVERBY", "MT-PRIORITY", "AUTH PLAIN")
        mail, rcpt = server.commands[1:3]
        assert mail == b"MAIL FROM:<s@a.test> BODY=8BITMIME RET=FULL ENVID=e+2B1 BY=99999900;N MT-PRIORITY=4"
        assert rcpt == b"RCPT TO:<r@b.test> NOTIFY=SUCCESS ORCPT=rfc822;r@b.test"
        assert [outcome.action for outcome in lane.outcomes] == [""]  # the next hop will say it

    @inlineCallbacks
    def test_auth_is_passed_on_for_users_only(self) -> Any:
        with open(f"{self.directory()}/password", "w") as file:
            file.write("secret\n")
        server = Server(replies={"EHLO": [ehlo("PIPELINING", "AUTH PLAIN")]})
        route = attrs.evolve(self.serve(server), login=Login("u", file.name, requires_tls=False))
        anonymous, user = job(auth="boss@a.test"), job(auth="boss@a.test")
        user.message.origin = attrs.evolve(user.message.origin, user="u@a.test")
        yield self.agent.run(Lane(route, anonymous, user))
        said = [line for line in server.commands if line.startswith(b"MAIL")]
        assert said == [b"MAIL FROM:<s@a.test> AUTH=<>", b"MAIL FROM:<s@a.test> AUTH=boss@a.test"]

    @inlineCallbacks
    def test_an_international_domain_goes_as_a_labels(self) -> Any:
        work = job(smtp_utf8=True)
        work.recipients[0].address = Address("r@münchen.example", "r", "xn--mnchen-3ya.example")
        server, lane = yield self.given(work, "PIPELINING")
        assert b"RCPT TO:<r@xn--mnchen-3ya.example>" in server.commands
        assert b"MAIL FROM:<s@a.test>" in server.commands
        assert lane.codes == [250]
        server, _ = yield self.given(work, "PIPELINING", "SMTPUTF8")
        assert "RCPT TO:<r@münchen.example>".encode() in server.commands


class ConversionTests(Case):
    """Content for a next hop that cannot take it."""

    @inlineCallbacks
    def test_8bit_content(self) -> Any:
        server, lane = yield self.given(job(content=Memory(GERMAN), body="8BITMIME"), "PIPELINING", "SIZE")
        ((_, content),) = server.messages
        assert content.isascii()
        assert email.message_from_bytes(content).get_payload(decode=True) == GERMAN.partition(b"\r\n\r\n")[2]
        assert f"MAIL FROM:<s@a.test> SIZE={len(content)}".encode() in server.commands
        assert lane.codes == [250]

    @inlineCallbacks
    def test_ascii_content_stays_as_it_is(self) -> Any:
        server, _ = yield self.given(job(body="8BITMIME"), "PIPELINING")
        assert server.messages == [([b"r@b.test"], BODY)]

    @inlineCallbacks
    def test_what_never_said_it_was_8bit_stays_as_it_is(self) -> Any:
        server, _ = yield self.given(job(content=Memory(GERMAN)), "PIPELINING")
        assert server.messages == [([b"r@b.test"], GERMAN)]

    @inlineCallbacks
    def test_large_content_passes_through_a_file(self) -> Any:
        data = GERMAN + "Zeile für Zeile kommt hier viel Text.\r\n".encode() * 60_000
        server, lane = yield self.given(job(content=Disk(reactor, data), body="8BITMIME"), "PIPELINING")
        ((_, content),) = server.messages
        assert len(content) > fit.MEMORY
        assert email.message_from_bytes(content).get_payload(decode=True) == data.partition(b"\r\n\r\n")[2]
        assert lane.codes == [250]

    @inlineCallbacks
    def test_no_octet_of_a_large_result_stays_behind_in_a_buffer(self) -> Any:
        for size in (fit.MEMORY, fit.MEMORY * 3 + 5):
            data = b"Subject: x\r\n\r\n" + b"z" * size
            server, lane = yield self.given(job(content=Disk(reactor, data), body="BINARYMIME"), "PIPELINING")
            ((_, content),) = server.messages
            assert email.message_from_bytes(content).get_payload(decode=True) == data.partition(b"\r\n\r\n")[2]
            assert lane.codes == [250]

    @inlineCallbacks
    def test_binary_content(self) -> Any:
        server, _ = yield self.given(job(content=Memory(BINARY), body="BINARYMIME"), "PIPELINING", "CHUNKING", "BINARYMIME")
        assert server.messages == [([b"r@b.test"], BINARY)]
        assert server.commands[1:4] == [b"MAIL FROM:<s@a.test> BODY=BINARYMIME", b"RCPT TO:<r@b.test>", b"BDAT %d LAST" % len(BINARY)]
        for keywords in (("PIPELINING",), ("8BITMIME",), ("BINARYMIME", "8BITMIME")):
            server, _ = yield self.given(job(content=Memory(BINARY), body="BINARYMIME"), *keywords)
            assert email.message_from_bytes(server.messages[0][1]).get_payload(decode=True) == BINARY.partition(b"\r\n\r\n")[2]

    @inlineCallbacks
    def test_what_cannot_be_converted_returns_and_the_next_one_goes(self) -> Any:
        signed = b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\xfc\r\n--b--\r\n"
        server = Server(replies={"EHLO": [ehlo("PIPELINING")]})
        lane = Lane(self.serve(server), job(content=Memory(signed), body="8BITMIME"), job())
        yield self.agent.run(lane)
        assert next((one.kind, one.reply.enhanced) for one in lane.outcomes) == (OutcomeKind.FAILED, "5.6.3")
        assert (lane.codes[1], len(server.messages)) == (250, 1)

    @inlineCallbacks
    def test_international_headers_return(self) -> Any:
        _, lane = yield self.given(job(content=Memory("Subject: Grüße\r\n\r\n".encode()), smtp_utf8=True), "PIPELINING", "8BITMIME")
        assert [(one.kind, one.reply) for one in lane.outcomes] == [(OutcomeKind.FAILED, fit.UTF8_HEADER)]

    @inlineCallbacks
    def test_content_that_cannot_be_read_waits(self) -> Any:
        content = Disk(reactor, GERMAN * 10, SpoolError("sick", SYSTEM_RESOURCES), 0)
        _, lane = yield self.given(job(content=content, body="8BITMIME"), "PIPELINING")
        assert [(one.kind, one.reply) for one in lane.outcomes] == [(OutcomeKind.DEFERRED, SYSTEM_RESOURCES)]

    @inlineCallbacks
    def test_a_message_whose_connection_ends_meanwhile_is_given_back(self) -> Any:
        server = Server(replies={"EHLO": [ehlo("PIPELINING")]})
        work = job(content=Slow(reactor, GERMAN), body="8BITMIME")
        lane = Lane(self.serve(server), work)
        running = self.agent.run(lane)
        yield self.until(lambda: work.message.content.reads)
        for connection in list(self.agent._connections):
            connection.abort(Reply(451, "4.4.2", "gone"))
        yield running
        assert lane.given_back == [work]
        assert not lane.outcomes


class SuccessTests(Case):
    """Who tells a sender of success."""

    @inlineCallbacks
    def test_actions(self) -> Any:
        by = DeliverBy(10**10, "N")
        cases: list[tuple[Job, tuple[str, ...], bool, str]] = [
            (job(notify="SUCCESS"), (), False, "relayed"),
            (job(notify="SUCCESS"), ("DSN",), False, ""),
            (job(notify="SUCCESS,FAILURE"), (), True, "delivered"),
            (job(notify="SUCCESS"), ("DSN",), True, ""),
            (job(notify="FAILURE"), (), False, ""),
            (job(), (), False, ""),
            (job(deliver_by=by), (), False, "relayed"),
            (job(deliver_by=by, notify="FAILURE"), (), False, "relayed"),  # whatever NOTIFY says but NEVER
            (job(deliver_by=by, notify="NEVER"), (), False, ""),
            (job(deliver_by=DeliverBy(-5, "N")), (), False, ""),  # its time was over before
            (job(deliver_by=by), ("DELIVERBY",), False, ""),
            (job(deliver_by=attrs.evolve(by, trace=True)), ("DELIVERBY",), False, "relayed"),
            (job(deliver_by=attrs.evolve(by, trace=True), notify="NEVER"), (), False, ""),
            (job(deliver_by=by), (), True, ""),
        ]
        for work, keywords, lmtp, action in cases:
            _, lane = yield self.given(work, "PIPELINING", *keywords, lmtp=lmtp)
            assert [one.action for one in lane.outcomes] == [action], (work.message.parameters, work.recipients, keywords)

    @inlineCallbacks
    def test_what_is_refused_has_no_action(self) -> Any:
        lane = Lane(self.serve(Server(replies={"RCPT": [b"550 no\r\n"]})), job(notify="SUCCESS"))
        yield self.agent.run(lane)
        assert lane.outcomes[0].action == ""


class RequireTLSTests(AgentCase):
    """REQUIRETLS: a proven next hop that knows it, or none."""

    def hop(self, *keywords: str, name: str = "mx.test", tls: bool = True, proven: bool = True) -> Server:
        offered = ehlo(*keywords, *(["STARTTLS"] if tls else []))
        server = Server(tls=ServerCreator(AUTHORITY, name), replies={"EHLO": [offered, ehlo("PIPELINING", *keywords)]})
        self.route = attrs.evolve(self.serve(server), require_tls=True)
        self.resolver.list[-1] = attrs.evolve(self.resolver.list[-1], proven=proven)
        return server

    @inlineCallbacks
    def test_the_second_host_fits(self) -> Any:
        self.hop("PIPELINING")
        self.hop("REQUIRETLS", name="other.test")
        self.hop("REQUIRETLS", tls=False)
        self.hop("REQUIRETLS", proven=False)
        good = self.hop("REQUIRETLS")
        lane = Lane(self.route, job(require_tls=True))
        assert (yield self.agent.run(lane)) is None
        assert lane.codes == [250]
        assert b"MAIL FROM:<s@a.test> REQUIRETLS" in good.commands

    @inlineCallbacks
    def check(self, enhanced: str) -> Any:
        lane = Lane(self.route, job(require_tls=True))
        reply = yield self.agent.run(lane)
        assert (reply.code, reply.enhanced) == (550, enhanced)
        assert len(lane.jobs) == 1

    def test_not_offered(self) -> Any:
        self.hop("PIPELINING")
        return self.check("5.7.30")

    def test_no_starttls(self) -> Any:
        self.hop("REQUIRETLS", tls=False)
        return self.check("5.7.10")

    def test_a_certificate_for_another_name(self) -> Any:
        self.hop("REQUIRETLS", name="other.test")
        return self.check("5.7.10")

    def test_a_name_from_an_unsigned_answer(self) -> Any:
        self.hop("REQUIRETLS", proven=False)
        return self.check("5.7.10")

    @inlineCallbacks
    def test_a_host_that_may_come_back_is_waited_for(self) -> Any:
        self.hop("PIPELINING")
        server = self.hop("REQUIRETLS")
        server.script.replies["banner"] = [b"554 5.3.2 not now\r\n"]
        reply = yield self.agent.run(Lane(self.route, job(require_tls=True)))
        assert reply.is_transient
