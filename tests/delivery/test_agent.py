"""Delivery runs against scripted servers on real sockets."""

from __future__ import annotations

import os
from typing import Any

import attrs
from twisted.internet.defer import inlineCallbacks
from zope.interface.verify import verifyObject

from tests.delivery.agent_case import AgentCase, reactor
from tests.delivery.peers import BODY, Lane, Memory, Server, job, route
from twistedrelay.interfaces import IAttempt
from twistedrelay.values.envelope import OutcomeKind
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Hop, Route, TLSPolicy


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
    def test_a_connection_ends_where_the_way_of_its_lane_becomes_another_one(self) -> Any:
        server = Server()
        way = self.serve(server)

        class Changing(Lane):
            """Its way is another one, or only another object, behind the first job."""

            def done(self, job: Any, outcomes: Any) -> None:
                super().done(job, outcomes)
                self.route = after

        for after in (attrs.evolve(way), attrs.evolve(way, tls=TLSPolicy("none"))):
            lane = Changing(way, job(), job(), job())
            assert (yield self.agent.run(lane)) is None
            left = len(lane.jobs)
            yield self.agent.run(lane)
            assert (lane.codes, len(lane.jobs)) == ([250, 250, 250], 0)
            assert bool(left) == (after.tls != way.tls)

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
        def silent(session: Any) -> bytes:
            """Agrees and says no more: a ClientHello is random, and where there is a line end in it, it would be a command."""
            session.transport.write(b"220 ready\r\n")
            return b""

        server = Server(replies={"EHLO": [b"250-mx.test\r\n250-PIPELINING\r\n250 STARTTLS\r\n"], "STARTTLS": [silent]})
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
