"""A directory whose files are sent: what the pickup and the replay directory are while the relay runs.

Decides when a file is taken, and in which order its steps happen, so that it is sent once whatever ends the process in between:

1. it gets the name that holds the id of its message;
2. the message is committed to the spool, but due some seconds later only;
3. the file is deleted, for good;
4. the message is made known to the schedule, which sends it at once; where 3. took longer, as it is in the spool then.

After a start, a file that was taken is deleted where its message is in the spool, and waits again where it is not.  So it is sent twice
only where a crash comes upon a deletion that took longer than those seconds.

Files that cannot be sent are renamed and told of; what the spool cannot take now waits.  There are so many messages a minute at most.

Source: Exchange Server, "Pickup directory and Replay directory".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedrelay.interfaces import IContentWriter, IEventSink, ISpool, SpoolError
from twistedrelay.pickup.files import Files, Opened
from twistedrelay.pickup.letter import Letter, Reader
from twistedrelay.pickup.lines import LetterError
from twistedrelay.policy.trace import generated_message_id, rfc5322_date
from twistedrelay.values.envelope import Message, Origin
from twistedrelay.values.events import Receive, ServiceEvent
from twistedrelay.values.printable import escape

INTERVAL = 1.0  #: seconds between two looks
AT_A_TIME = 4
HELD = 15.0  #: seconds that a deletion may take
PIECE = 256 * 1024
DISK_BACKLOG = 1024 * 1024
MINUTE = 60.0

_Result = TypeVar("_Result")


@attrs.frozen(slots=True, eq=False)
class Office:
    """What both directories need of the relay.

    @ivar fqdn: the name in the trace header.
    @ivar submit: takes a message that was committed to the spool.
    @ivar held: whether nothing may be taken now.
    """

    reactor: Any
    fqdn: str
    spool: ISpool
    events: IEventSink
    submit: Callable[[Message], None]
    held: Callable[[], bool] = lambda: False

    def in_thread(self, work: Callable[..., _Result], *arguments: Any) -> Deferred[_Result]:
        """Do something that blocks."""
        return deferToThreadPool(self.reactor, self.reactor.getThreadPool(), work, *arguments)

    def tell(self, level: str, text: str) -> None:
        """Say something in the log."""
        self.events.emit(ServiceEvent(level, text))


class PickupDirectory(Service):
    """See the module."""

    log = Logger()

    def __init__(self, office: Office, path: str, reader: Reader, per_minute: int) -> None:
        self._office = office
        self._path = path
        self._reader = reader
        self._files = Files(path)
        self._per_minute = per_minute
        self._taken: deque[float] = deque()  # when, within the last minute
        self._loop = LoopingCall(self._look)
        self._loop.clock = office.reactor
        self._recovery: Deferred[Any] | None = None
        self._round: Deferred[Any] | None = None
        self._trouble = ""

    def change(self, office: Office, reader: Reader, per_minute: int) -> None:
        """Other rules from now on."""
        self._office, self._reader, self._per_minute = office, reader, per_minute

    def startService(self) -> None:
        """Find out what became of files that were taken before, then look for more.

        To be called in front of the schedule's start: what is in the spool must be asked before any of it can be sent and gone.
        """
        super().startService()
        try:
            taken = self._files.taken()
        except OSError:  # the first look will tell
            taken = []
        self._recovery = Deferred.fromCoroutine(self._recover(taken)).addErrback(self._failed)
        self._recovery.addCallback(self._begin)

    def _begin(self, _: None) -> None:
        if self.running:
            self._loop.start(INTERVAL, now=True).addErrback(self._failed)

    def stopService(self) -> Deferred[None]:
        """Take no more; fires when those under way are in the queue or wait again."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        stopped: Deferred[None] = Deferred()
        under_way = [work for work in (self._recovery, self._round) if work is not None]
        DeferredList(under_way).addCallback(lambda _: stopped.callback(None))
        return stopped

    def _look(self) -> Deferred[Any]:
        self._round = Deferred.fromCoroutine(self._send_waiting()).addErrback(self._failed)
        return self._round

    def _failed(self, failure: Failure) -> None:
        """The directory cannot be used now; each reason is told once."""
        text = failure.getErrorMessage()
        if text != self._trouble:
            self._trouble = text
            self._office.tell("error", f"the {self._reader.name.lower()} directory {self._path} cannot be used: {text}")
            if not failure.check(OSError, SpoolError):
                self.log.failure("the directory {path} cannot be worked on", failure, path=self._path)

    async def _recover(self, taken: list[tuple[str, int]]) -> None:
        """Delete the files whose messages are in the queue; the others wait again."""
        office, files = self._office, self._files
        if taken:
            known = {message.id for message in await office.spool.load([id for _, id in taken])}
            for name, id in taken:
                await office.in_thread(files.remove if id in known else files.give_back, name)

    # -- rounds ----------------------------------------------------------------------------------------------------------

    async def _send_waiting(self) -> None:
        """Send what waits, a few at a time."""
        office = self._office
        now = office.reactor.seconds()
        while self._taken and self._taken[0] <= now - MINUTE:
            self._taken.popleft()
        room = self._per_minute - len(self._taken)
        if room <= 0 or not office.spool.healthy or office.held():
            return
        names = deque(await office.in_thread(self._files.waiting, office.reactor.seconds, room))

        async def work() -> None:
            trouble: OSError | None = None
            while names and self.running and office.spool.healthy and not office.held():
                try:
                    await self._send(names.popleft())
                except OSError as error:  # the next file may be better
                    trouble = error
            if trouble is not None:
                raise trouble

        workers = [Deferred.fromCoroutine(work()) for _ in range(min(AT_A_TIME, len(names)))]
        results: list[tuple[bool, Any]] = await DeferredList(workers, consumeErrors=True)
        for _, failure in (result for result in results if not result[0]):
            self._failed(failure)
        if all(worked for worked, _ in results):
            self._trouble = ""

    async def _send(self, name: str) -> None:
        office, files = self._office, self._files
        id = office.spool.next_id()
        try:
            taken = await office.in_thread(files.take, name, id)
            self._taken.append(office.reactor.seconds())
            message = await self._stored(name, taken, id)
        except FileNotFoundError:  # its writer thought better of it
            return
        if message is None:
            return
        office.events.emit(Receive(message))
        try:
            await office.in_thread(files.remove, taken)
        except OSError as error:
            text = f"{escape(taken)} was sent and cannot be deleted; a restart may send it again: {error.strerror}"
            office.tell("error", f"{self._path}: {text}")
        if office.reactor.seconds() < message.received_at + HELD:
            for recipient in message.recipients:
                recipient.next_attempt = 0.0
            office.submit(message)
        else:  # the schedule may have found it, and sent it to some or to all
            for found in await office.spool.load([message.id]):
                office.submit(found)

    async def _stored(self, name: str, taken: str, id: int) -> Message | None:
        """The message of a file that was taken, in the spool; None where it is set aside or waits again."""
        office, files = self._office, self._files
        try:
            return await self._store(taken, id)
        except LetterError as error:
            bad = await office.in_thread(files.reject, taken)
            office.tell("warn", f"{self._path}: {escape(name)} cannot be sent and is now {escape(bad)}: {error}")
        except SpoolError:
            await office.in_thread(files.give_back, taken)
        except OSError:
            await office.in_thread(files.give_back, taken)
            raise
        return None

    async def _store(self, taken: str, id: int) -> Message:
        office = self._office
        opened = await office.in_thread(self._files.open, taken, self._reader.max_header_size)
        try:
            now = office.reactor.seconds()
            letter = await office.in_thread(self._reader.read, opened.header, now)
            content = office.spool.new_content()
            try:
                content.write(self._trace(id, opened.owner, now) + letter.header + opened.body)
                await self._copy(opened, content)
            except BaseException:
                content.abort()
                raise
        finally:
            opened.stream.close()
        message = self._message(letter, id, now, content, opened.lines.eight_bit)
        await office.spool.store(message)
        return message

    async def _copy(self, opened: Opened, content: IContentWriter) -> None:
        while piece := await self._office.in_thread(opened.stream.read, PIECE):
            content.write(opened.lines.feed(piece))
            if content.backlog() > DISK_BACKLOG:
                await content.drained()
        content.write(opened.lines.end())

    def _message(self, letter: Letter, id: int, now: float, content: IContentWriter, eight_bit: bool) -> Message:
        parameters = letter.parameters
        if eight_bit and parameters.body != "8BITMIME":
            parameters = attrs.evolve(parameters, body="8BITMIME")
        for recipient in letter.recipients:
            recipient.next_attempt = now + HELD
        message_id = letter.message_id or generated_message_id(self._office.fqdn)
        origin = Origin(source="PICKUP", connector=self._reader.name)
        return Message(id, letter.sender, letter.recipients, message_id, now, content, parameters, origin, subject=letter.subject)

    def _trace(self, id: int, owner: int, now: float) -> bytes:
        """The Received header: which directory, and whose file it was."""
        fqdn = self._office.fqdn
        return (
            f"Received: from localhost (userid {owner})\r\n by {fqdn} ({self._reader.name})\r\n id {id};\r\n {rfc5322_date(now)}\r\n"
        ).encode("ascii", "replace")
