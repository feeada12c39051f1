"""What a message must be before a next hop can take it: as it is, converted, or returned.

Decides by the next hop's extensions and the message's parameters alone whether its content is looked at; most messages go as they are. A
message that came as 8BITMIME or BINARYMIME is converted where the next hop lacks that; one that came as SMTPUTF8 goes without it where
its header sections are ASCII (its addresses are seen to where they are said).  Octets above 127 in a message that never said so are sent
as they are: devices do that, and no server of today minds.  Where the route rewrites header fields, that comes first.

The work is done in threads, a few messages at a time, piece by piece; a large result waits in a temporary file.

Sources: RFC 6152 section 3, RFC 3030 section 3, RFC 6531 section 3.2.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred, DeferredSemaphore, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from zope.interface import implementer

from twistedrelay.delivery.content import PIECE, read_pieces
from twistedrelay.delivery.downgrade import Form, Rewriter, Survey
from twistedrelay.delivery.heading import with_header
from twistedrelay.delivery.session import own_reply
from twistedrelay.interfaces import IContent, IRewrite, SpoolError
from twistedrelay.values.address import Address
from twistedrelay.values.envelope import MailParameters, Message
from twistedrelay.values.reply import LOCAL_ERROR, Reply
from twistedrelay.wire.client_offers import Offers

MAX_AT_ONCE = 2
MEMORY = 1024 * 1024  #: octets of a result that are kept in memory

UTF8_HEADER = Reply(550, "5.6.9", "The message has UTF-8 header fields, which the next hop does not support")


class _Pass(Protocol):
    """One walk through a message."""

    def feed(self, chunk: bytes) -> None:
        """The next octets."""

    def finish(self) -> None:
        """That was all."""


@implementer(IContent)
class Converted:
    """Content that was converted.  C{close} it when it was sent.

    @param file: holds it, in memory or on disk.
    """

    def __init__(self, reactor: Any, file: Any) -> None:
        self._reactor = reactor
        self._file = file
        self._reads = 0
        self._closed = False
        file.flush()  # it is read past its own buffer
        self.size: int = file.tell()
        self._memory: bytes | None = None
        if self.size <= MEMORY:
            file.seek(0)
            self._memory = file.read()
            self.close()

    def in_memory(self) -> Sequence[bytes] | None:
        """See L{IContent.in_memory}."""
        return None if self._memory is None else (self._memory,)

    def read(self, offset: int, length: int) -> Deferred[bytes]:
        """See L{IContent.read}."""
        if self._memory is not None:
            return succeed(self._memory[offset : offset + length])
        self._reads += 1
        reading = deferToThreadPool(self._reactor, self._reactor.getThreadPool(), os.pread, self._file.fileno(), length, offset)
        return reading.addBoth(self._was_read)

    def _was_read(self, result: Any) -> Any:
        self._reads -= 1
        if self._closed:
            self.close()
        return result

    def close(self) -> None:
        """It is not needed any more."""
        self._closed = True
        if not self._reads:
            self._file.close()


@attrs.frozen(slots=True)
class Fitted:
    """A message as it is sent: its content, and what MAIL says of it."""

    content: IContent
    mail: MailParameters


@attrs.frozen(slots=True)
class Unfit:
    """A message that cannot be sent now.

    @ivar defect: our own code failed on it.
    """

    reply: Reply
    defect: bool = False

    @classmethod
    def by(cls, failure: Failure) -> Unfit:
        """What a failure means: the message waits."""
        error = failure.value
        if isinstance(error, SpoolError):
            return cls(error.reply)
        text = own_reply(LOCAL_ERROR.code, LOCAL_ERROR.enhanced, f"The message could not be converted: {failure.getErrorMessage()}")
        return cls(text, defect=not isinstance(error, OSError))


def form_for(mail: MailParameters, offers: Offers) -> Form | None:
    """What the content has to become for a next hop, None where it can go as it is."""
    if mail.body == "BINARYMIME" and not offers.binary:
        return "8bit" if offers.eight_bit else "7bit"
    return "7bit" if mail.body == "8BITMIME" and not offers.eight_bit else None


def must_look(mail: MailParameters, offers: Offers) -> bool:
    """Whether a message must be looked at before it is sent."""
    return (mail.smtp_utf8 and not offers.utf8) or form_for(mail, offers) is not None


def ascii_path(address: Address) -> str:
    """An address for a next hop without SMTPUTF8: in ASCII where only its domain is not (RFC 5890 A-labels)."""
    return f"{address.local}@{address.domain}" if not address.text.isascii() and address.local.isascii() else address.text


def close(content: IContent) -> None:
    """Content that was sent, or will not be: nothing of it is kept where it was made for that only."""
    if isinstance(content, Converted):
        content.close()


class Fitter:
    """Makes messages fit.

    @param reactor: its thread pool does the work.
    @param at_work: a context in which our own code works on the inside of a message, given its id.
    """

    def __init__(self, reactor: Any, at_work: Callable[[int], AbstractContextManager[Any]] = nullcontext) -> None:
        self._reactor = reactor
        self._at_work = at_work
        self._turns = DeferredSemaphore(MAX_AT_ONCE)

    async def fit(self, message: Message, offers: Offers, rewrite: IRewrite | None = None) -> Fitted | Reply:
        """A message for a next hop, or why it must return or wait.  Fails with L{SpoolError}.

        @param rewrite: where the route changes header fields.
        """
        await self._turns.acquire()
        try:
            content: IContent | Reply = message.content
            with self._at_work(message.id):
                if rewrite is not None:
                    content = await with_header(message.content, lambda header: self._in_thread(rewrite.header, header, message))
                if isinstance(content, Reply):
                    return content
                return await self._fit(content, message.parameters, offers)
        finally:
            self._turns.release()

    async def _fit(self, content: IContent, mail: MailParameters, offers: Offers) -> Fitted | Reply:
        if not must_look(mail, offers):
            return Fitted(content, mail)
        form = form_for(mail, offers)
        survey = Survey(form or "8bit")
        await self._walk(content, survey)
        if mail.smtp_utf8 and not offers.utf8:
            if survey.utf8_header or survey.incomplete:
                return UTF8_HEADER
            mail = attrs.evolve(mail, smtp_utf8=False)
        if form is None:
            return Fitted(content, mail)
        if survey.problem is not None:
            return survey.problem
        mail = attrs.evolve(mail, body="8BITMIME" if form == "8bit" else "7BIT")
        if not survey.needed:
            return Fitted(content, mail)
        file: Any = tempfile.SpooledTemporaryFile(max_size=MEMORY)  # noqa: SIM115 (it outlives this)
        try:
            await self._walk(content, Rewriter(form, survey.encodings, file.write))
            return Fitted(await self._in_thread(Converted, self._reactor, file), mail)
        except BaseException:
            file.close()
            raise

    async def _walk(self, content: IContent, through: _Pass) -> None:
        chunks = content.in_memory()
        if chunks is not None:
            await self._in_thread(_all, through, chunks)
            return
        async for piece in read_pieces(content):
            await self._in_thread(through.feed, piece)
        await self._in_thread(through.finish)

    def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), function, *arguments)


def _all(through: _Pass, chunks: Sequence[bytes]) -> None:
    for chunk in chunks:
        for start in range(0, len(chunk), PIECE):
            through.feed(chunk[start : start + PIECE])
    through.finish()
