"""Stand-ins for the rooms round the schedule: a spool in memory, a next hop that obeys, a reporter that notes."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from twistedrelay.config.schema import Transport
from twistedrelay.interfaces import IAttempt, IContent, IEventSink, ILane, IReporter, IRouter, ISpool
from twistedrelay.schedule.due import Scheduler
from twistedrelay.values.address import NULL, Address
from twistedrelay.values.browsing import EVERYTHING, MessagePage, MessageQuery
from twistedrelay.values.envelope import Job, MailParameters, Message, MessageStatus, Outcome, OutcomeKind, Recipient, RecipientState
from twistedrelay.values.events import Event
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Route

OK = Reply(250, "2.0.0", "OK")
LATER = Reply(451, "4.3.0", "Try again later")
NEVER = Reply(550, "5.1.1", "User unknown")
REFUSED = Reply(451, "4.4.1", "Connection refused")


def address(text: str) -> Address:
    local, _, domain = text.rpartition("@")
    return Address(text, local, domain) if text else NULL


@implementer(IContent)
class Content:
    size = 100

    def in_memory(self) -> Sequence[bytes] | None:
        return None

    def read(self, offset: int, length: int) -> Deferred[bytes]:
        return succeed(b"")


def message(number: int, *recipients: str, sender: str = "sender@here.example", received_at: float = 0.0, **parameters: Any) -> Message:
    people = [Recipient(index, address(text)) for index, text in enumerate(recipients or ("user@there.example",))]
    made = Message(number, address(sender), people, f"<{number}@here.example>", received_at, Content(), MailParameters(**parameters))
    made.hold()
    return made


@implementer(ISpool)
class Spool:
    """Keeps copies, as a disk would.  With C{hold}, records wait for L{commit}."""

    healthy = True
    doubtful = 0

    def __init__(self) -> None:
        self.disk: dict[int, Message] = {}
        self.hold = False
        self.held: list[Callable[[], None]] = []
        self.queries = 0
        self.loaded: list[int] = []
        self.records: list[tuple[int, list[OutcomeKind], list[int]]] = []
        self.lanes: dict[int, tuple[str, float]] = {}
        self.parks = 0
        self.texts: dict[str, str] = {}

    def put(self, message: Message) -> Message:
        self.disk[message.id] = copy.deepcopy(message)
        return message

    def record(self, message: Message, outcomes: Sequence[Outcome], reports: Sequence[Message] = ()) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        states = [copy.copy(outcome.recipient) for outcome in outcomes]
        failures, status = message.failures, message.status

        def commit() -> None:
            self.records.append((message.id, [outcome.kind for outcome in outcomes], [report.id for report in reports]))
            kept = self.disk.get(message.id)
            self.lanes.pop(message.id, None)
            if kept is not None:
                for state in states:
                    kept.recipients[state.index] = state
                if failures:
                    kept.failures = failures
                    kept.status = status if status is MessageStatus.POISON else kept.status
                if all(each.state is not RecipientState.READY for each in kept.recipients):
                    del self.disk[message.id]
            for report in reports:
                self.put(report)
            done.callback(None)

        if self.hold:
            self.held.append(commit)
        else:
            commit()
        return done

    def commit(self) -> None:
        while self.held:
            self.held.pop(0)()

    def load(self, ids: Sequence[int]) -> Deferred[list[Message]]:
        found = []
        for number in ids:
            if number in self.disk:
                self.loaded.append(number)
                loaded = copy.deepcopy(self.disk[number])
                loaded.recipients = [each for each in loaded.recipients if each.state is RecipientState.READY]
                found.append(loaded)
        return succeed(found)

    def due(self, before: float, limit: int) -> Deferred[list[tuple[float, int]]]:
        self.queries += 1
        rows = []
        for kept in self.disk.values():
            when = min(each.next_attempt for each in kept.recipients if each.state is RecipientState.READY)
            if kept.id in self.lanes:
                when = self.lanes[kept.id][1]
            if when < before and kept.status is MessageStatus.NORMAL:
                rows.append((when, kept.id))
        return succeed(sorted(rows)[:limit])

    def park(self, ids: Sequence[int], lane: str, until: float) -> Deferred[None]:
        self.parks += 1
        for number in ids:
            if number in self.disk and self.disk[number].status is MessageStatus.NORMAL:
                if lane:
                    self.lanes[number] = (lane, until)
                else:
                    self.lanes.pop(number, None)
        return succeed(None)

    def parked(self, lanes: Mapping[str, int]) -> Deferred[dict[str, list[int]]]:
        found: dict[str, list[int]] = {lane: [] for lane in lanes}
        for number, (name, _) in sorted(self.lanes.items()):
            if len(found.get(name, ())) < lanes.get(name, 0):
                found[name].append(number)
        return succeed(found)

    def waiting(self, after: tuple[float, int], limit: int) -> Deferred[list[tuple[float, int, str]]]:
        rows = []
        for kept in self.disk.values():
            if kept.status is MessageStatus.NORMAL:
                when = min(each.next_attempt for each in kept.recipients if each.state is RecipientState.READY)
                lane, until = self.lanes.get(kept.id, ("", when))
                rows.append((until, kept.id, lane))
        return succeed(sorted(row for row in rows if row[:2] > after)[:limit])

    def parked_lanes(self) -> Deferred[list[tuple[str, int]]]:
        return succeed(list(Counter(name for name, _ in self.lanes.values()).items()))

    def set_status(self, ids: Sequence[int], status: MessageStatus, failures: int | None = None, only: int | None = None) -> Deferred[int]:
        found = [self.disk[number] for number in ids if number in self.disk and only in (None, self.disk[number].status)]
        for kept in found:
            kept.status = status
            kept.failures = kept.failures if failures is None else failures
            self.lanes.pop(kept.id, None)
            if status is MessageStatus.NORMAL:
                for each in kept.recipients:
                    each.next_attempt = kept.parameters.hold_until
        return succeed(len(found))

    def redirect(self, ids: Sequence[int], to: str) -> Deferred[int]:
        found = [self.disk[number] for number in ids if number in self.disk]
        for kept in found:
            kept.redirect = to
        self.set_status([kept.id for kept in found], MessageStatus.NORMAL, None, MessageStatus.NORMAL)
        return succeed(len(found))

    def browse(self, limit: int, after: int | None = None, query: MessageQuery = EVERYTHING) -> Deferred[MessagePage]:
        found = [copy.deepcopy(self.disk[number]) for number in sorted(self.disk) if number > (after or 0)]
        return succeed(MessagePage(found[:limit], found[limit - 1].id if len(found) > limit else None))

    def statuses(self) -> Deferred[dict[MessageStatus, int]]:
        return succeed(dict(Counter(kept.status for kept in self.disk.values() if kept.status is not MessageStatus.NORMAL)))

    def remember(self, key: str, value: str | None) -> Deferred[None]:
        if value is None:
            self.texts.pop(key, None)
        else:
            self.texts[key] = value
        return succeed(None)

    def remembered(self) -> Deferred[dict[str, str]]:
        return succeed(dict(self.texts))


@implementer(IRouter)
class Router:
    """One lane for each domain; C{ways} overrides."""

    def __init__(self) -> None:
        self.ways: dict[str, Route | Reply] = {}
        self.poison: set[int] = set()

    def route(self, message: Message, recipient: Recipient) -> Route | Reply:
        if message.id in self.poison:
            raise RuntimeError("a defect")
        domain = recipient.address.domain
        way = self.ways.get(domain)
        if way is None:
            way = self.ways[domain] = Route("Internet", domain, "DnsConnectorDelivery", mx_domain=domain)
        return way


class Run:
    """One delivery run under the test's control."""

    def __init__(self, lane: ILane) -> None:
        self.lane = lane
        self.ended: Deferred[Reply | None] = Deferred()
        self.job: Job | None = None

    def take(self) -> Job | None:
        self.job = self.lane.take()
        return self.job

    def finish(self, reply: Reply = OK, *, uncertain: bool = False, action: str = "", defect: bool = False) -> None:
        job, self.job = self.job, None
        assert job is not None
        made = outcomes(job, reply, uncertain=uncertain, action=action)
        self.lane.done(job, [attrs.evolve(outcome, defect=defect) for outcome in made])

    def end(self, reply: Reply | None = None) -> None:
        self.ended.callback(reply)


def outcomes(job: Job, reply: Reply, *, uncertain: bool = False, action: str = "") -> list[Outcome]:
    kind = OutcomeKind.DELIVERED if reply.is_positive else OutcomeKind.DEFERRED if reply.is_transient else OutcomeKind.FAILED
    return [Outcome(each, kind, reply, "mx [192.0.2.1]:25", uncertain=uncertain, action=action) for each in job.recipients]


@implementer(IAttempt)
class Attempt:
    """Runs are kept for the test; with C{answer} they do all their work at once."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.answer: Callable[[str], Reply] | None = None
        self.connect: dict[str, Reply] = {}
        self.delivered: list[tuple[int, int]] = []
        self.stopped: float | None = None

    def run(self, lane: ILane) -> Deferred[Reply | None]:
        run = Run(lane)
        if self.answer is None:
            self.runs.append(run)
            return run.ended
        refused = self.connect.get(lane.route.next_hop)
        if refused is not None:
            return succeed(refused)
        while run.take() is not None:
            assert run.job is not None
            reply = self.answer(lane.route.next_hop)
            if reply.is_positive:
                self.delivered.extend((run.job.message.id, each.index) for each in run.job.recipients)
            run.finish(reply)
        return succeed(None)

    def stop(self, seconds: float) -> Deferred[None]:
        self.stopped = seconds
        return succeed(None)


@implementer(IReporter)
class Reporter:
    def __init__(self) -> None:
        self.next_id = 900_000
        self.failures: list[tuple[int, list[str]]] = []
        self.delays: list[tuple[int, list[str], float]] = []
        self.successes: list[tuple[int, list[int], str]] = []
        self.broken = False

    def _report(self, about: Message) -> Message | None:
        if self.broken:
            raise OSError("no space")
        if about.sender.is_null:
            return None
        self.next_id += 1
        return message(self.next_id, about.sender.text, sender="")

    async def _made(self, about: Message) -> Message | None:
        return self._report(about)

    def failed(self, message: Message, recipients: Sequence[Recipient]) -> Deferred[Message | None]:
        self.failures.append((message.id, [str(each.last_reply) for each in recipients]))
        return Deferred.fromCoroutine(self._made(message))

    def delayed(self, message: Message, recipients: Sequence[Recipient], gives_up_at: float) -> Deferred[Message | None]:
        self.delays.append((message.id, [str(each.last_reply) for each in recipients], gives_up_at))
        return Deferred.fromCoroutine(self._made(message))

    def succeeded(self, message: Message, recipients: Sequence[Recipient], action: str) -> Deferred[Message | None]:
        self.successes.append((message.id, [each.index for each in recipients], action))
        return Deferred.fromCoroutine(self._made(message))


@implementer(IEventSink)
class Events:
    def __init__(self) -> None:
        self.all: list[Event] = []

    def emit(self, event: Event) -> None:
        self.all.append(event)

    def of(self, kind: type) -> list[Event]:
        return [event for event in self.all if type(event) is kind]


class World:
    """A scheduler with fakes all round."""

    def __init__(self, window: int = 1000, **settings: object) -> None:
        self.clock = Clock()
        self.spool = Spool()
        self.router = Router()
        self.attempt = Attempt()
        self.reporter = Reporter()
        self.events = Events()
        self.transport = Transport.model_construct(**settings)
        self.window = window
        self.scheduler = self.restart()

    def restart(self) -> Scheduler:
        """A new scheduler over the same disk."""
        self.scheduler = Scheduler(
            self.clock, self.spool, self.router, self.attempt, self.reporter, self.events, self.transport, self.window, chance=lambda: 0.5
        )
        return self.scheduler

    def submit(self, *messages: Message) -> None:
        for each in messages:
            self.scheduler.submit(self.spool.put(each))

    @property
    def runs(self) -> list[Run]:
        return self.attempt.runs

    def sleep(self, seconds: float, step: float = 10.0) -> None:
        while seconds > 0:
            self.clock.advance(min(step, seconds))
            seconds -= step
