"""The listeners of a relay: which there are, and how others take their place without a client being turned away.

Decides which sockets stay, open and close where the bindings change.  A binding that stays keeps its socket, whoever serves it from then
on.  A new one is opened first: where it cannot be had nothing changes, and what stands in the way is said with what to do about it.  It
lets nobody in before all others are open.  Where a wildcard takes the place of a specific address, the socket of that stays beside it: to
close it would reset who is just connecting, and the accepted socket's local address decides in either case.  A listener that closes lets
those in that were there before; sessions go on.

A wildcard and a specific address of one port share it for the moment of opening by C{SO_REUSEPORT}, which is off at all other times, so
that no other program can ever listen beside us.

Source: socket(7).
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.python.failure import Failure

from twistedrelay.net.descriptors import Reserve
from twistedrelay.net.factory import ESMTPFactory
from twistedrelay.net.transport import ListeningPort, Turn
from twistedrelay.values.netrange import parse_ip
from twistedrelay.values.printable import host_port
from twistedrelay.values.reply import TOO_MANY_CONNECTIONS

#: What to do where an address cannot be had.
BIND_ADVICE: dict[int | None, str] = {
    errno.EADDRINUSE: "stop the program that listens there, or change the bindings",
    errno.EADDRNOTAVAIL: "this machine has no such address: change the bindings",
    errno.EAFNOSUPPORT: "this machine has no IPv6, or no IPv4: change the bindings",
    errno.EACCES: "start as root (twistd changes to --uid and --gid), grant CAP_NET_BIND_SERVICE, or change the bindings",
}


class ListenError(Exception):
    """An address cannot be had; C{str()} says why and what to do."""


Place = tuple[str, int]  #: an address and a port


def _place(factory: ESMTPFactory) -> Place:
    return factory.binding.host, factory.binding.port


def _last_words(factory: ESMTPFactory) -> bytes:
    """What is said to those that there is no descriptor for."""
    return b"" if factory.binding.implicit_tls else TOO_MANY_CONNECTIONS.wire


def _covers(wildcard: Place, other: Place) -> bool:
    """Whether a place means all addresses of a port, and the other one of them."""
    address, specific = parse_ip(wildcard[0]), parse_ip(other[0])
    return wildcard != other and wildcard[1] == other[1] and address.is_unspecified and address.version == specific.version


class Listeners:
    """All listeners.

    @param report: told what went wrong where nothing can be refused any more.
    """

    def __init__(self, turn: Turn, reserve: Reserve, reactor: Any, report: Callable[[str], None]) -> None:
        self._turn = turn
        self._reserve = reserve
        self._reactor = reactor
        self._report = report
        self._ports: dict[Place, ListeningPort] = {}
        self._missing: list[Place] = []  # that the last change could not open after all

    def __len__(self) -> int:
        return len(self._ports)

    def states(self) -> list[tuple[str, bool]]:
        """Each that there should be, and whether it is open."""
        found = [(host_port(*place), bool(port.connected)) for place, port in self._ports.items()]
        return found + [(host_port(*place), False) for place in self._missing]

    def __str__(self) -> str:
        return ", ".join(host_port(*place) for place in self._ports)

    def prepare(self, factories: Sequence[ESMTPFactory]) -> Opening:
        """Open what is not open yet for these factories, one for each binding.

        @raise ListenError: an address cannot be had; nothing was opened then.
        """
        return Opening(self, {_place(factory): factory for factory in factories})

    async def stop(self) -> None:
        """Close all of them."""
        ports, self._ports, self._missing = self._ports, {}, []
        for closing in [maybeDeferred(port.stopListening) for port in ports.values()]:
            await closing.addErrback(self._not_closed)

    def _make(self, factory: ESMTPFactory) -> ListeningPort:
        host, port = _place(factory)
        return ListeningPort(port, factory, host, self._turn, self._reactor, self._reserve, _last_words(factory))

    def _not_closed(self, failure: Failure) -> None:
        self._report(f"a listener could not be closed: {failure.getErrorMessage()}")


class Opening:
    """A change of the listeners that was prepared.  One of L{commit} and L{abort} must follow."""

    def __init__(self, listeners: Listeners, wanted: dict[Place, ESMTPFactory]) -> None:
        """
        @raise ListenError: an address cannot be had.
        """
        self._listeners = listeners
        self._wanted = wanted
        self._opened: dict[Place, ListeningPort] = {}  # which let nobody in yet
        self._taken: dict[Place, ListeningPort] = {}  # of which other listeners of ours have a part
        for place, factory in wanted.items():
            if place not in listeners._ports:
                try:
                    self._open(place, factory)
                except CannotListenError as error:
                    self.abort()
                    raise self._refusal(place, factory, error) from None

    @property
    def opens(self) -> list[str]:
        """What it opens, for people."""
        return [host_port(*place) for place in (*self._opened, *self._taken)]

    @property
    def closes(self) -> list[str]:
        """What it closes, likewise."""
        return [host_port(*place) for place in self._listeners._ports if place not in self._wanted and self._wildcard(place) is None]

    def commit(self) -> None:
        """Let others serve those who connect from now on."""
        listeners, wanted, ports = self._listeners, self._wanted, self._listeners._ports
        gone = []
        for place, port in list(ports.items()):
            factory = wanted.get(place) or self._wildcard(place)
            if factory is None:
                gone.append(ports.pop(place))
            else:
                port.change(factory, _last_words(factory))
        for place, port in self._opened.items():
            port.startReading()
            ports[place] = port
        listeners._missing = []
        for place, port in self._taken.items():
            try:
                with _shared([*ports.values(), *gone, port], place):
                    port.startListening()
            except CannotListenError as error:
                listeners._missing.append(place)
                listeners._report(str(self._refusal(place, wanted[place], error)))
            else:
                ports[place] = port
        for port in gone:
            maybeDeferred(port.finish).addErrback(listeners._not_closed)

    def abort(self) -> None:
        """Close what was opened."""
        for port in self._opened.values():
            maybeDeferred(port.stopListening).addErrback(self._listeners._not_closed)
        for port in self._taken.values():
            port.give_back()

    def _open(self, place: Place, factory: ESMTPFactory) -> None:
        port = self._listeners._make(factory)
        rivals = self._rivals(place)
        if rivals:  # it must not take clients from them before it is sure that it stays; and nobody else can have it while they do
            with _shared(rivals, place):
                port.bind(beside=True)
            port.share(False)
            self._taken[place] = port
        else:
            port.startListening()
            port.stopReading()
            self._opened[place] = port

    def _rivals(self, place: Place) -> list[ListeningPort]:
        """Our listeners that have a part of an address."""
        ports = [*self._listeners._ports.items(), *self._opened.items(), *self._taken.items()]
        return [port for other, port in ports if _covers(place, other) or _covers(other, place)]

    def _wildcard(self, place: Place) -> ESMTPFactory | None:
        """Who serves a specific address from now on that has no listener of its own."""
        return next((factory for other, factory in self._wanted.items() if _covers(other, place)), None)

    def _refusal(self, place: Place, factory: ESMTPFactory, error: CannotListenError) -> ListenError:
        cause = error.socketError
        number = getattr(cause, "errno", None)
        advice = BIND_ADVICE.get(number, "change the bindings")
        if number == errno.EACCES and len(self._listeners):
            advice += "; a relay that was started as root has that right at a restart only"
        if number == errno.EADDRINUSE and self._rivals(place):
            advice = "a listener of this relay, opened as another user, has a part of it: restart the relay"
        reason = f"{getattr(cause, 'strerror', None) or cause}; {advice}"
        return ListenError(f"cannot listen on {place[0]} port {place[1]} ({', '.join(factory.binding.connectors)}): {reason}")


@contextmanager
def _shared(ports: Sequence[ListeningPort], place: Place) -> Iterator[None]:
    """Let listeners of one port share it for a moment."""
    sharing = [port for port in ports if port.port == place[1]]
    for port in sharing:
        port.share(True)
    try:
        yield
    finally:
        for port in sharing:
            if port.connected or port.is_bound:
                port.share(False)
