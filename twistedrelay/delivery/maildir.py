"""Delivery into a maildir.

Decides how a message becomes a file: one for each transaction, all its recipients in C{Delivered-To}, the sender in C{Return-Path}, line
ends as files of this system have them (LF).  It is written in C{tmp}, fsynced, renamed into C{new}, and that directory is fsynced; only
then is it delivered.  Binary content, which has line ends of its own, is encoded first.  A failure is always a 4xx, but where that cannot
be done; after the rename it is uncertain, since the mailbox shows the message already. It does no disk work on the reactor thread, and
writes at most C{MAX_WRITERS} messages at a time.

Sources: the maildir convention (unique names of time, process, counter and host), RFC 5321 section 4.4 (Return-Path).
"""

from __future__ import annotations

import errno
import itertools
import os
import socket
import time
from collections.abc import Callable, Sequence
from typing import IO, Any

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from twistedrelay.delivery.content import PIECE, read_pieces
from twistedrelay.delivery.fit import Fitter, close, must_look
from twistedrelay.delivery.session import own_reply
from twistedrelay.delivery.success import success_action
from twistedrelay.interfaces import IContent, ILane, SpoolError
from twistedrelay.values.envelope import Job, Outcome, OutcomeKind
from twistedrelay.values.headerfields import field_name, split_fields
from twistedrelay.values.reply import LOCAL_ERROR, SYSTEM_RESOURCES, Reply
from twistedrelay.wire.client_offers import Offers

MAX_WRITERS = 4
EVERYTHING = Offers(eight_bit=True, utf8=True)  #: what a file takes
DELIVERED = Reply(250, "2.0.0", "Delivered to maildir")

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE}
_counter = itertools.count(1)


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unique_name(now: float) -> str:
    """A file name that no other delivery uses."""
    host = socket.gethostname().replace("/", "\\057").replace(":", "\\072")
    return f"{int(now)}.M{int(now % 1 * 1000000)}P{os.getpid()}Q{next(_counter)}.{host}"


def _without_return_path(head: bytes) -> bytes:
    """A header section as it may stand behind our Return-Path: what a sender wrote there is not where the message came from."""
    if b"return-path" not in head.lower():
        return head
    return b"".join([field for field in split_fields(head) if field_name(field) != b"return-path"])


class MaildirFile:
    """One message on its way into a maildir.  All methods block: they run in a thread, one after the other.

    A Return-Path that came with the message does not stay beside ours (RFC 5321 section 4.4).

    @ivar visible: it has its place in C{new}, though perhaps not yet for good.
    """

    def __init__(self, directory: str, heading: bytes) -> None:
        self._directory = directory
        self._heading = heading
        self._name = unique_name(time.time())
        self._temporary = os.path.join(directory, "tmp", self._name)
        self._file: IO[bytes] | None = None
        self._head: bytes | None = b""  # the header section, until it has ended
        self._cr_held = False
        self.visible = False

    def open(self) -> None:
        """Make the directories where they are missing, and the file."""
        for part in ("tmp", "new", "cur"):
            path = os.path.join(self._directory, part)
            if not os.path.isdir(path):
                os.makedirs(path, mode=0o700, exist_ok=True)
                _sync_directory(self._directory)
                _sync_directory(os.path.dirname(os.path.abspath(self._directory)))
        descriptor = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(descriptor, "wb", PIECE)
        self._file.write(self._heading)

    def write(self, chunk: bytes) -> None:
        """Add content."""
        if self._head is None:
            self._put(chunk)
            return
        head = self._head + chunk
        end = 0 if head.startswith(b"\r\n") else head.find(b"\r\n\r\n") + 2
        if end == 1:  # not found
            self._head = head
        else:
            self._head = None
            self._put(_without_return_path(head[:end]) + head[end:])

    def _put(self, chunk: bytes) -> None:
        """Write content, CRLF made LF."""
        assert self._file is not None
        if self._cr_held:
            chunk = b"\r" + chunk
        self._cr_held = chunk.endswith(b"\r")
        if self._cr_held:
            chunk = chunk[:-1]
        self._file.write(chunk.replace(b"\r\n", b"\n"))

    def commit(self) -> None:
        """Make it a message that survives power loss."""
        file = self._file
        assert file is not None
        if self._head:
            self._put(_without_return_path(self._head))
        if self._cr_held:
            file.write(b"\r")
        file.flush()
        os.fsync(file.fileno())
        file.close()
        new = os.path.join(self._directory, "new")
        os.rename(self._temporary, os.path.join(new, self._name))
        self.visible = True
        _sync_directory(new)

    def discard(self) -> None:
        """Leave nothing behind."""
        try:
            if self._file is not None:
                self._file.close()
        except OSError:
            self._file = None  # what could not be flushed is thrown away with the file
        finally:
            if os.path.exists(self._temporary):
                os.unlink(self._temporary)

    def deliver(self, chunks: Sequence[bytes]) -> None:
        """All of it, for content in memory."""
        self.open()
        for chunk in chunks:
            self.write(chunk)
        self.commit()


class MaildirWriter:
    """Writes messages into maildirs, a few at a time.

    @param reactor: its thread pool does the work.
    """

    def __init__(self, reactor: Any, fitter: Fitter) -> None:
        self._reactor = reactor
        self._fitter = fitter
        self._writers = DeferredSemaphore(MAX_WRITERS)

    async def write(self, directory: str, job: Job) -> tuple[Reply, bool, bool]:
        """Deliver a job: L{DELIVERED}, or why not, whether it is in the mailbox nevertheless, and whether our own code failed on it."""
        message = job.message
        content = message.content
        lines = [f"Return-Path: <{message.sender.text}>\n", *(f"Delivered-To: {one.address.text}\n" for one in job.recipients)]
        file = MaildirFile(directory, "".join(lines).encode("utf-8", "replace"))
        await self._writers.acquire()
        try:
            if must_look(message.parameters, EVERYTHING):
                fitted = await self._fitter.fit(message, EVERYTHING)
                if isinstance(fitted, Reply):
                    return fitted, False, False
                content = fitted.content
            await self._fill(file, content)
        except Exception as error:  # whatever it is, the message waits
            await self._in_thread(file.discard).addErrback(lambda _: None)
            return _reason(error), file.visible, not isinstance(error, OSError | SpoolError)
        finally:
            self._writers.release()
            close(content)
        return DELIVERED, False, False

    async def _fill(self, file: MaildirFile, content: IContent) -> None:
        chunks = content.in_memory()
        if chunks is not None:
            await self._in_thread(file.deliver, chunks)
            return
        await self._in_thread(file.open)
        async for piece in read_pieces(content):
            await self._in_thread(file.write, piece)
        await self._in_thread(file.commit)

    def _in_thread(self, function: Callable[..., None], *arguments: Any) -> Deferred[None]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), function, *arguments)


def _reason(error: Exception) -> Reply:
    """Why a message could not be written, as a 4xx."""
    if isinstance(error, SpoolError):
        return error.reply
    if isinstance(error, OSError):
        if error.errno in _FULL:
            return SYSTEM_RESOURCES
        return own_reply(451, "4.3.0", f"Maildir cannot be written: {error.strerror}")
    return LOCAL_ERROR


class MaildirRun:
    """A run over a lane whose next hop is a maildir: its jobs, one after the other.

    @ivar finished: fires with None when the lane has no more.
    """

    def __init__(self, lane: ILane, writer: MaildirWriter) -> None:
        self.finished: Deferred[Reply | None] = Deferred()
        self._lane = lane
        self._writer = writer
        self._stopping = False

    def start(self) -> None:
        """Begin."""
        Deferred.fromCoroutine(self._work()).addCallbacks(self.finished.callback, self._failed)

    def stop(self) -> None:
        """No new messages."""
        self._stopping = True

    async def _work(self) -> None:
        path = self._lane.route.path
        while not self._stopping and (job := self._lane.take()) is not None:
            job.remote = path
            reply, uncertain, defect = await self._writer.write(path, job)
            delivered = reply is DELIVERED
            kind = OutcomeKind.DELIVERED if delivered else OutcomeKind.FAILED if reply.is_permanent else OutcomeKind.DEFERRED
            remote = path if delivered else ""
            outcomes = []
            for recipient in job.recipients:
                action = success_action(job.message, recipient, EVERYTHING, 0.0, final=True) if delivered else ""
                outcomes.append(Outcome(recipient, kind, reply, remote, uncertain, action=action, defect=defect))
            self._lane.done(job, outcomes)

    def _failed(self, failure: Failure) -> None:
        """A lane that raises must not leave the schedule waiting."""
        self.finished.callback(own_reply(LOCAL_ERROR.code, LOCAL_ERROR.enhanced, failure.getErrorMessage()))
