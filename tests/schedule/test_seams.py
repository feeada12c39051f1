"""The objects of these rooms provide the interfaces that others know them by."""

from __future__ import annotations

from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from tests.schedule.fakes import Attempt, Events, Reporter, Router, World, message
from twistedrelay.dsn.report import Reporter as RealReporter
from twistedrelay.interfaces import IAttempt, IEventSink, ILane, IReporter, IResolver, IRouter
from twistedrelay.routing.mx import Resolver


def test_interfaces() -> None:
    world = World()
    world.submit(message(1))
    assert verifyObject(ILane, world.runs[0].lane)
    assert verifyObject(IResolver, Resolver(Clock(), ["127.0.0.1"]))
    assert verifyObject(IReporter, RealReporter("relay.example", "postmaster@example", world.spool, Clock()))


def test_the_fakes_are_true_to_them() -> None:
    for interface, fake in ((IRouter, Router()), (IAttempt, Attempt()), (IReporter, Reporter()), (IEventSink, Events())):
        assert verifyObject(interface, fake)
