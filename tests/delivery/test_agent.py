"""Delivery runs against scripted servers on real sockets."""

from __future__ import annotations

import os
import socket
import tempfile
from typing import Any

import trustme
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from tests.delivery.peers import BODY, Disk, Events, Lane, Memory, Resolver, Server, ServerCreator, creators, job, route
from twistedrelay.delivery import deadlines
from twistedrelay.delivery.agent import DeliveryAgent
from twistedrelay.delivery.session import LIMITS
from twistedrelay.interfaces import IAttempt, ResolutionError, SpoolError
from twistedrelay.values.envelope import OutcomeKind
from twistedrelay.values.reply import SYSTEM_RESOURCES, Reply
from twistedrelay.values.route import Hop, Login, Route, Target, TLSPolicy
from twistedrelay.wire.client_values import Stage

reactor: Any = installed
AUTHORITY = trustme.CA()


class AgentCase(TestCase):
    """An agent, servers, and an end of all of them."""

    timeout = 10

    def setUp(self) -> None:
        patch: Any = self.patch
        patch(deadlines, "SWEEP", 0.02)
        self.events = Events()
        self.resolver = Resolver()
        self.agent = self.make_agent()

    def directory(self) -> str:
        made = tempfile.TemporaryDirectory()
        self.addCleanup(made.cleanup)
        return made.name

    def make_agent(self, **more: Any) -> DeliveryAgent:
        agent = DeliveryAgent(reactor, self.resolver, creators(AUTHORITY), self.events, **more)
        self.addCleanup(agent.stop, 0)
        return agent

    def serve(self, server: Server, host: str = "mx.test") -> Route:
        port = reactor.listenTCP(0, server, interface="127.0.0.1")
        port.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)  # so that back-pressure is felt soon
        self.addCleanup(self.close, port, server)
        number = port.getHost().port
        self.resolver.list.append(Target(host, "127.0.0.1", number))
        return route(number)

    async def _closed(self, port: Any, server: Server) -> None:
        await port.stopListening()
        for session in server.sessions:
            session.transport.abortConnection()
        while server.closed < len(server.sessions):
            await deferLater(reactor, 0.005)

    def close(self, port: Any, server: Server) -> Deferred[None]:
        return Deferred.fromCoroutine(self._closed(port, server))

    @inlineCallbacks
    def until(self, condition: Any) -> Any:
        while not condition():
            yield deferLater(reactor, 0.005)


class DeliveryTests(AgentCase):
    """What a run does with messages."""

    def test_provides_its_interface(self) -> None:
        verifyObject(IAttempt, self.agent)

    @inlineCallbacks
    def test_a_message_arrives_octet_for_octet(self) -> Any:
        server = Server()
        lane = Lane(self.serve(server), job(content=Memory(b"a: b\r\n\r\n", b".dot\r\n..\r\nend")))
        assert (yield self.agent.run(lane)) is None
        assert server.messages == [([b"r@b.test"], b"a: b\r\n\r\n.dot\r\n..\r\nend\r\n")]
        (outcome,) = lane.outcomes
        assert outcome.kind == OutcomeKind.DELIVERED
        assert outcome.reply == Reply(250, "2.0.0", "taken")
        assert outcome.remote == str(self.resolver.list[0])
        assert outcome.tls == ""
        assert self.events.connectivity == ["connected"]

    @inlineCallbacks
    def test_body_dot_and_next_envelope_share_a_packet(self) -> Any:
        server = Server()
        lane = Lane(self.serve(server), job("one@b"), job("two@b"), job("three@b"))
        yield self.agent.run(lane)
        assert len(server.messages) == 3
        packets = [packet for packet in server.packets if packet.endswith(b"DATA\r\n")]
        assert packets[1] == BODY + b".\r\n" + packets[0].replace(b"one@b", b"two@b")
        assert server.verbs.count("RSET") == 0

    @inlineCallbacks
    def test_without_pipelining(self) -> Any:
        server = Server(replies={"EHLO": [b"250 mx.test\r\n"]})
        lane = Lane(self.serve(server), job("a@b", "c@b"), job())
        yield self.agent.run(lane)
        assert lane.codes == [250, 250, 250]
        assert all(packet.count(b"\r\n") == 1 or packet.endswith(b"\r\n.\r\n") for packet in server.packets)

    @inlineCallbacks
    def test_ehlo_refused_then_helo(self) -> Any:
        server = Server(replies={"EHLO": [b"500 what\r\n"]})
        lane = Lane(self.serve(server), job())
        yield self.agent.run(lane)
        assert lane.codes == [250]
        assert server.verbs[:2] == ["EHLO", "HELO"]

    @inlineCallbacks
    def test_mixed_recipients(self) -> Any:
        server = Server(replies={"RCPT": [b"250 ok\r\n", b"550 5.1.1 no\r\n", b"450 later\r\n"]})
        lane = Lane(self.serve(server), job("a@b", "c@b", "d@b"))
        yield self.agent.run(lane)
        assert [outcome.kind for outcome in lane.outcomes] == [OutcomeKind.DELIVERED, OutcomeKind.FAILED, OutcomeKind.DEFERRED]

    @inlineCallbacks
    def test_connection_is_kept_for_the_next_run(self) -> Any:
        server = Server()
        way = self.serve(server)
        yield self.agent.run(Lane(way, job()))
        yield self.agent.run(Lane(way, job()))
        assert (len(server.sessions), len(server.messages)) == (1, 2)

    @inlineCallbacks
    def test_kept_connection_is_not_used_under_another_tls_rule(self) -> Any:
        server = Server()
        way = self.serve(server)
        yield self.agent.run(Lane(way, job()))
        yield self.agent.run(Lane(route(self.resolver.list[0].port, tls=TLSPolicy("none")), job()))
        assert len(server.sessions) == 2

    @inlineCallbacks
    def test_kept_connection_that_the_server_closed_leaves_the_pool(self) -> Any:
        server = Server()
        way = self.serve(server)
        yield self.agent.run(Lane(way, job()))
        server.sessions[0].transport.write(b"421 idle\r\n")
        server.sessions[0].transport.loseConnection()
        yield self.until(lambda: "closed" in self.events.connectivity)
        lane = Lane(way, job())
        yield self.agent.run(lane)
        assert (lane.codes, lane.given_back, len(server.sessions)) == ([250], [], 2)

    @inlineCallbacks
    def test_kept_connection_that_died_is_a_clean_new_try(self) -> Any:
        server = Server(replies={"MAIL": [b"250 ok\r\n", None, b"250 ok\r\n"]})
        way = self.serve(server)
        yield self.agent.run(Lane(way, job()))
        second = job()
        lane = Lane(way, second)
        assert (yield self.agent.run(lane)) is None
        assert (lane.codes, lane.given_back) == ([250], [second])
        assert len(server.messages) == 2

    @inlineCallbacks
    def test_max_messages_per_connection(self) -> Any:
        server = Server()
        port = self.serve(server).next_hop.partition(":")[2]
        lane = Lane(route(int(port), max_messages_per_connection=2), *(job() for _ in range(5)))
        yield self.agent.run(lane)
        assert (lane.codes, len(server.sessions)) == ([250] * 5, 3)
        assert server.verbs.count("QUIT") == 2

    @inlineCallbacks
    def test_more_jobs_than_memory_of_the_stack(self) -> Any:
        server = Server()
        lane = Lane(self.serve(server), *(job() for _ in range(1500)))
        yield self.agent.run(lane)
        assert (len(lane.outcomes), len(server.sessions)) == (1500, 2)

    @inlineCallbacks
    def test_messages_refused_for_their_size_do_not_stop_the_run(self) -> Any:
        server = Server(replies={"EHLO": [b"250-mx\r\n250-PIPELINING\r\n250 SIZE 100\r\n"]})
        big = Memory(b"x" * 101)
        lane = Lane(self.serve(server), job(content=big), job(), job(content=big), job(content=big), job())
        yield self.agent.run(lane)
        assert sorted(lane.codes) == [250, 250, 552, 552, 552]
        assert len(server.messages) == 2


class BrokenConnectionTests(AgentCase):
    """What is known about a message when its connection ends."""

    @inlineCallbacks
    def check_first(self, verb: str, reply: bytes | None, uncertain: bool, code: int) -> Any:
        server = Server(replies={verb: [reply]})
        lane = Lane(self.serve(server), job())
        assert (yield self.agent.run(lane)) is None
        (outcome,) = lane.outcomes
        assert (outcome.reply.code, outcome.uncertain, outcome.kind) == (code, uncertain, OutcomeKind.DEFERRED)
        assert outcome.remote == ("" if reply is None else str(self.resolver.list[0]))

    def test_closed_at_mail(self) -> Any:
        return self.check_first("MAIL", None, False, 451)

    def test_closed_at_rcpt(self) -> Any:
        return self.check_first("RCPT", None, False, 451)

    def test_closed_at_data_is_a_clean_defer(self) -> Any:
        return self.check_first("DATA", None, False, 451)

    def test_closed_after_the_dot_is_uncertain(self) -> Any:
        return self.check_first(".", None, True, 451)

    def test_421_at_mail(self) -> Any:
        return self.check_first("MAIL", b"421 bye\r\n", False, 421)

    def test_421_at_rcpt(self) -> Any:
        return self.check_first("RCPT", b"421 bye\r\n", False, 421)

    def test_421_at_data(self) -> Any:
        return self.check_first("DATA", b"421 bye\r\n", False, 421)

    def test_421_after_the_dot_is_certain(self) -> Any:
        return self.check_first(".", b"421 bye\r\n", False, 421)

    @inlineCallbacks
    def test_envelope_behind_a_lost_dot_is_given_back(self) -> Any:
        server = Server(replies={".": [None]})
        first, second = job(), job()
        lane = Lane(self.serve(server), first, second)
        yield self.agent.run(lane)
        assert (lane.finished, lane.given_back) == ([first], [second])
        assert lane.outcomes[0].uncertain

    @inlineCallbacks
    def test_session_that_ends_before_any_message_is_no_connection(self) -> Any:
        """Else the schedule would come back at once, for ever."""
        server = Server(replies={"EHLO": [b"250 mx\r\n421 changed my mind\r\n"]})
        lane = Lane(self.serve(server), job())
        reply = yield self.agent.run(lane)
        assert (reply, len(lane.jobs)) == (Reply(421, "", "changed my mind"), 1)

    @inlineCallbacks
    def test_silence_after_the_dot_times_out(self) -> Any:
        self.agent = self.make_agent(limits={**LIMITS, Stage.END: 0.1})
        lane = Lane(self.serve(Server(replies={".": [b""]})), job())
        yield self.agent.run(lane)
        assert lane.outcomes[0].reply.text == "Timed out while waiting for end of data"
        assert lane.outcomes[0].uncertain

    @inlineCallbacks
    def test_single_octets_buy_no_time(self) -> Any:
        self.agent = self.make_agent(limits={**LIMITS, Stage.BANNER: 0.1})

        def trickle(session: Any) -> bytes:
            session.transport.write(b"220-")
            later.extend(reactor.callLater(number * 0.05, session.transport.write, b"x") for number in range(1000))
            return b""

        later: list[Any] = []
        self.addCleanup(lambda: [call.cancel() for call in later if call.active()])
        reply = yield self.agent.run(Lane(self.serve(Server(replies={"banner": [trickle]})), job()))
        assert reply.text == "Timed out while waiting for banner"

    @inlineCallbacks
    def test_idle_connection_ends_in_good_order(self) -> Any:
        self.agent = self.make_agent(limits={**LIMITS, Stage.IDLE: 0.1})
        server = Server()
        yield self.agent.run(Lane(self.serve(server), job()))
        yield self.until(lambda: server.closed)
        assert server.verbs[-1] == "QUIT"


class TargetTests(AgentCase):
    """Which address is tried, and what is said when none does."""

    @inlineCallbacks
    def test_next_target_after_a_refused_connection_and_a_bad_banner(self) -> Any:
        self.resolver.list.append(Target("dead.test", "127.0.0.1", 1))
        self.serve(Server(replies={"banner": [b"554 no\r\n"]}))
        self.serve(Server(replies={"banner": [b"421 busy\r\n"]}))
        good = Server()
        lane = Lane(self.serve(good), job())
        assert (yield self.agent.run(lane)) is None
        assert (lane.codes, len(good.messages)) == ([250], 1)
        assert self.events.connectivity == ["failed", "failed", "failed", "connected"]

    @inlineCallbacks
    def test_all_failed_prefers_4xx(self) -> Any:
        self.serve(Server(replies={"banner": [b"554 no\r\n"]}))
        lane = Lane(self.serve(Server(replies={"banner": [b"421 4.3.2 busy\r\n"]})), job())
        assert (yield self.agent.run(lane)) == Reply(421, "4.3.2", "busy")
        assert len(lane.jobs) == 1

    @inlineCallbacks
    def test_all_refused_for_good(self) -> Any:
        lane = Lane(self.serve(Server(replies={"banner": [b"554 5.3.2 no\r\n"]})), job())
        assert (yield self.agent.run(lane)) == Reply(554, "5.3.2", "no")

    @inlineCallbacks
    def test_nobody_listens(self) -> Any:
        self.resolver.list.append(Target("dead.test", "127.0.0.1", 1))
        reply = yield self.agent.run(Lane(route(), job()))
        assert (reply.code, reply.enhanced) == (451, "4.4.1")
        assert "dead.test [127.0.0.1]:1" in reply.text

    @inlineCallbacks
    def test_no_address(self) -> Any:
        assert (yield self.agent.run(Lane(route(), job()))).is_transient

    @inlineCallbacks
    def test_resolution_fails(self) -> Any:
        self.resolver.error = ResolutionError(Reply(556, "5.1.10", "Null MX"))
        assert (yield self.agent.run(Lane(route(), job()))) == Reply(556, "5.1.10", "Null MX")

    @inlineCallbacks
    def test_a_resolver_that_breaks_is_a_4xx(self) -> Any:
        self.resolver.error = ZeroDivisionError("oops")
        assert (yield self.agent.run(Lane(route(), job()))).is_transient


class ContentTests(AgentCase):
    """Large content, and content that cannot be read."""

    @inlineCallbacks
    def test_large_content_from_disk_with_back_pressure(self) -> Any:
        data = b"".join(b".%09d %s\r\n" % (number, b"x" * 900) for number in range(9000))
        pieces = -(-len(data) // (256 * 1024))
        content = Disk(reactor, data)
        read_while_paused: list[int] = []

        def pause(session: Any) -> bytes:
            session.transport.pauseProducing()
            reactor.callLater(0.2, resume, session)
            return b"354 go\r\n"

        def resume(session: Any) -> None:
            read_while_paused.append(len(content.reads))
            session.transport.resumeProducing()

        server = Server(replies={"DATA": [pause, b"354 go\r\n"]})
        lane = Lane(self.serve(server), job(content=content), job())
        yield self.agent.run(lane)
        assert lane.codes == [250, 250]
        assert server.messages[0][1] == data
        assert server.messages[1][1] == BODY
        assert read_while_paused[0] < pieces
        assert len(content.reads) == pieces

    @inlineCallbacks
    def test_large_content_from_memory(self) -> Any:
        data = b"x" * 70 + b"\r\n"
        server = Server()
        lane = Lane(self.serve(server), job(content=Memory(data * 8000, data * 8000)), job())
        yield self.agent.run(lane)
        assert (server.messages[0][1], lane.codes) == (data * 16000, [250, 250])

    @inlineCallbacks
    def test_content_that_cannot_be_read_never_gets_its_dot(self) -> Any:
        server = Server()
        content = Disk(reactor, b"x\r\n" * 300000, SpoolError("EIO", SYSTEM_RESOURCES), 256 * 1024)
        lane = Lane(self.serve(server), job(content=content))
        yield self.agent.run(lane)
        (outcome,) = lane.outcomes
        assert (outcome.reply, outcome.kind, outcome.uncertain) == (SYSTEM_RESOURCES, OutcomeKind.DEFERRED, False)
        assert (outcome.remote, server.messages) == ("", [])

    @inlineCallbacks
    def test_content_shorter_than_its_size_never_gets_its_dot(self) -> Any:
        server = Server()
        content = Disk(reactor, b"x\r\n" * 100000)
        content.size += 1
        lane = Lane(self.serve(server), job(content=content))
        yield self.agent.run(lane)
        assert (lane.codes, server.messages) == ([451], [])

    @inlineCallbacks
    def test_early_refusal_of_large_content(self) -> Any:
        server = Server(replies={"DATA": [b"354 go\r\n552 5.3.4 too big\r\n"]})
        lane = Lane(self.serve(server), job(content=Disk(reactor, b"x\r\n" * 1000000)))
        yield self.agent.run(lane)
        assert lane.codes == [552]

    @inlineCallbacks
    def test_peer_that_stops_reading_times_out(self) -> Any:
        self.agent = self.make_agent(limits={**LIMITS, Stage.CONTENT: 0.3})

        def stop(session: Any) -> bytes:
            session.transport.pauseProducing()
            return b"354 go\r\n"

        lane = Lane(self.serve(Server(replies={"DATA": [stop]})), job(content=Disk(reactor, b"x\r\n" * 10000000)))
        yield self.agent.run(lane)
        assert lane.outcomes[0].reply.text == "Timed out while waiting for content"
        assert not lane.outcomes[0].uncertain


class TLSTests(AgentCase):
    """STARTTLS and implicit TLS at each level."""

    OFFER = b"250-mx.test\r\n250-PIPELINING\r\n250 STARTTLS\r\n"

    def tls_server(self, name: str = "mx.test", authority: trustme.CA = AUTHORITY, **more: Any) -> Server:
        return Server(tls=ServerCreator(authority, name), **{"replies": {"EHLO": [self.OFFER]}, **more})

    @inlineCallbacks
    def run_at(self, server: Server, **more: Any) -> Any:
        self.serve(server)
        lane = Lane(route(self.resolver.list[-1].port, **more), job())
        reply = yield self.agent.run(lane)
        return lane, reply

    @inlineCallbacks
    def test_opportunistic(self) -> Any:
        lane, _ = yield self.run_at(self.tls_server(authority=trustme.CA()))
        assert lane.codes == [250]
        assert lane.outcomes[0].tls.startswith("TLSv1.")

    @inlineCallbacks
    def test_never(self) -> Any:
        server = self.tls_server()
        lane, _ = yield self.run_at(server, tls=TLSPolicy("none"))
        assert (lane.codes, lane.outcomes[0].tls) == ([250], "")
        assert "STARTTLS" not in server.verbs

    @inlineCallbacks
    def test_verified(self) -> Any:
        lane, _ = yield self.run_at(self.tls_server(), tls=TLSPolicy("domain"))
        assert lane.codes == [250]

    @inlineCallbacks
    def test_large_content_over_tls(self) -> Any:
        data = b"x" * 70 + b"\r\n"
        server = self.tls_server()
        self.serve(server)
        way = route(self.resolver.list[0].port)
        lane = Lane(way, job(content=Disk(reactor, data * 40000)), job(), job(content=Memory(data * 20000)), job())
        yield self.agent.run(lane)
        assert lane.codes == [250] * 4
        assert server.messages[0][1] == data * 40000
        assert len(server.sessions) == 1

    @inlineCallbacks
    def test_wrong_name_or_issuer_waits(self) -> Any:
        for server in (self.tls_server("other.test"), self.tls_server(authority=trustme.CA())):
            self.resolver.list.clear()
            lane, reply = yield self.run_at(server, tls=TLSPolicy("domain"))
            assert reply.is_transient
            assert (lane.outcomes, server.messages, len(server.sessions)) == ([], [], 1)
            assert server.verbs == ["EHLO", "STARTTLS"]

    @inlineCallbacks
    def test_failed_handshake_is_tried_once_in_clear_text_where_it_may(self) -> Any:
        """A.2.22: optional TLS that fails does not stop mail."""
        self.agent = self.make_agent(limits={**LIMITS, Stage.HANDSHAKE: 0.1})
        server = Server(replies={"EHLO": [self.OFFER], "STARTTLS": [b"220 ready\r\n"]})  # and then no TLS
        lane, _ = yield self.run_at(server)
        assert (lane.codes, len(server.sessions)) == ([250], 2)

    @inlineCallbacks
    def test_failed_handshake_waits_where_it_must(self) -> Any:
        self.agent = self.make_agent(limits={**LIMITS, Stage.HANDSHAKE: 0.1})
        server = Server(replies={"EHLO": [self.OFFER], "STARTTLS": [b"220 ready\r\n"]})
        lane, reply = yield self.run_at(server, tls=TLSPolicy("encrypt"))
        assert reply.is_transient
        assert (lane.outcomes, len(server.sessions)) == ([], 1)

    @inlineCallbacks
    def test_response_injection_is_no_reason_for_clear_text(self) -> Any:
        """T2: what a man in the middle puts behind the 220 ends the session."""
        server = self.tls_server(replies={"EHLO": [self.OFFER], "STARTTLS": [b"220 go\r\n250-evil\r\n250 AUTH PLAIN\r\n"]})
        lane, reply = yield self.run_at(server)
        assert "injection" in reply.text
        assert (lane.outcomes, len(server.sessions), server.verbs) == ([], 1, ["EHLO", "STARTTLS"])

    @inlineCallbacks
    def test_implicit(self) -> Any:
        server = self.tls_server(implicit=True)
        lane, _ = yield self.run_at(server, implicit_tls=True, tls=TLSPolicy("domain"))
        assert lane.codes == [250]
        assert "STARTTLS" not in server.verbs
        assert lane.outcomes[0].tls

    @inlineCallbacks
    def test_implicit_never_falls_back(self) -> Any:
        server = Server()
        self.agent = self.make_agent(limits={**LIMITS, Stage.BANNER: 0.1})
        _, reply = yield self.run_at(server, implicit_tls=True)
        assert reply.is_transient
        assert len(server.sessions) == 1


class LoginTests(AgentCase):
    """Logins at smart hosts."""

    OFFER = b"250-mx.test\r\n250-PIPELINING\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n"

    def login(self, requires_tls: bool = True) -> Login:
        path = os.path.join(self.directory(), "password")
        with open(path, "w", encoding="utf-8") as file:
            file.write("secret\nsecond line\n")
        return Login("user", path, requires_tls)

    @inlineCallbacks
    def test_over_tls(self) -> Any:
        server = Server(tls=ServerCreator(AUTHORITY, "mx.test"), replies={"EHLO": [self.OFFER]})
        self.serve(server)
        lane = Lane(route(self.resolver.list[0].port, login=self.login(), tls=TLSPolicy("domain")), job())
        yield self.agent.run(lane)
        assert lane.codes == [250]
        assert b"AUTH PLAIN AHVzZXIAc2VjcmV0" in server.commands

    @inlineCallbacks
    def test_never_in_clear_text(self) -> Any:
        server = Server(replies={"EHLO": [b"250-mx\r\n250 AUTH PLAIN\r\n"]})
        self.serve(server)
        reply = yield self.agent.run(Lane(route(login=self.login()), job()))
        assert (reply.code, server.verbs) == (454, ["EHLO"])

    @inlineCallbacks
    def test_refused_login_waits_and_tries_no_other_host(self) -> Any:
        refusal = {"EHLO": [b"250-mx\r\n250 AUTH PLAIN\r\n"], "AUTH": [b"535 5.7.8 no\r\n"]}
        first, second = Server(replies=refusal), Server(replies=refusal)
        self.serve(first)
        self.serve(second)
        reply = yield self.agent.run(Lane(route(login=self.login(requires_tls=False)), job()))
        assert (reply.code, reply.text) == (454, "Login refused by the server: 535 5.7.8 no")
        assert (len(first.sessions), len(second.sessions)) == (1, 0)
        assert "secret" not in repr(self.events.all)

    @inlineCallbacks
    def test_password_file_that_is_missing(self) -> Any:
        self.serve(Server())
        reply = yield self.agent.run(Lane(route(login=Login("user", "/nonexistent")), job()))
        assert reply.code == 454


class LMTPTests(AgentCase):
    """LMTP over TCP and over a UNIX socket."""

    @inlineCallbacks
    def test_tcp_with_a_reply_for_each_recipient(self) -> Any:
        server = Server(lmtp=True, replies={".": [b"250 ok\r\n", b"452 4.2.2 full\r\n", b"250 ok\r\n"]})
        port = int(self.serve(server).next_hop.partition(":")[2])
        way = route(port, kind="lmtp", hops=(Hop("127.0.0.1", port),))
        lane = Lane(way, job("a@b", "c@b"), job())
        yield self.agent.run(lane)
        assert lane.codes == [250, 452, 250]
        assert server.verbs[0] == "LHLO"

    @inlineCallbacks
    def test_unix_socket(self) -> Any:
        server = Server(lmtp=True)
        path = os.path.join(self.directory(), "lmtp")
        port = reactor.listenUNIX(path, server)
        self.addCleanup(self.close, port, server)
        way = Route("", f"lmtp:unix:{path}", "SmtpDeliveryToMailbox", kind="lmtp", path=path)
        lane = Lane(way, job(), job())
        yield self.agent.run(lane)
        assert (lane.codes, lane.outcomes[0].remote) == ([250, 250], path)

    @inlineCallbacks
    def test_unix_socket_without_a_server(self) -> Any:
        way = Route("", "x", "SmtpDeliveryToMailbox", kind="lmtp", path="/nonexistent")
        assert (yield self.agent.run(Lane(way, job()))).is_transient


class StopTests(AgentCase):
    """The end of delivery."""

    @inlineCallbacks
    def test_idle_connections_are_closed(self) -> Any:
        server = Server()
        yield self.agent.run(Lane(self.serve(server), job()))
        yield self.agent.stop(5)
        yield self.until(lambda: server.closed)
        assert server.verbs[-1] == "QUIT"

    @inlineCallbacks
    def test_running_transactions_may_end(self) -> Any:
        held: list[Any] = []

        def hold(session: Any) -> bytes:
            held.append(session)
            return b""

        lane = Lane(self.serve(Server(replies={".": [hold]})), job(), job(), job())
        finished = self.agent.run(lane)
        yield self.until(lambda: held)
        stopped = self.agent.stop(5)
        assert not stopped.called
        held[0].release(b"250 ok\r\n")
        yield self.until(lambda: len(held) == 2)  # its envelope was said before the stop
        held[1].release(b"250 ok\r\n")
        yield stopped
        yield finished
        assert (lane.codes, len(lane.jobs)) == ([250, 250], 1)

    @inlineCallbacks
    def test_time_is_over(self) -> Any:
        lane = Lane(self.serve(Server(replies={".": [b""]})), job(), job(), job())
        finished = self.agent.run(lane)
        yield self.until(lambda: len(lane.jobs) == 1)
        yield self.agent.stop(0.05)
        yield finished
        assert lane.outcomes[0].uncertain
        assert len(lane.jobs) == 2

    @inlineCallbacks
    def test_connections_that_are_being_made_are_given_up(self) -> Any:
        server = Server(replies={"banner": [b""]})
        lane = Lane(self.serve(server), job())
        finished = self.agent.run(lane)
        yield self.until(lambda: server.sessions)
        yield self.agent.stop(5)
        assert (yield finished).code == 421
        assert len(lane.jobs) == 1

    @inlineCallbacks
    def test_giving_up_a_connection_tries_no_other_address(self) -> Any:
        slow, second = Server(replies={"banner": [b""]}), Server()
        self.serve(slow)
        lane = Lane(self.serve(second), job())
        finished = self.agent.run(lane)
        yield self.until(lambda: slow.sessions)
        yield self.agent.stop(5)
        assert (yield finished).code == 421
        yield self.until(lambda: slow.closed)
        assert second.sessions == []

    @inlineCallbacks
    def test_giving_up_a_connect_tries_no_other_address(self) -> Any:
        second = Server()
        self.serve(Server())
        lane = Lane(self.serve(second), job())
        finished = self.agent.run(lane)
        yield self.agent.stop(5)
        assert (yield finished).code == 421
        assert second.sessions == []

    @inlineCallbacks
    def test_giving_up_a_handshake_is_no_reason_for_clear_text(self) -> Any:
        server = Server(replies={"EHLO": [TLSTests.OFFER], "STARTTLS": [b"220 ready\r\n"]})
        finished = self.agent.run(Lane(self.serve(server), job()))
        yield self.until(lambda: "STARTTLS" in server.verbs)
        yield self.agent.stop(5)
        assert (yield finished).code == 421
        yield self.until(lambda: server.closed)
        assert len(server.sessions) == 1

    @inlineCallbacks
    def test_no_run_after_it(self) -> Any:
        yield self.agent.stop(0)
        assert (yield self.agent.run(Lane(route(), job()))).code == 421
