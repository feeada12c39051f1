"""What metrics are read from: the parts of a running relay, as the metrics know them."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import attrs
from twisted.internet.interfaces import IReactorTime

from twistedrelay.observe.counters import Counters
from twistedrelay.observe.health import Health
from twistedrelay.values.histogram import Histogram


class CertificateView(Protocol):
    """A certificate of the store."""

    @property
    def thumbprint(self) -> str: ...
    @property
    def file(self) -> str: ...
    @property
    def names(self) -> Sequence[str]: ...
    @property
    def subject(self) -> str: ...
    @property
    def not_after(self) -> datetime.datetime: ...


@attrs.frozen(slots=True, kw_only=True)
class Sources:
    """See the module.

    @ivar by_connector: the sessions of each receive connector that has any.
    @ivar sessions: C{count()} and C{tarpitted()}.
    @ivar buffers: with C{used} and C{limit}.
    @ivar spool: an L{twistedrelay.interfaces.ISpool} with its C{gauge}.
    @ivar scheduler: with C{queues}, C{attempt}, C{alarm}, C{uncertain}.
    @ivar names: what asks the DNS, with its counts.
    @ivar certificates: all of the store.
    @ivar pressure: back pressure.
    @ivar lag: how late the reactor's timers are.
    @ivar pools: thread pools by their names.
    """

    clock: IReactorTime
    version: str
    started_at: float
    counters: Counters
    by_connector: Callable[[], Mapping[str, int]]
    sessions: Any
    buffers: Any
    spool: Any
    scheduler: Any
    names: Any
    certificates: Callable[[], Sequence[CertificateView]]
    pressure: Any
    health: Health
    lag: Histogram
    pools: Mapping[str, Any]
