"""Reports to senders about messages that failed, are late, or arrived: C{multipart/report} with a text, the delivery status, the original.

A report has a null return path and is never made about a message with a null one, nor about a report, whoever sent that one wrongly; so
nothing can go round in circles.  Mail of lists and robots (Precedence, Auto-Submitted) gets reports like all other mail: those headers are
for who answers to contents (RFC 3834), and lists count on reports.  NOTIFY and RET are respected.

The original is embedded octet by octet, never serialised anew; above a bound, and in all reports but those of failure, only its header
section comes along.  The report goes into the spool while it is made; large originals pass through in pieces.

Postmaster gets a copy of failures with certain codes: the same message, with one recipient more.

A report about a message with REQUIRETLS has that too, and never more than the header section.  To a sender with an international address a
report is in UTF-8; to others it is not, and holds international originals as C{message/global}.

Sources: RFC 3461 (NOTIFY, RET, ENVID, ORCPT), RFC 6522, RFC 3464, RFC 3834 (Auto-Submitted), RFC 5321 section 4.5.5, RFC 6533
(international reports), RFC 8689 section 5 (REQUIRETLS); Exchange's NDR layout and GenerateCopyOfDSNFor.
"""

from __future__ import annotations

import binascii
import email.policy
import itertools
import uuid
from collections.abc import Callable, Iterator, Sequence
from email.utils import formatdate
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from zope.interface import implementer

from twistedrelay.dsn.kinds import DELAYED, DELIVERED, FAILED, RELAYED, Kind
from twistedrelay.dsn.notice import notice
from twistedrelay.dsn.original import header_section, is_report, is_seven_bit, message_id_of, pieces, subject
from twistedrelay.dsn.settings import ReportSettings
from twistedrelay.dsn.status import delivery_status, status_of
from twistedrelay.dsn.wording import Voice
from twistedrelay.interfaces import IContent, IContentWriter, IReporter, ISpool
from twistedrelay.values.address import NULL, Address, parse_address
from twistedrelay.values.envelope import MailParameters, Message, Origin, Recipient
from twistedrelay.values.languages import wanted_languages

PRODUCT = "twistedrelay"
BACKLOG = 1024 * 1024  #: octets that may wait for the disk
AT_ONCE = 200  #: recipients described without a pause, which takes some ten milliseconds

_POLICY = email.policy.SMTP.clone(cte_type="7bit")  # what is our own is encoded; only the original may hold 8-bit octets
_SHORT = 70  #: characters of a subject that fits on a line


def text_part(text: str, language: str) -> bytes:
    """The part for people; it is ASCII on the wire."""
    charset, encoding, body = "us-ascii", "7bit", text.replace("\n", "\r\n").encode()
    if not body.isascii():
        charset, encoding, body = "utf-8", "quoted-printable", binascii.b2a_qp(body)
    head = f'Content-Type: text/plain; charset="{charset}"\r\nContent-Transfer-Encoding: {encoding}\r\nContent-Language: {language}\r\n\r\n'
    return head.encode("ascii") + body


def subject_field(title: str) -> bytes:
    """The Subject field, encoded and folded as need be."""
    if title.isascii() and title.isprintable() and len(title) <= _SHORT and "=?" not in title:
        return f"Subject: {title}\r\n".encode("ascii")
    field: bytes = _POLICY.fold_binary("Subject", _POLICY.header_factory("Subject", title))
    return field


def _encoding(eight_bit: bool) -> bytes:
    return b"Content-Transfer-Encoding: 8bit\r\n" if eight_bit else b""


def _original_type(whole: bool, international: bool) -> str:
    """The media type of the original, or of its header section."""
    if whole:
        return "message/global" if international else "message/rfc822"
    return "message/global-headers" if international else "text/rfc822-headers"


def _token() -> str:
    return uuid.uuid4().hex


@implementer(IReporter)
class Reporter:
    """See the module."""

    def __init__(
        self,
        fqdn: str,
        postmaster: str,
        spool: ISpool,
        clock: Any,
        settings: ReportSettings | None = None,
        token: Callable[[], str] = _token,
    ) -> None:
        """
        @param fqdn: the server that reports.
        @param postmaster: the address reports come from.
        @param token: makes unique names for boundaries and message ids.
        """
        self._fqdn = fqdn
        said = parse_address(postmaster, utf8=True)
        # A domain makes no report international.
        self._postmaster = parse_address(f"{said.local}@{said.domain}") if said.local.isascii() else said
        self._spool = spool
        self._clock = clock
        self._settings = settings or ReportSettings()
        self._token = token

    def failed(self, message: Message, recipients: Sequence[Recipient]) -> Deferred[Message | None]:
        """See L{IReporter.failed}."""
        return Deferred.fromCoroutine(self._report(message, recipients, FAILED, None))

    def delayed(self, message: Message, recipients: Sequence[Recipient], gives_up_at: float) -> Deferred[Message | None]:
        """See L{IReporter.delayed}."""
        return Deferred.fromCoroutine(self._report(message, recipients, DELAYED, gives_up_at))

    def succeeded(self, message: Message, recipients: Sequence[Recipient], action: str) -> Deferred[Message | None]:
        """See L{IReporter.succeeded}."""
        return Deferred.fromCoroutine(self._report(message, recipients, RELAYED if action == "relayed" else DELIVERED, None))

    async def _report(self, message: Message, recipients: Sequence[Recipient], kind: Kind, retry_until: float | None) -> Message | None:
        wanted = self._wanted(message, recipients, kind)
        if not wanted:
            return None
        header = await header_section(message.content)
        if is_report(header):
            return None
        content: IContentWriter = self._spool.new_content()
        try:
            return await self._write(content, message, header, wanted, kind, retry_until)
        except BaseException:
            content.abort()
            raise

    def _wanted(self, message: Message, recipients: Sequence[Recipient], kind: Kind) -> list[Recipient]:
        """The recipients that the sender is told of."""
        if message.sender.is_null or message.origin.source == "DSN":
            return []
        # Who gave the message a time has a right to hear that it is over (RFC 2852 section 4.1.3), whatever we do for others.
        promised = message.parameters.deliver_by is not None
        if kind is DELAYED and not promised and not self._settings.side(self._settings.resolve(message.sender)).delay_notices:
            return []
        asked = kind.notify
        return [each for each in recipients if not each.parameters.notify or not asked or asked in each.parameters.notify]

    async def _write(
        self,
        content: IContentWriter,
        message: Message,
        header: bytes,
        recipients: Sequence[Recipient],
        kind: Kind,
        retry_until: float | None,
    ) -> Message:
        now = self._clock.seconds()
        parameters = message.parameters
        to = self._settings.resolve(message.sender)
        side = self._settings.side(to)
        voice = self._settings.wording.voice(wanted_languages(header), side.language, internal=self._settings.is_internal(to))
        # Binary octets cannot stand in a message that leaves by DATA.
        whole = kind is FAILED and parameters.ret != "HDRS" and parameters.body != "BINARYMIME" and not parameters.require_tls
        whole = whole and message.size <= side.attach_limit
        seven_bit = await is_seven_bit(message.content, message.size) if whole else header.isascii()
        utf8 = not to.text.isascii()
        boundary = f"=_{self._token()}"
        message_id = f"<{self._token()}@{self._fqdn}>"
        text = notice(voice, kind, recipients, self._fqdn, header, retry_until)
        status = await self._gathered(delivery_status(message, recipients, self._fqdn, now, kind.action, retry_until, utf8=utf8))
        eight_bit = not (seven_bit and status.isascii())
        separator = f"\r\n--{boundary}\r\n".encode("ascii")
        content.write(self._header(to, header, kind, voice, boundary, message_id, now) + _encoding(eight_bit))
        content.write(separator + text_part(text, voice.language.tag))
        content.write(separator + f"Content-Type: message/{'global-' if utf8 else ''}delivery-status\r\n".encode("ascii"))
        content.write(_encoding(not status.isascii()) + b"\r\n" + status)
        original_type = _original_type(whole, parameters.smtp_utf8 and not header.isascii())
        content.write(separator + f"Content-Type: {original_type}\r\n".encode("ascii"))
        content.write(_encoding(not seven_bit) + b"\r\n")
        if whole:
            await self._copy(message.content, content)
        else:
            content.write(header)
        content.write(f"\r\n--{boundary}--\r\n".encode("ascii"))
        await content.finish()
        return Message(
            id=self._spool.next_id(),
            sender=NULL,
            recipients=[Recipient(index, each) for index, each in enumerate(self._readers(to, recipients, kind))],
            message_id=message_id,
            received_at=now,
            content=content,
            parameters=MailParameters(
                body="8BITMIME" if eight_bit else "7BIT",
                smtp_utf8=utf8,
                require_tls=parameters.require_tls,
                priority=parameters.priority,  # RFC 6710 section 4.6
            ),
            origin=Origin(source="DSN"),
            subject=_title(header, kind, voice),
        )

    async def _gathered(self, parts: Iterator[bytes]) -> bytes:
        """The parts as one.  The relay does other work in between: there can be a hundred thousand recipients."""
        batches = [b"".join(itertools.islice(parts, AT_ONCE))]
        while batch := b"".join(itertools.islice(parts, AT_ONCE)):
            batches.append(batch)
            await deferLater(self._clock, 0, lambda: None)
        return b"".join(batches)

    def _readers(self, to: Address, recipients: Sequence[Recipient], kind: Kind) -> list[Address]:
        copies = self._settings.copies
        if kind is not FAILED or to == self._postmaster or copies.isdisjoint(status_of(each, kind.action) for each in recipients):
            return [to]
        return [to, self._postmaster]

    async def _copy(self, original: IContent, content: IContentWriter) -> None:
        async for piece in pieces(original, original.size):
            content.write(piece)
            if content.backlog() > BACKLOG:
                await content.drained()

    def _header(self, to: Address, header: bytes, kind: Kind, voice: Voice, boundary: str, message_id: str, now: float) -> bytes:
        """The header section but for its empty line."""
        title = _title(header, kind, voice)
        report_type = "delivery-status" if to.text.isascii() else "global-delivery-status"
        about = message_id_of(header)
        lines = [
            f"From: {PRODUCT} <{self._postmaster.text}>\r\n",
            f"To: <{to.text}>\r\n",
            f"Date: {formatdate(now)}\r\n",
            f"Message-ID: {message_id}\r\n",
            f"In-Reply-To: {about}\r\nReferences: {about}\r\n" if about else "",
            "Auto-Submitted: auto-replied\r\n",
            "MIME-Version: 1.0\r\n",
            f'Content-Type: multipart/report; report-type={report_type};\r\n boundary="{boundary}"\r\n',
        ]
        return subject_field(title) + "".join(lines).encode()


def _title(header: bytes, kind: Kind, voice: Voice) -> str:
    """What a report is about, as its Subject has it."""
    return f"{voice.language.kinds[kind.action].title}: {subject(header) or voice.language.message}"
