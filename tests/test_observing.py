"""What keeps and tells, tied together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred
from twisted.internet.task import Clock

from tests.net.relay import configuration
from twistedrelay.observe.counters import Counters
from twistedrelay.observe.fanout import EventSink
from twistedrelay.observe.ledger.file import LedgerFile
from twistedrelay.observe.login_store import read_record
from twistedrelay.observe.threads import RecordThreads
from twistedrelay.observing import Observing
from twistedrelay.values import events

#: A time that the machine's clock has not.
THEN = 1_000_000_000.0


class Reactor(Clock):
    """Threads call at once."""

    def callFromThread(self, call: Any, *arguments: Any) -> None:
        call(*arguments)


def test_all_that_is_kept_has_the_reactors_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the one that does not jump."""

    def at_once(self: RecordThreads, work: Any, *arguments: Any) -> Deferred[Any]:
        return maybeDeferred(work, *arguments)

    monkeypatch.setattr(RecordThreads, "run", at_once)
    reactor = Reactor()
    reactor.advance(THEN)
    config = configuration(server={"state_directory": str(tmp_path)})
    observing = Observing(config, reactor, lambda: 0.0, lambda name: name, lambda news: None, Counters(reactor.seconds))
    sink = EventSink(observing.consumers)
    observing.begin(sink)
    session, connector, peer = "0" * 16, "Client Frontend", "192.0.2.7:1"
    sink.emit(events.Connected(session, connector, peer, "192.0.2.1:587"))
    sink.emit(events.LoggedIn(session, connector, peer, "PLAIN", "a@akkaya.local"))
    ended: list[None] = []
    ensureDeferred(observing.stop(1.0)).addCallback(ended.append)
    assert ended == [None]
    record = read_record(str(tmp_path / "logins.sqlite"))
    assert record is not None
    assert record.accounts["a@akkaya.local"].last == THEN
    assert [row.last_seen for row in LedgerFile(str(tmp_path / "ledger.sqlite")).rows()] == [THEN]
