"""Reports to senders about messages that failed or are late: C{multipart/report} with a text, the delivery status, and the original.

A report has a null return path, is never made about a message with a null one, and respects NOTIFY and RET.  The original is embedded octet
by octet, never serialised anew; above a bound, and in delay notices, only its header section comes along.  The report goes
into the spool while it is made; large originals pass through in pieces.

Sources: RFC 3461 (NOTIFY, RET, ENVID, ORCPT), RFC 3462, RFC 3464, RFC 3834 (Auto-Submitted), RFC 5321 section 4.5.5; Exchange's NDR layout.
"""

from __future__ import annotations

import email.policy
import uuid
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from twistedrelay.dsn.notice import notice
from twistedrelay.dsn.original import header_section, is_seven_bit, pieces, subject
from twistedrelay.dsn.status import delivery_status
from twistedrelay.interfaces import IContent, IContentWriter, IReporter, ISpool
from twistedrelay.values.address import NULL
from twistedrelay.values.envelope import MailParameters, Message, Origin, Recipient

PRODUCT = "twistedrelay"
ATTACH_LIMIT = 10 * 1024 * 1024  #: octets of an original that is attached whole (ExternalDsnMaxMessageAttachSize)
BACKLOG = 1024 * 1024  #: octets that may wait for the disk

_POLICY = email.policy.SMTP.clone(cte_type="7bit")  # our own text is encoded; only the original may hold 8-bit octets


def _token() -> str:
    return uuid.uuid4().hex


@implementer(IReporter)
class Reporter:
    """See the module."""

    def __init__(self, fqdn: str, postmaster: str, spool: ISpool, clock: Any, token: Callable[[], str] = _token) -> None:
        """
        @param fqdn: the server that reports.
        @param postmaster: the address reports come from.
        @param token: makes unique names for boundaries and message ids.
        """
        self._fqdn = fqdn
        self._postmaster = postmaster
        self._spool = spool
        self._clock = clock
        self._token = token

    def failed(self, message: Message, recipients: Sequence[Recipient]) -> Deferred[Message | None]:
        """See L{IReporter.failed}."""
        return Deferred.fromCoroutine(self._report(message, recipients, "FAILURE", None))

    def delayed(self, message: Message, recipients: Sequence[Recipient], gives_up_at: float) -> Deferred[Message | None]:
        """See L{IReporter.delayed}."""
        return Deferred.fromCoroutine(self._report(message, recipients, "DELAY", gives_up_at))

    async def _report(self, message: Message, recipients: Sequence[Recipient], event: str, retry_until: float | None) -> Message | None:
        wanted = [each for each in recipients if not each.parameters.notify or event in each.parameters.notify]
        if not wanted or message.sender.is_null or message.origin.source == "DSN":
            return None
        content: IContentWriter = self._spool.new_content()
        try:
            return await self._write(content, message, wanted, retry_until)
        except BaseException:
            content.abort()
            raise

    async def _write(
        self, content: IContentWriter, message: Message, recipients: Sequence[Recipient], retry_until: float | None
    ) -> Message:
        now = self._clock.seconds()
        header = await header_section(message.content)
        whole = retry_until is None and message.parameters.ret != "HDRS" and message.size <= ATTACH_LIMIT
        seven_bit = await is_seven_bit(message.content, message.size) if whole else header.isascii()
        boundary = f"=_{self._token()}"
        message_id = f"<{self._token()}@{self._fqdn}>"
        text = EmailMessage(policy=_POLICY)
        text.set_content(notice(recipients, self._fqdn, header, retry_until))
        del text["MIME-Version"]
        encoding = b"" if seven_bit else b"Content-Transfer-Encoding: 8bit\r\n"
        separator = f"\r\n--{boundary}\r\n".encode("ascii")
        content.write(self._header(message, header, retry_until, boundary, message_id, now) + encoding)
        content.write(separator + text.as_bytes())
        content.write(separator + b"Content-Type: message/delivery-status\r\n\r\n")
        content.write(delivery_status(message, recipients, self._fqdn, now, retry_until))
        content.write(separator + b"Content-Type: " + (b"message/rfc822" if whole else b"text/rfc822-headers") + b"\r\n")
        content.write(encoding + b"\r\n")
        if whole:
            await self._copy(message.content, content)
        else:
            content.write(header)
        content.write(f"\r\n--{boundary}--\r\n".encode("ascii"))
        await content.finish()
        return Message(
            id=self._spool.next_id(),
            sender=NULL,
            recipients=[Recipient(0, message.sender)],
            message_id=message_id,
            received_at=now,
            content=content,
            parameters=MailParameters(body="7BIT" if seven_bit else "8BITMIME"),
            origin=Origin(source="DSN"),
        )

    async def _copy(self, original: IContent, content: IContentWriter) -> None:
        async for piece in pieces(original, original.size):
            content.write(piece)
            if content.backlog() > BACKLOG:
                await content.drained()

    def _header(self, message: Message, header: bytes, retry_until: float | None, boundary: str, message_id: str, now: float) -> bytes:
        """The header section but for its empty line."""
        about = subject(header) or "your message"
        title = f"Undeliverable: {about}" if retry_until is None else f"Delivery delayed: {about}"
        lines = [
            f"From: {PRODUCT} <{self._postmaster}>\r\n",
            f"To: <{message.sender.text}>\r\n",
            f"Date: {formatdate(now)}\r\n",
            f"Message-ID: {message_id}\r\n",
            "Auto-Submitted: auto-replied\r\n",
            "MIME-Version: 1.0\r\n",
            f'Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="{boundary}"\r\n',
        ]
        subject_line: bytes = _POLICY.fold_binary("Subject", _POLICY.header_factory("Subject", title))
        return subject_line + "".join(lines).encode()
