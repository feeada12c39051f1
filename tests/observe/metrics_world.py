"""A relay of stand-ins for metrics and health: each part says what a test wants."""

from __future__ import annotations

import datetime
from typing import Any

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from twistedrelay.delivery.measures import Measures as DeliveryMeasures
from twistedrelay.observe.counters import Counters
from twistedrelay.observe.health import Health
from twistedrelay.observe.metrics_sources import Sources
from twistedrelay.policy.pressure import BackPressure
from twistedrelay.schedule.lengths import Length
from twistedrelay.spool.gauge import Figures
from twistedrelay.spool.measures import Measures
from twistedrelay.values.envelope import MessageStatus
from twistedrelay.values.histogram import Histogram

NOON = 1_800_000_000.0
IN_TEN_DAYS = datetime.datetime.fromtimestamp(NOON + 864000, datetime.UTC)


class Reactor(Clock):
    """Threads work at once."""

    def __init__(self) -> None:
        super().__init__()
        self.advance(NOON)

    def getThreadPool(self) -> Reactor:
        return self

    def callInThreadWithCallback(self, done: Any, work: Any, *arguments: Any) -> None:
        done(True, work(*arguments))

    def callFromThread(self, call: Any, *arguments: Any) -> None:
        call(*arguments)

    # as a pool
    waiters = (None, None)
    working = (None,)

    @property
    def _queue(self) -> Reactor:
        return self

    def qsize(self) -> int:
        return 5


class Gauge:
    """How full the spool is."""

    directory = "/"
    waiting = 7
    cached = 1234

    def __init__(self) -> None:
        self.clock = [1000.0]
        self.measures = Measures(lambda: self.clock[0])
        self.answer: Deferred[Figures] = succeed(Figures(3, NOON - 60, 8192, 4096, 100))
        self.proof: Deferred[None] = succeed(None)
        self.used: Deferred[int] = succeed(1)
        self.probes: list[float] = []

    def figures(self) -> Deferred[Figures]:
        return self.answer

    def used_database(self) -> Deferred[int]:
        return self.used

    def probe(self, seconds: float) -> Deferred[None]:
        self.probes.append(seconds)
        return self.proof


class Spool:
    """A healthy one."""

    doubtful = 2

    def __init__(self) -> None:
        self.healthy = True
        self.gauge = Gauge()

    def statuses(self) -> Deferred[dict[MessageStatus, int]]:
        return succeed({MessageStatus.POISON: 1})


@attrs.define
class Attempt:
    """Delivery."""

    connections: int = 4
    measures: DeliveryMeasures = attrs.Factory(DeliveryMeasures)


@attrs.define
class Schedule:
    """A schedule with lanes."""

    lanes: list[Length] = attrs.Factory(list)
    may_run: bool = True
    behind: float = 0.0
    uncertain: int = 1
    in_memory: int = 9
    attempt: Attempt = attrs.Factory(Attempt)

    @property
    def queues(self) -> Schedule:
        return self

    @property
    def alarm(self) -> Schedule:
        return self

    def late(self) -> float:
        return self.behind

    def lengths(self) -> Deferred[list[Length]]:
        return succeed(self.lanes)


@attrs.define
class Certificate:
    """One of the store."""

    thumbprint: str = "AB12"
    file: str = "/etc/ssl/mail.pem"
    names: tuple[str, ...] = ("mail.cozumpark.com", "relay.akkaya.local")
    subject: str = "CN=mail.cozumpark.com"
    not_after: datetime.datetime = IN_TEN_DAYS


@attrs.define
class Names:
    """What asks the DNS."""

    asked: int = 5
    remembered: int = 6
    failed: int = 1


@attrs.define
class Amounts:
    """Sessions and buffers."""

    used: int = 10
    limit: int = 100

    def tarpitted(self) -> int:
        return 2


class World:
    """All of it."""

    def __init__(self) -> None:
        self.reactor = Reactor()
        self.spool = Spool()
        self.schedule = Schedule()
        self.pressure = BackPressure()
        self.counters = Counters(now=lambda: NOON)
        self.bound = [("0.0.0.0:25", True)]
        self.health = Health(
            self.reactor, self.spool, self.schedule, self.pressure, lambda: self.bound, now=lambda: self.spool.gauge.clock[0]
        )
        self.health.started = True
        amounts = Amounts()
        self.sources = Sources(
            clock=self.reactor,
            version="9.9",
            started_at=NOON - 100,
            counters=self.counters,
            by_connector=lambda: {"Default Frontend": 3},
            sessions=amounts,
            buffers=amounts,
            spool=self.spool,
            scheduler=self.schedule,
            names=Names(),
            certificates=lambda: [Certificate()],
            pressure=self.pressure,
            health=self.health,
            lag=Histogram(),
            pools={"reactor": self.reactor},
        )
