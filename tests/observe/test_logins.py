"""Tests for L{twistedrelay.observe.logins} and L{twistedrelay.observe.login_store}."""

from __future__ import annotations

import os
import pathlib
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThreadPool

from tests.network import PATIENCE
from twistedrelay.observe import login_store
from twistedrelay.observe.login_store import LoginStore, Record, Uses, read_record
from twistedrelay.observe.logins import INTERVAL, MOST_NAMES, LoginRecord
from twistedrelay.values import events

DAY = 86400.0


class Pool:
    """Threads that are done at once, or when they are told to be."""

    def __init__(self) -> None:
        self.held: list[Any] | None = None

    def callInThreadWithCallback(self, done: Any, work: Any, *arguments: Any, **keys: Any) -> None:
        if self.held is not None:
            self.held.append((done, work, arguments, keys))
            return
        try:
            result: Any = work(*arguments, **keys)
        except Exception:
            from twisted.python.failure import Failure

            done(False, Failure())
        else:
            done(True, result)

    def release(self) -> None:
        """Do what waits."""
        held, self.held = self.held or [], None
        for done, work, arguments, keys in held:
            self.callInThreadWithCallback(done, work, *arguments, **keys)


class Reactor(Clock):
    """A clock with threads."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = Pool()

    def in_thread(self, work: Any, *arguments: Any) -> Deferred[Any]:
        return deferToThreadPool(self, self.pool, work, *arguments)  # type: ignore[arg-type]

    def callFromThread(self, work: Any, *arguments: Any, **keys: Any) -> None:
        work(*arguments, **keys)


@attrs.define
class Bench:
    """A record of logins on a clock."""

    path: str
    reactor: Reactor
    record: LoginRecord
    store: LoginStore
    start: float = 1_800_000_000.0

    def logged_in(self, user: str, peer: str = "192.0.2.7:4711", mechanism: str = "PLAIN", connector: str = "Client Frontend") -> None:
        """A good login."""
        self.record.emit(events.LoggedIn("0" * 16, connector, peer, mechanism, user))

    def failed(self, user: str, peer: str = "203.0.113.9:99") -> None:
        """A bad one."""
        self.record.emit(events.LoginFailed("0" * 16, "Client Frontend", peer, "PLAIN", user, "no checker accepts the login"))

    def written(self) -> Record:
        """What is on the disk after a while."""
        self.reactor.advance(INTERVAL)
        found = read_record(self.path)
        assert found is not None
        return found


USERS = {"cengiz@akkaya.local": "Cengiz@akkaya.local", "cengiz": "Cengiz@akkaya.local"}


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> Iterator[Bench]:
    """Nothing recorded yet; the users file knows one account, by its address and by its local part."""
    reactor, path = Reactor(), str(tmp_path / "logins.sqlite")
    store = LoginStore(path)
    record = LoginRecord(reactor, reactor.in_thread, store, USERS.get, lambda: 1_800_000_000.0 + reactor.seconds())
    yield Bench(path, reactor, record, store)
    store.close()


def test_what_is_kept_of_an_account(bench: Bench) -> None:
    bench.logged_in("Cengiz@akkaya.local")
    bench.reactor.advance(1)
    bench.logged_in("Cengiz@akkaya.local", "[2001:db8::7]:99", "SCRAM-SHA-256", "Submissions")
    assert read_record(bench.path) is None
    found = bench.written()
    account = found.accounts["cengiz@akkaya.local"]
    assert (account.address, account.external, account.logins, account.failures) == ("Cengiz@akkaya.local", False, 2, 0)
    assert (account.first, account.last) == (bench.start, bench.start + 1)
    assert account.sources == ("2001:db8::7", "192.0.2.7")
    assert account.connectors == ("Submissions", "Client Frontend")
    assert account.mechanisms == ("SCRAM-SHA-256", "PLAIN")
    assert found.began == bench.start + 1 + INTERVAL
    assert found.unknown_failures == 0


def test_the_file_is_its_owners_alone(bench: Bench) -> None:
    bench.logged_in("a@b.test")
    bench.written()
    assert stat.S_IMODE(os.stat(bench.path).st_mode) == 0o600


def test_failures_count_since_the_last_login_also_across_writes(bench: Bench) -> None:
    bench.failed("cengiz")
    bench.reactor.advance(1)
    bench.logged_in("Cengiz@akkaya.local")
    bench.reactor.advance(1)
    bench.failed("CENGIZ@akkaya.local")
    found = bench.written().accounts["cengiz@akkaya.local"]
    assert (found.logins, found.failures) == (1, 1)
    bench.failed("Cengiz@akkaya.local")
    bench.reactor.advance(1)
    bench.failed("cengiz", "198.51.100.1:5")
    found = bench.written().accounts["cengiz@akkaya.local"]
    assert (found.failures, found.last_failure_source) == (3, "198.51.100.1")
    bench.reactor.advance(1)
    bench.logged_in("Cengiz@akkaya.local")
    assert bench.written().accounts["cengiz@akkaya.local"].failures == 0


def test_an_account_that_never_logged_in_has_its_failures(bench: Bench) -> None:
    bench.failed("cengiz")
    found = bench.written().accounts["cengiz@akkaya.local"]
    assert (found.logins, found.first, found.last, found.failures) == (0, None, None, 1)


def test_external_accounts_are_known_once_they_logged_in(bench: Bench) -> None:
    bench.failed("dora@akkaya.local")
    assert bench.written().accounts == {}
    bench.logged_in("dora@akkaya.local")
    bench.written()
    bench.failed("Dora@akkaya.local")
    found = bench.written()
    assert found.accounts["dora@akkaya.local"].external
    assert found.accounts["dora@akkaya.local"].failures == 1
    assert found.unknown_failures == 1


def test_names_of_nobody_add_to_one_number(bench: Bench) -> None:
    for number in range(MOST_NAMES + 50):
        bench.failed(f"guess{number}@akkaya.local")
    bench.failed("x" * 1000)
    bench.failed("")
    assert len(bench.record._uses) == MOST_NAMES
    bench.logged_in("dora@akkaya.local")
    found = bench.written()
    assert found.unknown_failures == MOST_NAMES + 52
    assert list(found.accounts) == ["dora@akkaya.local"]


def test_an_account_used_from_everywhere_keeps_the_last_addresses(bench: Bench) -> None:
    for number in range(60):
        bench.reactor.advance(0.01)
        bench.logged_in("cengiz@akkaya.local", f"192.0.2.{number}:1")
    found = bench.written().accounts["cengiz@akkaya.local"]
    assert found.sources == tuple(f"192.0.2.{number}" for number in range(59, 59 - login_store.MOST_SOURCES, -1))
    assert found.logins == 60


def test_what_cannot_be_written_is_kept_and_told_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    class Log:
        def error(self, text: str, **values: str) -> None:
            told.append(text.format(**values))

    monkeypatch.setattr(LoginRecord, "_log", Log())
    write = bench.store.write
    monkeypatch.setattr(bench.store, "write", lambda *arguments: (_ for _ in ()).throw(sqlite3.OperationalError("disk is full")))
    bench.logged_in("cengiz@akkaya.local")
    bench.failed("guess")
    bench.reactor.advance(INTERVAL)
    bench.logged_in("cengiz@akkaya.local")
    bench.reactor.advance(INTERVAL)
    assert told == [f"logins cannot be recorded in {bench.path}: disk is full"]
    monkeypatch.setattr(bench.store, "write", write)
    found = bench.written()
    assert (found.accounts["cengiz@akkaya.local"].logins, found.unknown_failures) == (2, 1)


def test_the_last_logins_are_written_at_the_end(bench: Bench) -> None:
    bench.logged_in("cengiz@akkaya.local")
    bench.reactor.pool.held = []
    bench.reactor.advance(INTERVAL)
    bench.failed("cengiz@akkaya.local")
    stopped: list[object] = []
    bench.record.stop(2.0).addCallback(stopped.append)
    assert stopped == []
    bench.reactor.pool.release()
    assert stopped == [None]
    assert bench.reactor.getDelayedCalls() == []
    found = read_record(bench.path)
    assert found is not None
    assert (found.accounts["cengiz@akkaya.local"].logins, found.accounts["cengiz@akkaya.local"].failures) == (1, 1)
    assert not os.path.exists(f"{bench.path}-wal")


def test_the_end_does_not_wait_for_ever_for_a_disk_that_hangs(bench: Bench) -> None:
    bench.logged_in("cengiz@akkaya.local")
    bench.reactor.pool.held = []
    stopped: list[object] = []
    bench.record.stop(2.0).addCallback(stopped.append)
    bench.reactor.advance(2.0)
    assert stopped == [None]
    bench.reactor.pool.release()
    assert bench.reactor.getDelayedCalls() == []


def test_a_clock_that_jumps_far_ahead_forgets_nobody_until_it_is_settled(tmp_path: pathlib.Path) -> None:
    path, now, later = str(tmp_path / "logins.sqlite"), 1_800_000_000.0, 1_800_000_000.0 + 3650 * DAY
    settled = [now]
    store = LoginStore(path, lambda: settled[0])

    def logged_in(name: str, at: float) -> dict[str, float | None]:
        store.write([(name, Uses(name, at, at, 1, {("source", "192.0.2.7"): (at, 1)}), True)], 0, at)
        found = read_record(path)
        assert found is not None
        return {account.name: account.last for account in found.accounts.values()}

    logged_in("a", now)
    assert logged_in("b", later) == {"a": now, "b": now}, "nobody logs in in the future"
    settled[0] = now + DAY
    assert logged_in("c", now + DAY) == {"a": now, "b": now, "c": now + DAY}
    store.close()


def test_nothing_happens_without_logins(bench: Bench) -> None:
    bench.record.emit(events.Connected("0" * 16, "one", "192.0.2.7:1", "192.0.2.1:25"))
    assert bench.reactor.getDelayedCalls() == []
    stopped: list[object] = []
    bench.record.stop(2.0).addCallback(stopped.append)
    assert stopped == [None]
    assert read_record(bench.path) is None


def test_a_login_that_nobody_could_judge_is_no_failure(bench: Bench) -> None:
    bench.logged_in("cengiz@akkaya.local")
    bench.record.emit(events.LoginFailed("0" * 16, "one", "192.0.2.7:1", "PLAIN", "cengiz@akkaya.local", "the directory is down", True))
    assert bench.written().accounts["cengiz@akkaya.local"].failures == 0


def test_a_file_that_was_taken_away_is_made_again(bench: Bench) -> None:
    bench.logged_in("cengiz@akkaya.local")
    bench.written()
    os.rename(bench.path, bench.path + ".old")
    bench.logged_in("cengiz@akkaya.local")
    assert bench.written().accounts["cengiz@akkaya.local"].logins == 1


def test_old_and_too_many_accounts_are_forgotten(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_store, "MOST_ACCOUNTS", 3)
    bench.logged_in("old@akkaya.local")
    bench.written()
    bench.reactor.advance(login_store.RETENTION + 1)
    for number in range(5):
        bench.reactor.advance(2)
        bench.logged_in(f"user{number}@akkaya.local")
    bench.reactor.advance(DAY)
    bench.logged_in("user4@akkaya.local")
    assert list(bench.written().accounts) == ["user2@akkaya.local", "user3@akkaya.local", "user4@akkaya.local"]
    with sqlite3.connect(bench.path) as database:
        assert database.execute("SELECT count(DISTINCT name) FROM used").fetchone() == (3,)


def test_another_process_reads_while_we_write(bench: Bench) -> None:
    bench.logged_in("cengiz@akkaya.local")
    bench.written()
    program = "import sys; from twistedrelay.observe.login_store import read_record; print(len(read_record(sys.argv[1]).accounts))"
    read = subprocess.run([sys.executable, "-c", program, bench.path], capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert read.stdout == "1\n", read.stderr


def test_a_file_of_another_kind_is_an_error(tmp_path: pathlib.Path) -> None:
    (tmp_path / "logins.sqlite").write_text("not a database, but long enough to look at its first hundred octets" * 20)
    with pytest.raises(sqlite3.DatabaseError):
        read_record(str(tmp_path / "logins.sqlite"))
