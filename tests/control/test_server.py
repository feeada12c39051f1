"""Connections to the control socket: how long one may take, and who makes room."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.control.fakes import Schedule, Spool, make_api
from twistedrelay.control.server import REQUEST_TIMEOUT, ControlChannel, ControlSite
from twistedrelay.observe.places import Places


class Transport(StringTransport):
    """Notes how it ends."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class ChannelTests(SynchronousTestCase):
    """Connections, with a clock of their own."""

    def setUp(self) -> None:
        self.clock = Clock()
        spool = Spool()
        self.site = ControlSite(make_api(self.clock, spool, Schedule(spool)), self.clock)

    def connect(self) -> tuple[ControlChannel, Transport]:
        channel, transport = self.site.buildProtocol(None), Transport()
        channel.makeConnection(transport)
        return channel, transport

    def test_drops_do_not_prolong_a_request(self) -> None:
        for beginning in (b"GET /v1/status HTTP/1.1\r\n", b"POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n"):
            channel, transport = self.connect()
            channel.dataReceived(beginning)
            for _ in range(int(REQUEST_TIMEOUT) - 1):
                self.clock.advance(1.0)
                channel.dataReceived(b"x")
            assert not transport.aborted
            self.clock.advance(1.0)
            assert transport.aborted
            channel.connectionLost(Failure(ConnectionDone()))
        assert len(self.site.places) == 0

    def test_the_next_request_has_its_own_time(self) -> None:
        channel, transport = self.connect()
        for _ in range(3):
            self.clock.advance(REQUEST_TIMEOUT - 1)
            channel.dataReceived(b"GET /v1/nothing HTTP/1.1\r\nHost: x\r\n\r\n")
            assert channel.waiting_since() == self.clock.seconds()
        assert transport.value().count(b" 404 ") == 3
        assert not transport.aborted
        self.clock.advance(REQUEST_TIMEOUT)
        assert transport.aborted

    def test_a_last_answer_that_nobody_reads_is_not_kept(self) -> None:
        channel, transport = self.connect()
        channel.dataReceived(b"GET /v1/nothing HTTP/1.0\r\n\r\n")
        assert transport.disconnecting
        self.clock.advance(REQUEST_TIMEOUT)
        assert transport.aborted

    def test_held_connections_keep_nobody_out(self) -> None:
        self.site.places = Places(2, 0)
        held = []
        for _ in range(2):
            held.append(self.connect())
            self.clock.advance(1.0)
        for channel, _ in held:
            channel.dataReceived(b"G")
        channel, transport = self.connect()
        assert [other.aborted for _, other in held] == [True, False]
        channel.dataReceived(b"GET /v1/nothing HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 404 " in transport.value()
        assert channel.waiting_since() == 2.0
        channel.pauseProducing()
        channel.resumeProducing()
        assert channel.waiting_since() == 2.0

    def test_a_full_house_says_so(self) -> None:
        self.site.places = Places(0, 0)
        _, transport = self.connect()
        assert b" 503 " in transport.value()
        assert b"try again in a moment" in transport.value()
        assert transport.disconnecting
