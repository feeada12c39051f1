"""What is known about a message when its connection ends; large content."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import inlineCallbacks
from twisted.internet.task import LoopingCall, deferLater

from tests.delivery.agent_case import AgentCase, reactor
from tests.delivery.peers import BODY, Disk, Lane, Memory, Server, job
from twistedrelay.delivery import client, loader
from twistedrelay.delivery.session import LIMITS
from twistedrelay.interfaces import SpoolError
from twistedrelay.values.envelope import OutcomeKind
from twistedrelay.values.reply import SYSTEM_RESOURCES, Reply
from twistedrelay.wire.client_values import Stage


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
    def test_a_reply_to_content_that_was_not_sent(self) -> Any:
        """Behind the 354, in the same packet: no acceptance, and no failure of ours in the log."""
        lane = Lane(self.serve(Server(replies={"DATA": [b"354 go on\r\n250 taken\r\n"]})), job())
        assert (yield self.agent.run(lane)) is None
        (outcome,) = lane.outcomes
        assert (outcome.reply.code, outcome.kind) == (451, OutcomeKind.DEFERRED)

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
        assert lane.outcomes[0].reply.text.startswith("Timed out while waiting for end of data; all of the message was sent")
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
    def test_slow_replies_together_have_a_limit(self) -> Any:
        """Each reply comes in its time, and yet a lane must not wait for days."""
        patch: Any = self.patch
        patch(client, "LONGEST_DIALOGUE", 0.2)
        server = Server(replies={"EHLO": [b"250 mx.test\r\n"], "RCPT": [b""]})
        lane = Lane(self.serve(server), job(*(f"r{number}@b.test" for number in range(1000))))
        running = self.agent.run(lane)
        while not running.called:
            yield deferLater(reactor, 0.01)
            for session in server.sessions:
                if session.held:
                    session.release(b"250 ok\r\n")
        assert {outcome.reply.text for outcome in lane.outcomes} == {"Timed out while waiting for RCPT"}
        assert not any(outcome.uncertain for outcome in lane.outcomes)
        assert 1 < server.verbs.count("RCPT") < 100

    @inlineCallbacks
    def test_content_that_is_taken_too_slowly(self) -> Any:
        """A piece now and then is progress, but not enough of it."""
        patch: Any = self.patch
        patch(client, "LONGEST_DIALOGUE", 1.0)  # of which what comes before the content needs next to nothing
        patch(client, "LEAST_RATE", 2**40)

        def slow(session: Any) -> bytes:
            session.dataReceived = lambda data: session.transport.pauseProducing()  # and the next is read a while later
            turns = LoopingCall(lambda: session.transport.connected and session.transport.resumeProducing())
            turns.start(0.03, now=False)
            self.addCleanup(turns.stop)
            return b"354 go\r\n"

        lane = Lane(self.serve(Server(replies={"DATA": [slow]})), job(content=Memory(b"x" * 50_000_000)))
        yield self.agent.run(lane)
        (outcome,) = lane.outcomes
        assert outcome.reply.text == "Timed out while waiting for content"
        assert not outcome.uncertain

    @inlineCallbacks
    def test_old_sessions_begin_nothing_more(self) -> Any:
        """What the DNS says of a next hop now counts for the next message."""
        patch: Any = self.patch
        patch(loader, "LONGEST_SESSION", 0.0)
        server = Server()
        lane = Lane(self.serve(server), job(), job())
        yield self.agent.run(lane)
        assert lane.codes == [250, 250]
        assert server.verbs.count("EHLO") == 2

    @inlineCallbacks
    def test_idle_connection_ends_in_good_order(self) -> Any:
        self.agent = self.make_agent(limits={**LIMITS, Stage.IDLE: 0.1})
        server = Server()
        yield self.agent.run(Lane(self.serve(server), job()))
        yield self.until(lambda: server.closed)
        assert server.verbs[-1] == "QUIT"


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
