"""Work that blocks (files, certificates, hashes), off the reactor's thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from twistedrelay.control.live import Relay

T = TypeVar("T")


def in_thread(relay: Relay, work: Callable[[], T]) -> Deferred[T]:
    """The result of work in one of the reactor's threads.  To cancel it ends the wait, not the work."""
    reactor: Any = relay.clock
    return deferToThreadPool(reactor, reactor.getThreadPool(), work)
