"""Sessions over real loopback connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trustme
from OpenSSL import SSL
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.net.relay import FQDN, Relay
from tests.network import LOOPBACK, PATIENCE
from twistedrelay.net.descriptors import Reserve
from twistedrelay.net.transport import ListeningPort, Turn

reactor: Any = installed
CERTIFICATE = trustme.CA().issue_cert(FQDN)


def context() -> SSL.Context:
    """A server's context with the test certificate."""
    made = SSL.Context(SSL.TLS_METHOD)
    CERTIFICATE.configure_cert(made)
    return made


class OverLoopback(TestCase):
    """Real connections."""

    timeout = PATIENCE
    connector: dict[str, Any] = {}  # noqa: RUF012

    def setUp(self) -> None:
        self.relay = Relay({"Default Frontend": {"bindings": [f"{LOOPBACK}:25"], **self.connector}}, clock=reactor)
        self.relay.certificates.context = context()
        self.listener = ListeningPort(0, self.relay.factories[0], LOOPBACK, Turn(reactor), reactor, Reserve(reactor, self.fail))
        self.listener.startListening()
        self.port = self.listener.getHost().port
        self.addCleanup(self.close)

    @inlineCallbacks
    def close(self) -> Any:
        yield self.listener.stopListening()
        self.relay.sessions.abort()
        while self.relay.sessions.count():
            yield deferLater(reactor, 0.01)
        assert self.relay.counts.total("Default Frontend") == 0

    @inlineCallbacks
    def gone(self) -> Any:
        """No session is left."""
        while self.relay.sessions.count():
            yield deferLater(reactor, 0.01)

    def play(self, play: Callable[[int], Any]) -> Deferred[Any]:
        """Let a client talk, in a thread."""
        return deferToThread(play, self.port)
