"""What tests of the agent share."""

from __future__ import annotations

import socket
import tempfile
from typing import Any

import trustme
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.delivery.peers import Events, Resolver, Server, creators, route
from tests.network import PATIENCE
from tests.pace import PacedReactor
from twistedrelay.delivery import deadlines
from twistedrelay.delivery.agent import DeliveryAgent
from twistedrelay.values.route import Route, Target

reactor: Any = installed
AUTHORITY = trustme.CA()


class AgentCase(TestCase):
    """An agent, servers, and an end of all of them."""

    timeout = PATIENCE

    def setUp(self) -> None:
        patch: Any = self.patch
        patch(deadlines, "SWEEP", 0.02)
        self.paced = PacedReactor(reactor)
        self.paced.start()
        self.addCleanup(self.paced.stop)
        self.events = Events()
        self.resolver = Resolver()
        self.agent = self.make_agent()

    def directory(self) -> str:
        made = tempfile.TemporaryDirectory()
        self.addCleanup(made.cleanup)
        return made.name

    def make_agent(self, **more: Any) -> DeliveryAgent:
        agent = DeliveryAgent(self.paced, self.resolver, creators(AUTHORITY), self.events, **more)
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
