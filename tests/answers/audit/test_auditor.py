"""The audits of a running relay: when they are made, and what the log hears of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from tests.answers.audit.audited import DAY, NOW, configuration, loaded, relaying
from twistedrelay.answers.audit import whole
from twistedrelay.answers.audit.auditor import MOST_WAITING, Auditor, Busy
from twistedrelay.answers.audit.document import Report
from twistedrelay.answers.audit.world import facts
from twistedrelay.config.schema import Config
from twistedrelay.values.events import ServiceEvent
from twistedrelay.values.usage import Usage


class Pool:
    """Threads that work at once, or when told."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] | None = None

    def callInThreadWithCallback(self, done: Any, work: Any, *arguments: Any, **more: Any) -> None:
        def run() -> None:
            try:
                done(True, work(*arguments, **more))
            except Exception:
                done(False, Failure())

        if self.waiting is None:
            run()
        else:
            self.waiting.append(run)


class Reactor(Clock):
    """A clock with threads."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = Pool()
        self.advance(NOW)

    def getThreadPool(self) -> Pool:
        return self.pool

    def callFromThread(self, work: Any, *arguments: Any) -> None:
        work(*arguments)


@attrs.define
class Relay:
    """What is audited."""

    config: Config
    rows: Any = ()

    def usage(self, since: float) -> Deferred[Any]:
        return succeed(list(self.rows)) if self.rows is not None else Deferred()


@attrs.define
class World:
    """An auditor with all round it."""

    reactor: Reactor
    relay: Relay
    auditor: Auditor
    told: list[ServiceEvent]
    tmp_path: Path

    def change(self, given: dict[str, Any]) -> None:
        self.relay.config = loaded(self.tmp_path, given).config
        self.auditor.changed()

    def texts(self) -> list[str]:
        """What was said since the last time."""
        found = [event.text for event in self.told]
        self.told.clear()
        return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    reactor, told = Reactor(), []
    relay = Relay(loaded(tmp_path, configuration()).config)
    auditor = Auditor(reactor, str(tmp_path / "relay.yaml"), lambda: relay, told.append, set())
    return World(reactor, relay, auditor, told, tmp_path)


def test_what_is_bad_is_said_once_while_it_stays_so(world: World) -> None:
    world.relay.config = loaded(world.tmp_path, relaying("10.0.0.0/8")).config
    world.auditor.startService()
    [text] = world.texts()
    assert text.startswith("audit: High relay-wide: EXCSERVER\\IP_Relay: an open relay")
    assert text.endswith("relayctl permission remove IP_Relay --user 'Anonymous Logon' --extended-rights Accept-Any-Recipient")
    world.reactor.advance(3 * DAY)
    assert world.texts() == []
    world.change(configuration())
    assert world.texts() == []
    world.change(relaying("10.0.0.0/8"))
    assert len(world.texts()) == 1
    world.auditor.stopService()
    world.change(configuration())
    assert world.auditor.last is not None
    assert world.auditor.last.findings[0].code == "relay-wide"  # the last look was before the end


def test_once_an_interval_with_the_hosts_but_not_at_the_start(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(whole, "facts", lambda config, *, ask, **more: asked.append(ask) or facts(config, **more))
    world.auditor.startService()
    assert asked == [False]
    world.change(configuration({"comment": "other"}))
    assert asked == [False, False]
    world.reactor.advance(DAY - 1)
    assert asked == [False, False]
    world.reactor.advance(1)
    assert asked == [False, False, True]
    world.reactor.advance(DAY)
    assert asked == [False, False, True, True]
    world.auditor.stopService()
    assert world.reactor.getDelayedCalls() == []


def test_many_changes_are_audited_as_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first, which is under way, and behind it what there is in the end."""
    seen: list[str] = []
    monkeypatch.setattr(whole, "facts", lambda config, **more: seen.append(config.server.fqdn) or facts(config, now=NOW))
    world.reactor.pool.waiting = []
    world.auditor.startService()
    for number in range(20):
        config = world.relay.config
        server = config.server.model_copy(update={"fqdn": f"n{number}.example"})
        world.relay.config = config.model_copy(update={"server": server})
        world.auditor.changed()
    while world.reactor.pool.waiting:
        world.reactor.pool.waiting.pop(0)()
    assert len(seen) == 2
    assert seen[-1] == "n19.example"


def test_the_file_is_not_what_runs(world: World) -> None:
    loaded(world.tmp_path, configuration({"comment": "changed by hand"}))
    told = result(world.auditor.audit())
    [differs] = [each for each in told.findings if each.code == "file-differs"]
    assert "was changed since" in differs.reason
    (world.tmp_path / "relay.yaml").write_text("server: 1")
    [differs] = [each for each in result(world.auditor.audit()).findings if each.code == "file-differs"]
    assert "would not start again" in differs.reason


def test_the_record_of_clients_is_used(world: World) -> None:
    world.change(relaying("10.1.2.3"))
    row = {"connector": "IP_Relay", "local": "", "client": "10.1.2.3", "first_seen": NOW - 200 * DAY, "last_seen": NOW}
    world.relay.rows = [Usage(**row, helo=f"pc{number}") for number in range(5)]
    assert "relay-many-clients" in {each.code for each in result(world.auditor.audit()).findings}


def test_a_record_that_does_not_answer_stops_nothing(world: World) -> None:
    world.relay.rows = None
    waiting = Deferred.fromCoroutine(world.auditor.audit())
    assert not waiting.called
    world.reactor.advance(60)
    assert waiting.called


def test_one_audit_at_a_time_and_few_that_wait(world: World) -> None:
    world.reactor.pool.waiting = []
    running = [Deferred.fromCoroutine(world.auditor.audit()) for _ in range(MOST_WAITING + 1)]
    assert len(world.reactor.pool.waiting) == 1
    refused: list[Any] = []
    Deferred.fromCoroutine(world.auditor.audit()).addErrback(refused.append)
    assert refused[0].check(Busy)
    while world.reactor.pool.waiting:
        world.reactor.pool.waiting.pop(0)()
    assert all(each.called for each in running)


def test_who_hangs_up_lets_nobody_in_before_the_thread_has_ended(world: World) -> None:
    world.reactor.pool.waiting = []
    for _ in range(3):
        Deferred.fromCoroutine(world.auditor.audit()).addErrback(lambda _: None).cancel()
    following = Deferred.fromCoroutine(world.auditor.audit())
    assert len(world.reactor.pool.waiting) == 1
    while world.reactor.pool.waiting:
        assert len(world.reactor.pool.waiting) == 1
        world.reactor.pool.waiting.pop(0)()
    assert following.called


def result(work: Any) -> Report:
    """Of something that waits for nobody."""
    results: list[Any] = []
    Deferred.fromCoroutine(work).addBoth(results.append)
    assert isinstance(results[0], Report), results[0]
    return results[0]
