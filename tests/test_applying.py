"""Changes of the configuration, with stand-ins for all that is changed: turns, and what becomes of what was prepared in vain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from twistedrelay.applying import Applying
from twistedrelay.config.load import load
from twistedrelay.control.applying import ApplyError
from twistedrelay.values.events import ServiceEvent

WRITTEN = """
server: {name: EXCSERVER, fqdn: relay.example.org, state_directory: state}
receive_connectors:
  A: {bindings: ["127.0.0.1:2525"], permission_groups: [AnonymousUsers], auth_mechanism: [None]}
"""


class Reactor(Clock):
    """A clock with threads that work when told."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Callable[[], None]] = []

    def getThreadPool(self) -> Any:
        return self

    def callFromThread(self, work: Any, *arguments: Any) -> None:
        work(*arguments)

    def callInThreadWithCallback(self, done: Any, work: Any, *arguments: Any, **more: Any) -> None:
        def run() -> None:
            try:
                result = work(*arguments, **more)
            except Exception:
                done(False, Failure())
            else:
                done(True, result)

        self.waiting.append(run)

    def work(self) -> None:
        """Let all threads come to their end."""
        while self.waiting:
            self.waiting.pop(0)()


class Parts:
    """All that is changed, and what was done to it."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.fails: Exception | None = None
        self.config: Any = None
        self.listeners = self
        self.opens = self.closes = ()
        self.contexts = self.acceptance = self.factories = self.notices = ()

    def make(self, config: Any, *parts: Any) -> Any:
        if parts and self.fails is not None:
            raise self.fails
        return self

    def with_files(self, certificates: Any) -> Any:
        return self

    def load(self) -> tuple[str, ...]:
        return ()

    def change(self, *parts: Any) -> Any:
        return self

    def prepare(self, factories: Any) -> Any:
        self.done.append("opened")
        return self

    def use(self, *parts: Any) -> Any:
        self.done.append("used")
        return lambda: None

    def drop(self, outgoing: Any) -> None:
        self.done.append("dropped")

    def abort(self) -> Deferred[None]:
        self.done.append("closed")
        return succeed(None)


class World:
    """One of them."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "relay.yaml"
        self.file.write_text(WRITTEN)
        self.reactor, self.parts, self.told = Reactor(), Parts(), []
        parts: Any = self.parts
        self.parts.config = load(self.file)
        self.applying = Applying(str(self.file), self.reactor, parts, parts, parts, parts, self._emit, lambda config: None)
        self.applying.relay = parts

    def _emit(self, event: ServiceEvent) -> None:
        self.told.append(event.text)

    def prepare(self) -> list[Any]:
        """What a change came to, as soon as it has."""
        came: list[Any] = []
        self.waiting = self.applying.prepare().addBoth(came.append)
        return came


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_one_at_a_time(world: World) -> None:
    first, second = world.prepare(), world.prepare()
    world.reactor.work()
    assert len(first) == 1
    assert second == []
    first[0].commit()
    world.reactor.work()
    second[0].abort()
    world.reactor.work()
    assert world.parts.done == ["opened", *["used"] * 3, "opened", "closed", "dropped"]


def test_who_hangs_up_leaves_nothing_half_done(world: World) -> None:
    """A thread cannot be ended: it keeps its turn until it is through, and what it made is given back then."""
    gone = world.prepare()
    world.waiting.cancel()
    assert gone[0].check(Exception)
    following = world.prepare()
    assert len(world.reactor.waiting) == 1, "the other one waits for its turn"
    world.reactor.work()
    assert world.parts.done == ["opened", "closed", "dropped", "opened"]
    following[0].commit()


def test_who_hangs_up_while_others_have_their_turn_has_none(world: World) -> None:
    first = world.prepare()
    world.prepare()
    world.waiting.cancel()
    following = world.prepare()
    world.reactor.work()
    first[0].commit()
    world.reactor.work()
    assert len(following) == 1
    assert world.parts.done.count("opened") == 2


def test_a_relay_that_stops_meanwhile_opens_nothing(world: World) -> None:
    came = world.prepare()
    world.applying.stop()
    world.reactor.work()
    assert came[0].check(ApplyError)
    assert world.parts.done == ["dropped"]


def test_a_relay_that_stops_before_the_commit_lets_nobody_in(world: World) -> None:
    came = world.prepare()
    world.reactor.work()
    world.applying.stop()
    came[0].commit()
    assert world.parts.done == ["opened", "closed"]


def test_what_was_made_is_dropped_where_the_rest_cannot_be(world: World) -> None:
    world.parts.fails = ValueError("no such checker")
    came = world.prepare()
    world.reactor.work()
    assert came[0].getErrorMessage() == "no such checker"
    assert world.parts.done == ["dropped"]
    world.parts.fails = None
    assert world.prepare() == []
    world.reactor.work()
    assert world.parts.done == ["dropped", "opened"]
