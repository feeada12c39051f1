"""A relay without a network, over a real spool: seeded outcomes, a disk that fails and dies, and what the outside world saw of it."""

from __future__ import annotations

import errno
import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from zope.interface import implementer

from tests.simulation.wishes import DOMAINS, FINAL, LATER, NEVER, OK, UNPROVEN, Router, is_silent, outcomes, refusal
from tests.spool.world import FaultyDisk, HandReactor
from twistedrelay.config.schema import Transport
from twistedrelay.dsn.report import Reporter
from twistedrelay.interfaces import IAttempt, IContent, IEventSink, ILane, SpoolError
from twistedrelay.schedule.due import Scheduler
from twistedrelay.schedule.retry import returns_at
from twistedrelay.schedule.safetynet import SafetyNet
from twistedrelay.spool.sqlite import SQLiteSpool
from twistedrelay.values.address import NULL, Address
from twistedrelay.values.envelope import (
    NO_MAIL_PARAMETERS,
    Job,
    MailParameters,
    Message,
    MessageStatus,
    OutcomeKind,
    RcptParameters,
    Recipient,
    RecipientState,
)
from twistedrelay.values.events import Dropped, Event, MessageEvent, Removed, ReportSent, Send, ServiceEvent
from twistedrelay.values.kept import KeptQuery
from twistedrelay.values.reply import Reply

REFUSED = Reply(451, "4.4.1", "Connection refused")
LOST = Reply(451, "4.4.2", "Connection lost")

_REPORTED = re.compile(rb"Final-Recipient: rfc822; (\d+)-(\d+)@.*\r\nAction: (\w+)\r\n")

EXPIRATION = 7200.0
REPLY = 1.0  #: seconds that the reply to a message is on its way at most
HOLD_TIME = 5000.0  #: of the safety net

#: A recipient: the number of the message as its client counts, and the place in it.
Who = tuple[int, int]


def _address(text: str) -> Address:
    local, _, domain = text.rpartition("@")
    return Address(text, local, domain)


def who(recipient: Recipient) -> Who:
    """The recipient that an address names."""
    number, place = recipient.address.local.split("-")
    return int(number), int(place)


async def octets_of(content: IContent) -> bytes:
    """All of a content, from wherever it is."""
    chunks = content.in_memory()
    if chunks is not None:
        return b"".join(chunks)
    octets = b""
    while len(octets) < content.size:
        part = await content.read(len(octets), 50_000)
        assert part, "the content is cut"
        octets += part
    return octets


@attrs.define
class Mail:
    """What a client knows of a message it sent.

    @ivar people: the parameters of each recipient.
    @ivar stored: None while it waits for the answer, then whether that was 250.
    """

    content: bytes
    recipients: int
    sender: str
    received_at: float
    parameters: MailParameters = NO_MAIL_PARAMETERS
    people: tuple[RcptParameters, ...] = ()
    stored: bool | None = None
    id: int = 0

    def is_silent(self, place: int) -> bool:
        """Whether nobody is told where a recipient is given up."""
        return is_silent(not self.sender, self.people[place].notify)

    def is_over(self, now: float) -> bool:
        """Whether it may have been given up for its age."""
        by = self.parameters.deliver_by
        end = max(self.received_at, self.parameters.hold_until) + EXPIRATION
        return min(end, self.received_at + by.seconds if by is not None and by.mode == "R" else end) <= now


@attrs.define
class Outside:
    """The world round the relay, which no crash of the relay touches.

    @ivar copies: how often each recipient got its message.
    @ivar excused: for how many copies more there was a word of warning.
    @ivar returned: recipients that their sender got a report about.
    @ivar reports: the Message-IDs of the reports about each recipient, by their action.
    @ivar promised: recipients with a committed success that their sender wants to hear of, and with which action.
    @ivar released: recipients that nobody waits for: removed by an administrator, or given up where no report may be made.
    @ivar crashed_with: how many copies of each recipient a crash made the relay forget.
    @ivar removed: the numbers of messages that an administrator removed, or tried to.
    @ivar taken_out: the ids of messages whose removal was confirmed: nothing of them begins any more, in this life and the next ones.
    @ivar suspended: the numbers of messages that an administrator suspended, where that has taken effect.
    @ivar suspended_queues: likewise queues.
    @ivar latest: the latest time that it has been, before the clock was set.
    @ivar wrong: what must not happen, and did.
    @ivar doubted: ids of messages whose store failed, but perhaps did not.
    """

    mails: dict[int, Mail] = attrs.Factory(dict)
    copies: Counter[Who] = attrs.Factory(Counter)
    excused: Counter[Who] = attrs.Factory(Counter)
    returned: set[Who] = attrs.Factory(set)
    reports: dict[tuple[Who, str], set[str]] = attrs.Factory(lambda: defaultdict(set))
    promised: dict[Who, str] = attrs.Factory(dict)
    unreported: set[int] = attrs.Factory(set)
    released: set[Who] = attrs.Factory(set)
    crashed_with: Counter[Who] = attrs.Factory(Counter)
    doubted: set[int] = attrs.Factory(set)
    removed: set[int] = attrs.Factory(set)
    taken_out: set[int] = attrs.Factory(set)
    suspended: set[int] = attrs.Factory(set)
    suspended_queues: set[str] = attrs.Factory(set)
    told: list[str] = attrs.Factory(list)
    latest: float = 0.0
    wrong: list[str] = attrs.Factory(list)

    def give_up_unproven(self) -> None:
        """A next hop does not prove itself: who needs that is given up, and where that is silent, a crash may swallow the word."""
        for number, mail in self.mails.items():
            if mail.parameters.require_tls:
                self.released.update((number, place) for place in range(mail.recipients) if mail.is_silent(place))

    def forget_silent(self, now: float, id: int = 0) -> None:
        """Who is given up without a word may have been so for age, by a result that nobody heard of.  C{id}: of this message only."""
        for number, mail in self.mails.items():
            if id in (0, mail.id) and mail.is_over(now):
                self.released.update((number, place) for place in range(mail.recipients) if mail.is_silent(place))

    def tell(self, seconds: float, text: str) -> None:
        """Something for the story of what went wrong."""
        self.told.append(f"{seconds:.1f} {text}")

    def story(self, number: int) -> str:
        """All that concerns a message, and the relay as a whole."""
        wanted = re.compile(rf"<{number}[@-]|message {self.mails[number].id}\b")
        return "\n".join(line for line in self.told if wanted.search(line) or "message" not in line)


def _told(event: Event) -> str:
    if isinstance(event, ServiceEvent):
        return event.text
    assert isinstance(event, MessageEvent)
    about = f"message {event.message.id} {event.message.message_id} {type(event).__name__}"
    if isinstance(event, Send):
        return f"{about} <{event.outcome.recipient.address}> {event.outcome.kind.value} {event.outcome.reply}"
    return f"{about} <{event.about.message_id}> {event.kind}" if isinstance(event, ReportSent) else about


@implementer(IEventSink)
class Ears:
    """Hears what one life of the relay says."""

    def __init__(self, life: Life) -> None:
        self._life = life

    def emit(self, event: Event) -> None:
        life = self._life
        if not life.alive:
            return
        outside = life.outside
        outside.tell(life.reactor.seconds(), _told(event))
        if isinstance(event, Send):
            if event.message.origin.source == "DSN":
                return
            recipient = who(event.outcome.recipient)
            if event.outcome.kind is OutcomeKind.DELIVERED:
                life.open.discard((event.message.id, recipient))
                if event.outcome.action and not event.message.sender.is_null and event.message.id not in outside.unreported:
                    outside.promised[recipient] = event.outcome.action
            elif event.outcome.kind is OutcomeKind.FAILED and outside.mails[recipient[0]].is_silent(recipient[1]):
                outside.released.add(recipient)
        elif isinstance(event, Removed):
            for each in event.message.recipients:
                if each.state is RecipientState.REMOVED and event.message.origin.source != "DSN":
                    outside.released.add(who(each))
        elif isinstance(event, Dropped):
            if event.message.origin.source == "DSN":
                outside.tell(life.reactor.seconds(), f"a report is dropped: {event.reason}")
            else:  # given up, with nobody to tell
                outside.released.update(who(each) for each in event.message.recipients if each.state is RecipientState.FAILED)
        elif isinstance(event, ServiceEvent):
            if "defect" in event.text:
                outside.wrong.append(event.text)
            if "did not end in good order" in event.text:
                outside.excused.update(outside.crashed_with)
                outside.crashed_with.clear()
            elif "refused messages failed" in event.text:
                outside.doubted.update(map(int, event.text.rpartition(": ")[2].split(", ")))
            elif found := re.match(r"uncertain: message (\d+) may have reached <(\d+)-(\d+)@", event.text):
                doubted = int(found[2]), int(found[3])
                life.open.discard((int(found[1]), doubted))
                outside.excused[doubted] += 1
            elif found := re.match(r"no report about message (\d+) could be made", event.text):
                outside.unreported.add(int(found[1]))
                outside.taken_out.discard(int(found[1]))  # it stays, and that was said
            elif found := re.match(r"a result of message (\d+) could not be recorded", event.text):  # or nobody knows that it was
                outside.forget_silent(life.reactor.seconds(), int(found[1]))
                outside.taken_out.discard(int(found[1]))


@implementer(IAttempt)
class Hops:
    """Every next hop, as moody as the seed wants."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self.stopped = False
        self._dropped_at = math.inf

    def run(self, lane: ILane) -> Deferred[Reply | None]:
        return Deferred.fromCoroutine(self._run(lane))

    async def _run(self, lane: ILane) -> Reply | None:
        life, chance = self._life, self._life.chance
        await self._wait(0.5)
        if not life.calm and chance.random() < 0.1:
            if not lane.route.require_tls:
                return REFUSED
            life.outside.give_up_unproven()
            return UNPROVEN
        while life.alive and not self.stopped and (job := lane.take()) is not None:
            self._check_time(job)
            self._check_status(job, lane.route.next_hop)
            if not life.calm and chance.random() < 0.05:
                lane.give_back(job)
                return None
            if not await self._transfer(lane, job):
                return None
        return None

    async def _transfer(self, lane: ILane, job: Job) -> bool:
        """One transaction; False where the connection is lost behind it."""
        life, chance, next_hop = self._life, self._life.chance, lane.route.next_hop
        await self._wait(2.0)
        try:
            octets = await octets_of(job.message.content)
        except SpoolError as error:
            lane.done(job, outcomes(job, next_hop, [error.reply] * len(job.recipients), life.reactor.seconds()))
            return False
        if not life.alive or life.reactor.seconds() + REPLY >= self._dropped_at:  # the reply would come too late
            return False
        if len(job.recipients) > 1 and not refusal(job, next_hop) and chance.random() < 0.5:  # the server takes only so many at once
            first = job.recipients[: chance.randrange(1, len(job.recipients))]
            self._arrives(job, first, octets)
            await self._wait(REPLY)
            if not life.alive:
                return False
            part = Job(job.message, first)
            lane.done(job, outcomes(part, next_hop, [OK] * len(first), life.reactor.seconds()), True)
            await self._wait(REPLY)
            if not life.alive or life.reactor.seconds() + REPLY >= self._dropped_at:
                return False
        count = len(job.recipients)
        replies = [refusal(job, next_hop) or (OK if life.calm else chance.choices([OK, LATER, NEVER, LOST], [6, 2, 1, 1])[0])] * count
        if next_hop in FINAL and not life.calm and LOST not in replies:  # an answer for each
            replies = chance.choices([OK, LATER, NEVER], [6, 2, 1], k=count)
        now, lost = life.reactor.seconds(), replies[0] is LOST
        if replies[0] is NEVER and job.message.origin.source == "DSN":
            self._arrives(job, job.recipients, octets)  # it is dropped, and that is said: its sender is told by nobody else
        for recipient, reply in zip(job.recipients, replies, strict=True):
            if job.message.origin.source != "DSN":
                number, place = who(recipient)
                mail = life.outside.mails[number]
                if mail.is_silent(place) and (reply.is_permanent or mail.is_over(now)):
                    life.outside.released.add((number, place))
        took = [recipient for recipient, reply in zip(job.recipients, replies, strict=True) if reply is OK]
        if lost and chance.random() < 0.5:
            took = job.recipients
        if took:
            self._arrives(job, took, octets)
            await self._wait(REPLY)
            if not life.alive:
                return False
        made = outcomes(job, next_hop, replies, life.reactor.seconds(), uncertain=lost)
        if replies[0] is LATER and chance.random() < 0.3:
            made = [attrs.evolve(outcome, defect=True) for outcome in made]
        lane.done(job, made)
        return not lost

    def _check_time(self, job: Job) -> None:
        """Nothing begins before it may, and nothing behind its by-time."""
        now = self._life.reactor.seconds()
        if job.message.parameters.hold_until > max(now, self._life.outside.latest):
            self._life.outside.wrong.append(f"message {job.message.id} leaves early")
        if returns_at(job.message) <= now:
            self._life.outside.wrong.append(f"message {job.message.id} leaves late")

    def _check_status(self, job: Job, queue: str) -> None:
        """What is suspended does not begin."""
        if job.message.id in self._life.outside.taken_out:
            self._life.outside.wrong.append(f"message {job.message.id} leaves although it was removed")
        if queue in self._life.outside.suspended_queues:
            self._life.outside.wrong.append(f"message {job.message.id} leaves by {queue}, which is suspended")
        suspended = {self._life.outside.mails[number].id for number in self._life.outside.suspended}
        if job.message.id in suspended or job.message.status is not MessageStatus.NORMAL:
            text = f"message {job.message.id} leaves although it is suspended, {job.message.status.name}"
            self._life.outside.wrong.append(text)
            self._life.outside.tell(self._life.reactor.seconds(), text)

    def _arrives(self, job: Job, recipients: list[Recipient], octets: bytes) -> None:
        life = self._life
        outside = life.outside
        if job.message.origin.source == "DSN":
            assert job.message.sender.is_null
            reported = _REPORTED.findall(octets)
            assert reported
            for number, place, action in reported:
                name = int(number), int(place)
                outside.reports[name, action.decode()].add(job.message.message_id)
                if action == b"failed":
                    outside.returned.add(name)
            return
        for recipient in recipients:
            name = who(recipient)
            if outside.mails[name[0]].content != octets:
                outside.wrong.append(f"another content than that of {name[0]} arrived")
            outside.copies[name] += 1
            outside.tell(life.reactor.seconds(), f"message {job.message.id} <{recipient.address}> arrives")
            life.open.add((job.message.id, name))

    async def _wait(self, most: float) -> None:
        await deferLater(self._life.reactor, self._life.chance.random() * most)

    async def _stop(self, seconds: float) -> None:
        self.stopped, self._dropped_at = True, self._life.reactor.seconds() + min(seconds, 4.0)
        await deferLater(self._life.reactor, min(seconds, 4.0))

    def stop(self, seconds: float) -> Deferred[None]:
        return Deferred.fromCoroutine(self._stop(seconds))


class MortalDisk(FaultyDisk):
    """A disk whose process can die.

    @ivar dead: nothing is changed any more.
    """

    dead = False

    def kill(self) -> None:
        """Every step from now on fails."""

        def fault(step: str) -> None:
            raise OSError(errno.EIO, "dead")

        self.dead = True
        self.fault = fault

    def unlink(self, path: str) -> None:
        if not self.dead:
            super().unlink(path)


class Life:
    """The relay from a start to its end or its crash.

    @ivar alive: False behind a crash: what is said then, nobody hears.
    @ivar calm: every next hop takes everything, and the disk works.
    @ivar open: messages and recipients that got a copy which the relay did not yet say it knows of; what is sent again is another message.
    @ivar set_back: whether the clock was.
    @ivar resuming: how often an administrator is about to resume a message, by its number.
    """

    def __init__(self, directory: str, outside: Outside, chance: random.Random, now: float, calm: bool) -> None:
        self.outside = outside
        self.chance = chance
        self.alive = True
        self.calm = calm
        self.open: set[tuple[int, Who]] = set()
        self.set_back = False
        self.resuming: Counter[int] = Counter()
        self.disk = MortalDisk()
        self.reactor = HandReactor()
        self.reactor.advance(now)
        self.ears = Ears(self)
        self.spool = SQLiteSpool(
            self.reactor,
            directory,
            events=self.ears,
            on_health=self._health,
            disk=self.disk,
            inline_limit=2000,
            cache_budget=20_000,
            cache_each=8_000,
            keep_delivered=True,
        )
        self.hops = Hops(self)
        self.scheduler = Scheduler(self.reactor, self.spool, Router(), self.hops, self._reporter(), self.ears, self._transport(), window=8)
        self.net = SafetyNet(self.reactor, self.spool, self.scheduler.submit, self.ears, HOLD_TIME)
        self.spool.open()
        self.scheduler.start()
        self.net.start()

    def set_clock(self, seconds: float) -> None:
        """The machine's clock is set ahead by this, or back, and is believed."""
        outside, before = self.outside, self.reactor.seconds()
        outside.latest = max(outside.latest, before)
        self.set_back = self.set_back or seconds < 0
        outside.forget_silent(before)
        self.reactor.rightNow = now = max(before + seconds, 1000.0)
        for call in self.reactor.getDelayedCalls():
            call.delay(now - before)
        for each in (self.scheduler.limits, self.scheduler.probes, self.scheduler.queues):
            each.wait_on(now - before)
        for mail in outside.mails.values():
            mail.received_at = min(mail.received_at, now)
        outside.tell(now, f"the clock is set by {now - before}")

    def _health(self, healthy: bool, reason: str) -> None:
        if healthy:
            self.scheduler.resume()
        else:
            self.scheduler.pause()

    def _transport(self) -> Transport:
        many = self.chance.choice([1, 3, 1000])
        return Transport.model_construct(
            message_expiration_timeout=EXPIRATION, delay_notification_timeout=1200.0, max_outbound_connections=many
        )

    def _reporter(self) -> Reporter:
        return Reporter("relay.example", "postmaster@relay.example", self.spool, self.reactor)

    def change(self, router: Router) -> None:
        """Another configuration."""
        self.scheduler.change(router, self._transport(), self._reporter())

    def receive(self, mail: Mail, number: int) -> None:
        """A client sends a message."""
        self.outside.mails[number] = mail
        content = self.spool.new_content()
        for start in range(0, len(mail.content), 1500):
            content.write(mail.content[start : start + 1500])
        people = [
            Recipient(place, _address(f"{number}-{place}@{self.domain_of((number, place))}"), parameters)
            for place, parameters in enumerate(mail.people)
        ]
        sender = _address(mail.sender) if mail.sender else NULL
        mail.id = self.spool.next_id()
        message = Message(mail.id, sender, people, f"<{number}@client>", mail.received_at, content, mail.parameters)

        def answered(result: object, stored: bool) -> None:
            if self.alive:
                self.outside.tell(self.reactor.seconds(), f"message {mail.id} <{number}@client> stored: {stored}")
                mail.stored = stored
                if stored:
                    self.scheduler.submit(message)

        self.spool.store(message).addCallback(answered, True).addErrback(answered, False)

    def remove(self, number: int, with_ndr: bool) -> None:
        """An administrator removes a message."""
        mail = self.outside.mails[number]
        self.about_to_remove([number], with_ndr)
        self.scheduler.remove(mail.id, with_ndr).addCallbacks(
            lambda _: self.has_removed([number]), lambda failure: failure.trap(SpoolError)
        )

    def has_removed(self, numbers: Iterable[int]) -> None:
        """An administrator was told that these are gone, or will be as soon as nobody sends them."""
        if self.alive:
            ids = [self.outside.mails[number].id for number in numbers]
            self.outside.tell(self.reactor.seconds(), f"the messages {ids} are removed")
            self.outside.taken_out.update(ids)

    def about_to_remove(self, numbers: Iterable[int], with_ndr: bool) -> None:
        """Nobody waits for these any more, except for their report."""
        for number in numbers:
            mail = self.outside.mails[number]
            self.outside.released.update((number, place) for place in range(mail.recipients) if not with_ndr or mail.is_silent(place))
            self.outside.removed.add(number)

    def suspend(self, number: int) -> None:
        """An administrator suspends a message."""

        def suspended(found: bool) -> None:
            if found and self.alive:
                self.outside.suspended.add(number)
                self.outside.tell(self.reactor.seconds(), f"message {self.outside.mails[number].id} is suspended")

        self.scheduler.suspend_message(self.outside.mails[number].id).addCallbacks(suspended, lambda failure: failure.trap(SpoolError))

    def resume(self, number: int) -> None:
        """An administrator resumes a message, if it is suspended or poison."""
        self.outside.tell(self.reactor.seconds(), f"message {self.outside.mails[number].id} is resumed")
        self.outside.suspended.discard(number)
        self.resuming[number] += 1
        resuming = self.scheduler.resume_message(self.outside.mails[number].id)
        resuming.addCallback(lambda _: self.outside.suspended.discard(number))  # a suspension may have been under way
        resuming.addErrback(lambda failure: failure.trap(SpoolError))
        resuming.addCallback(lambda _: self.resuming.subtract([number]))

    def send_again(self, domain: str) -> None:
        """An administrator sends again what a domain got."""
        for name, copies in list(self.outside.copies.items()):
            if copies and self.domain_of(name) == domain:
                self.outside.excused[name] += 1
        self.net.resubmit(KeptQuery(recipient=domain))

    def domain_of(self, name: Who) -> str:
        """Where a recipient is."""
        return DOMAINS[(name[0] + name[1] // 2) % len(DOMAINS)]

    def shows_held(self) -> None:
        """What is held is in the queue, for those who look."""
        if not self.spool.healthy:
            return
        # Not those that are answered while the list is on its way: it may be older.
        stored = [number for number, mail in self.outside.mails.items() if mail.stored]
        try:
            listed = {message.id: message for message in self.reactor.wait(self.spool.browse(1000)).messages}
        except SpoolError:
            return
        for number in stored:
            mail = self.outside.mails[number]
            until = mail.parameters.hold_until
            now = max(self.reactor.seconds(), self.outside.latest)
            if until > now and number not in self.outside.removed and not mail.is_over(now):
                message = listed[mail.id]
                assert message.parameters.hold_until == until
                held = min(until, returns_at(message))
                waiting = [each.next_attempt for each in message.recipients if each.state is RecipientState.READY]
                assert all(when >= held for when in waiting), f"{self.outside.story(number)}\n{message} {waiting}"

    def agrees(self) -> None:
        """Whether a message takes part is the same in memory and on the disk, where nothing is being changed."""
        if not self.spool.healthy or self.scheduler._aside._one_by_one.locked:
            return
        settled = {number: entry for number, entry in self.scheduler._entries.items() if not entry.records}
        try:
            listed = self.reactor.wait(self.spool.browse(1000)).messages
        except SpoolError:
            return
        for message in listed:
            entry = settled.get(message.id)
            if entry is not None and self.scheduler._entries.get(message.id) is entry and not entry.records:
                here, there = entry.message.status, message.status
                if (here is MessageStatus.NORMAL) is not (there is MessageStatus.NORMAL):
                    self.outside.wrong.append(f"message {message.id} is {here.name} in memory and {there.name} on the disk")

    def turn(self, seconds: float) -> None:
        """Time goes by, and the threads have a moment."""
        self.reactor.advance(seconds)
        self.reactor.drain(0.0015)

    def crash(self) -> None:
        """Nothing reaches the disk or the outside any more; then the remains are cleared away."""
        self.alive = False
        self.outside.tell(self.reactor.seconds(), "crash")
        outside = self.outside
        self.outside.crashed_with = Counter(name for _, name in self.open)
        if self.set_back:  # what was due before is no longer by the new clock, and the warning does not count it
            self.outside.excused.update(self.outside.crashed_with)
        outside.suspended.difference_update(+self.resuming)  # that may be on the disk, although nobody heard of it
        outside.forget_silent(self.reactor.seconds())
        self.net.stop()
        self.disk.kill()
        self.reactor.wait(self.spool.close())

    def end(self) -> None:
        """A stop in good order."""
        self.net.stop()
        stopped = self.scheduler.stop(10.0)
        done: list[Any] = []
        stopped.addBoth(done.append)
        while not done:
            self.turn(0.5)
        self.reactor.wait(self.spool.close())
        self.alive = False
        assert not self.spool.healthy
