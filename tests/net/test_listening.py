"""Listeners that change: what stays, what opens and closes, and who is let in when."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from typing import Any

import pytest
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.network import PATIENCE, free_port
from twistedrelay.net.descriptors import Reserve
from twistedrelay.net.listening import ListenError, Listeners
from twistedrelay.net.transport import ListeningPort, Turn
from twistedrelay.policy.connector import ListeningBinding

reactor: Any = installed


class Says(Factory):
    """Sessions that say who they are."""

    noisy = False

    def __init__(self, name: str, host: str, port: int) -> None:
        self.binding = ListeningBinding(host, port, False, (name,))
        self.name = name
        self.numPorts = 0

    def buildProtocol(self, addr: object) -> Protocol:
        made = Protocol()
        made.connectionMade = lambda: made.transport.write(self.name.encode())  # type: ignore[method-assign, union-attr]
        return made


def heard(host: str, port: int) -> str:
    """What a connection hears first; C{"refused"}."""
    try:
        with socket.create_connection((host, port), PATIENCE) as session:
            return session.recv(100).decode()
    except OSError:
        return "refused"


class ListenersTests(TestCase):
    timeout = PATIENCE

    def setUp(self) -> None:
        self.told: list[str] = []
        self.listeners = Listeners(Turn(reactor), Reserve(reactor, self.fail), reactor, self.told.append)
        self.port = free_port()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.listeners.stop()))

    def hears(self, host: str, port: int = 0) -> Deferred[str]:
        return deferToThread(heard, host, port or self.port)

    def says(self, name: str, host: str, port: int = 0) -> Any:
        return Says(name, host, port or self.port)

    def change(self, *factories: Any) -> None:
        self.listeners.prepare(factories).commit()

    @inlineCallbacks
    def test_a_binding_that_stays_keeps_its_socket(self) -> Any:
        self.change(self.says("old", "127.0.0.1"))
        [before] = self.listeners._ports.values()
        self.change(self.says("new", "127.0.0.1"))
        [after] = self.listeners._ports.values()
        assert before is after
        assert (yield self.hears("127.0.0.1")) == "new"

    def test_what_could_not_be_opened_after_all_is_shown_until_a_change_opens_it(self) -> None:
        self.change(self.says("old", "127.0.0.1"))
        opening = self.listeners.prepare([self.says("new", "0.0.0.0")])
        [port] = opening._taken.values()

        def refuses() -> None:
            port.give_back()
            raise CannotListenError("0.0.0.0", self.port, OSError(98, "Address already in use"))

        self.patch(port, "startListening", refuses)
        opening.commit()
        assert self.listeners.states() == [(f"127.0.0.1:{self.port}", True), (f"0.0.0.0:{self.port}", False)]
        assert len(self.told) == 1
        self.change(self.says("new", "0.0.0.0"))
        assert [state for _, state in self.listeners.states()] == [True, True]

    @inlineCallbacks
    def test_nobody_is_let_in_before_the_change_is_sure(self) -> Any:
        self.change(self.says("old", "127.0.0.1"))
        other = free_port()
        opening = self.listeners.prepare([self.says("new", "127.0.0.1"), self.says("other", "127.0.0.1", other)])
        assert (opening.opens, opening.closes) == ([f"127.0.0.1:{other}"], [])
        waiting = self.hears("127.0.0.1", other)
        assert (yield self.hears("127.0.0.1")) == "old"
        assert not waiting.called
        opening.commit()
        assert (yield waiting) == "other"
        assert (yield self.hears("127.0.0.1")) == "new"
        assert str(self.listeners) == f"127.0.0.1:{self.port}, 127.0.0.1:{other}"

    @inlineCallbacks
    def test_an_abandoned_change_leaves_everything(self) -> Any:
        self.change(self.says("old", "127.0.0.1"))
        other = free_port()
        self.listeners.prepare([self.says("other", "127.0.0.1", other), self.says("wide", "0.0.0.0")]).abort()
        yield deferLater(reactor, 0)
        assert (yield self.hears("127.0.0.1")) == "old"
        assert (yield self.hears("127.0.0.9")) == "refused"
        assert (yield self.hears("127.0.0.1", other)) == "refused"
        self.change(self.says("old", "127.0.0.1"), self.says("other", "127.0.0.1", other))
        assert (yield self.hears("127.0.0.1", other)) == "other"

    @inlineCallbacks
    def test_a_port_that_cannot_be_had_opens_none(self) -> Any:
        other = free_port()
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
            number = taken.getsockname()[1]
            with pytest.raises(ListenError) as caught:
                self.listeners.prepare([self.says("other", "127.0.0.1", other), self.says("taken", "127.0.0.1", number)])
            assert str(caught.value) == (
                f"cannot listen on 127.0.0.1 port {number} (taken): Address already in use; "
                "stop the program that listens there, or change the bindings"
            )
        yield deferLater(reactor, 0)
        assert (yield self.hears("127.0.0.1", other)) == "refused"

    def test_a_machine_without_ipv6_is_told_so(self) -> None:
        def no_such_family(port: object) -> socket.socket:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))

        self.patch(ListeningPort, "createInternetSocket", no_such_family)
        with pytest.raises(ListenError, match=r"this machine has no IPv6.*: change the bindings"):
            self.listeners.prepare([self.says("a", "::1")])

    @inlineCallbacks
    def test_a_wildcard_comes_and_the_address_stays_beside_it(self) -> Any:
        self.change(self.says("one", "127.0.0.1"))
        self.change(self.says("wide", "0.0.0.0"))
        assert (yield self.hears("127.0.0.1")) == "wide"
        assert (yield self.hears("127.0.0.9")) == "wide"
        assert len(self.listeners) == 2
        self.change(self.says("again", "0.0.0.0"))
        assert (yield self.hears("127.0.0.1")) == "again"
        self.change(self.says("ninth", "127.0.0.9"))
        assert (yield self.hears("127.0.0.9")) == "ninth"
        assert (yield self.hears("127.0.0.1")) == "refused"

    @inlineCallbacks
    def test_nobody_else_can_share_a_port(self) -> Any:
        self.change(self.says("one", "127.0.0.1"))
        self.change(self.says("wide", "0.0.0.0"))
        self.change(self.says("one", "127.0.0.1"))
        yield deferLater(reactor, 0)
        for host in ("127.0.0.1", "0.0.0.0"):
            with contextlib.closing(socket.socket()) as other:
                other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                with pytest.raises(OSError, match="in use"):
                    other.bind((host, self.port))
        assert all(not port.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) for port in self.listeners._ports.values())

    @inlineCallbacks
    def test_who_waits_at_a_listener_that_closes_is_let_in(self) -> Any:
        self.change(self.says("old", "127.0.0.1"))
        with contextlib.closing(socket.create_connection(("127.0.0.1", self.port), 5)) as waiting:  # while the reactor has no turn
            self.change()
            assert (yield deferToThread(waiting.recv, 100)) == b"old"
        assert (yield self.hears("127.0.0.1")) == "refused"
        assert not self.told
