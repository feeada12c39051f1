"""Tests for L{twistedrelay.pickup.directory}: each file is sent once, whatever happens in between."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from tests.net.relay import Events, FakeContent, FakeSpool
from twistedrelay.config.schema import Config
from twistedrelay.interfaces import SpoolError
from twistedrelay.pickup.directory import AT_A_TIME, HELD, INTERVAL, Office, PickupDirectory
from twistedrelay.pickup.letter import readers
from twistedrelay.pickup.lines import Lines
from twistedrelay.values.envelope import Message
from twistedrelay.values.events import Receive, ServiceEvent
from twistedrelay.values.reply import SYSTEM_RESOURCES

NOON = 1_800_000_000.0
LETTER = b"From: a@akkaya.local\nTo: b@akkaya.local\nSubject: x\n\nhello\n"


class Died(Exception):
    """The process ended here."""


class Spool(FakeSpool):
    """Also knows what it has, and keeps it over restarts."""

    def load(self, ids: Sequence[int]) -> Deferred[list[Message]]:
        return succeed([message for message in self.stored if message.id in ids])


class Here(Office):
    """Everything at once, in this thread; C{before} is told of each step."""

    before: Callable[[str], None] = lambda step: None

    def in_thread(self, work: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        type(self).before(work.__name__)
        try:
            return succeed(work(*arguments))
        except Exception:
            return fail()


class World:
    """A directory, and the processes that come and go over it."""

    def __init__(self, path: Path, name: str = "Pickup", per_minute: int = 100, **transport: Any) -> None:
        self.path = path
        self.clock = Clock()
        self.clock.advance(NOON)
        self.spool = Spool()
        self.events = Events()
        self.submitted: list[tuple[Message, float, list[str]]] = []
        server = {"name": "E", "fqdn": "relay.akkaya.local", "state_directory": "/none"}
        domains = {"*.x.org": {"next_hop": "m:25"}, "akkaya.local": {"next_hop": "m:25"}}
        self.config = Config.model_validate({"server": server, "accepted_domains": domains, "transport": transport})
        self.name, self.per_minute = name, per_minute
        self.service: PickupDirectory | None = None

    def start(self) -> None:
        office = Here(self.clock, "relay.akkaya.local", self.spool, self.events, self.submit)
        self.service = PickupDirectory(office, str(self.path), readers(self.config)[self.name], self.per_minute)
        self.service.startService()

    def submit(self, message: Message) -> None:
        self.submitted.append((message, message.recipients[0].next_attempt, sorted(os.listdir(self.path))))

    def drop(self, name: str, content: bytes = LETTER, age: float = 10.0) -> Path:
        path = self.path / name
        path.write_bytes(content)
        os.utime(path, (self.clock.seconds() - age,) * 2)
        return path

    def look(self) -> None:
        self.clock.advance(INTERVAL)

    def names(self) -> list[str]:
        return sorted(os.listdir(self.path))

    def told(self) -> list[str]:
        return [event.text for event in self.events.of(ServiceEvent)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    Here.before = staticmethod(lambda step: None)  # type: ignore[assignment]


def octets(message: Message) -> bytes:
    content = message.content
    assert isinstance(content, FakeContent)
    return content.octets


def test_a_file_is_sent_and_gone(world: World) -> None:
    world.start()
    world.drop("a.eml")
    world.drop("not yet.tmp")
    world.drop("eml")
    world.drop("notes.txt")
    world.look()
    ((message, due, names),) = world.submitted
    assert names == ["eml", "not yet.tmp", "notes.txt"] and due == 0.0
    assert message.sender.text == "a@akkaya.local"
    assert [recipient.address.text for recipient in message.recipients] == ["b@akkaya.local"]
    assert message.origin.source == "PICKUP" and message.origin.connector == "Pickup"
    assert re.fullmatch(
        rb"Received: from localhost \(userid \d+\)\r\n by relay.akkaya.local \(Pickup\)\r\n id 1;\r\n [^\r]+\r\n"
        rb"From: a@akkaya.local\r\nTo: b@akkaya.local\r\nSubject: x\r\nDate: [^\r]+\r\nMessage-ID: <[^>]+@akkaya.local>\r\n\r\nhello\r\n",
        octets(message),
    )
    assert len(world.events.of(Receive)) == 1
    assert message.message_id.encode() in octets(message)


def test_windows_writes_in_capitals(world: World) -> None:
    world.drop("SCAN001.EML")
    world.start()
    assert len(world.submitted) == 1 and world.names() == []


def test_it_is_not_due_before_the_file_is_gone(world: World) -> None:
    due: list[float] = []
    world.spool.held = []
    world.start()
    world.drop("a.eml")
    world.look()
    due.append(world.spool.stored[0].recipients[0].next_attempt)
    assert due == [NOON + INTERVAL + HELD] and world.submitted == []
    assert world.names() == ["a.0000000000000001.tmp"]
    world.spool.held.pop().callback(None)
    assert len(world.submitted) == 1 and world.names() == []


@pytest.mark.parametrize("sent", [True, False])
def test_a_file_whose_deletion_takes_too_long_is_sent_once(world: World, sent: bool) -> None:
    """Its message has come due by itself meanwhile."""
    world.start()
    world.drop("a.eml")

    def slow(step: str) -> None:
        if step == "remove":
            world.clock.rightNow += HELD
            if sent:
                world.spool.stored.clear()

    Here.before = staticmethod(slow)  # type: ignore[assignment]
    world.look()
    assert world.names() == []
    assert [message.id for message, _, _ in world.submitted] == ([] if sent else [1])


def test_what_cannot_be_sent_is_set_aside(world: World) -> None:
    world.start()
    world.drop("a.bad", b"an older one")
    world.drop("a.eml", b"no message\n")
    world.drop("b.eml", LETTER + b"\0")
    world.look()
    assert world.names() == ["a.0000000000000001.bad", "a.bad", "b.bad"]
    assert world.spool.stored == world.submitted == []
    assert "a.eml cannot be sent and is now a.0000000000000001.bad: it has no header section" in world.told()[0]
    assert "there is a NUL in it" in world.told()[1]
    assert all(content.aborted for content in world.spool.contents)


@pytest.mark.parametrize("kind", ["symlink", "fifo", "hard link", "directory"])
def test_only_plain_files_are_read(world: World, tmp_path_factory: pytest.TempPathFactory, kind: str) -> None:
    secret = tmp_path_factory.mktemp("elsewhere") / "secret"
    secret.write_bytes(LETTER)
    os.utime(secret, (NOON - 10, NOON - 10))
    path = world.path / "a.eml"
    if kind == "symlink":
        path.symlink_to(secret)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "hard link":
        os.link(secret, path)
    else:
        path.mkdir()
    os.utime(path, (NOON - 10, NOON - 10), follow_symlinks=False)
    world.start()
    world.look()
    assert world.names() == ["a.bad"] and world.spool.stored == []


@pytest.mark.parametrize("name", ["a\nb", "", "-rf", "\udcff", "n" * 251, "\u00fc" * 125, "x.0000000000000007.tmp"])
@pytest.mark.parametrize("good", [True, False])
def test_any_name_will_do(world: World, name: str, good: bool) -> None:
    world.drop(f"{name}.eml", LETTER if good else b"no message\n")
    world.start()
    names = world.names()
    assert len(world.submitted) == good
    assert [one[-4:] for one in names] == ([] if good else [".bad"])
    assert all(text.isprintable() for text in world.told())
    assert all((world.path / one).is_file() for one in names)


def test_a_second_name_that_goes_away_in_time_helps_nobody(
    world: World, tmp_path_factory: pytest.TempPathFactory, monkeypatch: Any
) -> None:
    """A second name that goes away between the opening of the file and the look at it."""
    secret = tmp_path_factory.mktemp("elsewhere") / "secret"
    secret.write_bytes(LETTER)
    os.utime(secret, (NOON - 10, NOON - 10))
    os.link(secret, world.path / "a.eml")
    real = os.open

    def opened(path: str, *arguments: Any) -> int:
        descriptor = real(path, *arguments)
        if path.endswith(".tmp"):
            os.unlink(path)
        return descriptor

    monkeypatch.setattr("twistedrelay.pickup.files.os.open", opened)
    world.start()
    assert world.spool.stored == [] and secret.stat().st_nlink == 1


@pytest.mark.parametrize(("number", "waits"), [(errno.EMFILE, True), (errno.EIO, True), (errno.EACCES, False)])
def test_our_own_trouble_is_not_that_of_the_file(world: World, monkeypatch: Any, number: int, waits: bool) -> None:
    real = os.open

    def opened(path: str, *arguments: Any) -> int:
        if path.endswith(".tmp"):
            raise OSError(number, os.strerror(number))
        return real(path, *arguments)

    world.drop("a.eml")
    world.drop("b.eml")
    with monkeypatch.context() as patch:
        patch.setattr("twistedrelay.pickup.files.os.open", opened)
        world.start()
        assert world.names() == (["a.eml", "b.eml"] if waits else ["a.bad", "b.bad"])
        assert len(world.told()) == (1 if waits else 2)
    world.look()
    assert len(world.submitted) == (2 if waits else 0)


def test_a_file_that_cannot_be_read_to_its_end_waits(world: World, monkeypatch: Any) -> None:
    real = Lines.end

    def broken(lines: Lines) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Lines, "end", broken)
    world.drop("a.eml")
    world.start()
    assert world.names() == ["a.eml"] and all(content.aborted for content in world.spool.contents)
    monkeypatch.setattr(Lines, "end", real)
    world.look()
    assert world.names() == [] and len(world.submitted) == 1


def test_a_file_that_cannot_be_taken_keeps_no_other_waiting(world: World, monkeypatch: Any) -> None:
    real = os.rename

    def renamed(old: str, new: str) -> None:
        if "stuck" in old:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        real(old, new)

    monkeypatch.setattr("twistedrelay.pickup.files.os.rename", renamed)
    for number in range(2 * AT_A_TIME):
        world.drop(f"stuck{number}.eml", age=60.0)
    world.drop("a.eml")
    world.start()
    world.look()
    assert len(world.submitted) == 1 and len(world.told()) == 1


def test_a_file_that_is_still_being_written_waits(world: World) -> None:
    world.start()
    path = world.drop("a.eml", age=-INTERVAL)  # written at the moment of the look
    world.look()
    assert world.submitted == [] and path.exists()
    world.clock.advance(INTERVAL)
    assert len(world.submitted) == 1


@pytest.mark.parametrize(("age", "taken"), [(0.0, False), (0.5, False), (-0.5, False), (1.0, True), (-3600.0, True)])
def test_what_is_at_rest(world: World, age: float, taken: bool) -> None:
    """A file may be made between the look at the clock and the look at the file."""
    path = world.drop("a.eml", age=age)
    world.start()
    assert path.exists() is not taken


def test_a_sick_spool_takes_nothing_and_loses_nothing(world: World) -> None:
    world.start()
    world.spool.error = SpoolError("full", SYSTEM_RESOURCES)
    world.drop("a.eml")
    world.look()
    assert world.names() == ["a.eml"] and world.submitted == []
    world.spool.healthy = False
    world.look()
    world.spool.error, world.spool.healthy = None, True
    world.look()
    assert world.names() == [] and len(world.submitted) == 1


def test_so_many_a_minute(tmp_path: Path) -> None:
    world = World(tmp_path, per_minute=3)
    for number in range(8):
        world.drop(f"{number}.eml", age=20.0 - number)
    world.start()
    assert world.names() == [f"{number}.eml" for number in range(3, 8)]  # the oldest first
    world.look()
    assert len(world.submitted) == 3
    world.clock.pump([1.0] * 60)
    assert len(world.submitted) == 6
    world.clock.pump([1.0] * 60)
    assert len(world.submitted) == 8


def test_only_a_few_at_a_time(world: World) -> None:
    world.spool.held = []
    for number in range(10):
        world.drop(f"{number}.eml")
    world.start()
    assert len(world.spool.stored) == AT_A_TIME
    while world.spool.held:
        world.spool.held.pop().callback(None)
    assert len(world.submitted) == 10


def test_the_end_waits_for_what_is_under_way(world: World) -> None:
    world.spool.held = []
    world.drop("a.eml")
    world.start()
    assert world.service is not None
    ended: list[None] = []
    world.service.stopService().addCallback(ended.append)
    assert ended == []
    world.spool.held.pop().callback(None)
    assert ended == [None] and world.names() == []


def test_a_directory_that_is_gone_is_told_of_once(world: World) -> None:
    world.start()
    world.path.rename(world.path.with_name("elsewhere"))
    for _ in range(5):
        world.look()
    assert len(world.told()) == 1 and "cannot be used" in world.told()[0] and "No such file" in world.told()[0]
    world.path.mkdir()
    world.drop("a.eml")
    world.look()
    assert len(world.submitted) == 1


@pytest.mark.parametrize("last", range(12))
def test_a_crash_at_any_step(world: World, last: int) -> None:
    """The process ends after so many steps: the message is sent once, and its file is gone."""
    steps = iter(range(last))

    def die(name: str) -> None:
        if next(steps, None) is None:
            raise Died

    Here.before = staticmethod(die)  # type: ignore[assignment]
    world.drop("a.eml")
    world.start()
    Here.before = staticmethod(lambda step: None)  # type: ignore[assignment]
    world.start()
    world.clock.pump([INTERVAL] * 3)
    assert world.names() == []
    assert len(world.spool.stored) == 1  # what is stored is sent: by submit, or when it is due


def test_a_crash_between_commit_and_deletion(world: World) -> None:
    world.drop("a.eml")

    def die(name: str) -> None:
        if name == "remove":
            raise Died

    Here.before = staticmethod(die)  # type: ignore[assignment]
    world.start()
    assert world.names() == ["a.0000000000000001.tmp"] and world.submitted == []
    Here.before = staticmethod(lambda step: None)  # type: ignore[assignment]
    world.start()
    assert world.names() == [] and world.submitted == [] and len(world.spool.stored) == 1


def test_the_spool_is_asked_before_anything_can_be_sent(world: World) -> None:
    """What is due may be sent right after the start, and then the spool would not know it any more."""
    world.drop("a.0000000000000007.tmp")
    asked: list[list[int]] = []

    def load(ids: Sequence[int]) -> Deferred[list[Message]]:
        asked.append(list(ids))
        return Deferred()

    world.spool.load = load  # type: ignore[method-assign]
    world.start()
    assert asked == [[7]]
    world.look()
    assert world.names() == ["a.0000000000000007.tmp"]


def test_a_crash_before_the_commit(world: World) -> None:
    world.drop("a.eml")

    def die(name: str) -> None:
        if name == "open":
            raise Died

    Here.before = staticmethod(die)  # type: ignore[assignment]
    world.start()
    assert world.names() == ["a.0000000000000001.tmp"]
    world.drop("a.eml", LETTER.replace(b"hello", b"another of the same name"))
    Here.before = staticmethod(lambda step: None)  # type: ignore[assignment]
    world.start()
    world.clock.advance(120.0)
    assert world.names() == [] and len(world.submitted) == 2
