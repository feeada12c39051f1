"""Messages as files (Export-Message): the octets as they are in the spool, streamed in bounded memory.

In front of them there may be C{X-Sender} and C{X-Receiver} fields, as AssembleMessage writes them: the envelope, with its parameters and
those recipients that have not got the message yet.  So a file can be given to the replay directory of this relay or another one.  Unlike
Exchange it asks for no suspension: content never changes.

Source: Exchange Server, Export-Message, "Pickup directory and Replay directory".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.web.server import Request
from zope.interface import implementer

from twistedrelay.control.bounds import in_time
from twistedrelay.control.live import Relay
from twistedrelay.values import xtext
from twistedrelay.values.envelope import Message, RcptParameters, Recipient, RecipientState

CHUNK = 128 * 1024


def envelope_fields(message: Message) -> bytes:
    """C{X-Sender} and C{X-Receiver} of a message."""
    waiting = [recipient for recipient in message.recipients if recipient.state is RecipientState.READY]
    lines = [" ".join([f"X-Sender: <{message.sender.text}>", *_of_mail(message)])]
    lines += [" ".join([f"X-Receiver: <{recipient.address.text}>", *_of_rcpt(recipient)]) for recipient in waiting]
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "backslashreplace")


def _of_mail(message: Message) -> Iterator[str]:
    parameters = message.parameters
    if parameters.body == "8BITMIME":
        yield "BODY=8BITMIME"
    if parameters.ret:
        yield f"RET={parameters.ret}"
    if parameters.envid:
        yield f"ENVID={xtext.encode(parameters.envid)}"
    if parameters.auth:
        yield f"AUTH={xtext.encode(parameters.auth)}"
    if parameters.require_tls:
        yield "REQUIRETLS"
    if parameters.smtp_utf8:
        yield "SMTPUTF8"
    if parameters.priority is not None:
        yield f"MT-PRIORITY={parameters.priority}"


def _of_rcpt(recipient: Recipient) -> Iterator[str]:
    parameters: RcptParameters = recipient.parameters
    if parameters.notify:
        yield f"NOTIFY={','.join(sorted(parameters.notify))}"
    if parameters.orcpt:
        kind, _, address = parameters.orcpt.partition(";")
        yield f"ORCPT={kind};{xtext.encode(address)}"


@implementer(IPushProducer)
class _Flow:
    """Waits while the client is slow."""

    def __init__(self, request: Request) -> None:
        self.gone = False
        self._paused: Deferred[None] | None = None
        request.notifyFinish().addErrback(lambda _: self._end())
        request.registerProducer(self, True)

    def pauseProducing(self) -> None:
        """Enough for now."""
        if self._paused is None:
            self._paused = Deferred()

    def resumeProducing(self) -> None:
        """Go on."""
        paused, self._paused = self._paused, None
        if paused is not None:
            paused.callback(None)

    def stopProducing(self) -> None:
        """The client is gone; the request's end follows, and nothing may be said before."""
        self.gone = True

    def _end(self) -> None:
        self.gone = True
        self.resumeProducing()

    async def clear(self) -> None:
        """There is room for more."""
        if self._paused is not None:
            await self._paused


async def export(relay: Relay, request: Request, message: Message, *, envelope: bool) -> bytes:
    """Answer a request with a message."""
    head = envelope_fields(message) if envelope else b""
    content, size = message.content, message.size
    chunk = await in_time(relay, content.read(0, CHUNK))  # before the status: it may be gone already
    request.setHeader(b"content-type", b"message/rfc822")
    request.setHeader(b"cache-control", b"no-store")
    request.setHeader(b"content-disposition", b'attachment; filename="%d.eml"' % message.id)
    request.setHeader(b"content-length", b"%d" % (len(head) + size))
    if request.method == b"HEAD":
        return b""
    flow, offset = _Flow(request), 0
    try:
        request.write(head)
        while chunk and not flow.gone:
            request.write(chunk)
            offset += len(chunk)
            await flow.clear()
            if offset >= size or flow.gone:
                break
            chunk = await in_time(relay, content.read(offset, CHUNK))
    except Exception:
        chunk = b""
    finally:
        if not flow.gone:
            request.unregisterProducer()
    if offset < size and not flow.gone:  # it left the queue meanwhile: an answer that is too short says so
        transport: Any = request.transport
        transport.abortConnection()
    return b""
