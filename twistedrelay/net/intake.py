"""One mail transaction of a session: from MAIL to the committed message.

It collects the envelope, sends the content to the spool while it arrives, puts the trace header in front of it, and makes the
message of both.  It gives no verdicts (C{policy} does) and knows no sockets.

Sources: RFC 5321 sections 3.3, 4.4 (trace information) and 6.3 (loops: counting Received).
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from twistedrelay.interfaces import IContentWriter, ISpool
from twistedrelay.policy.realm import RelaySession, SessionFacts
from twistedrelay.policy.trace import HeaderFacts, generated_message_id, received_header
from twistedrelay.values.address import Address
from twistedrelay.values.envelope import MailParameters, Message, Origin, Recipient

#: As much of the content as may be held back while its header section is looked for.
HEADER_LOOKAHEAD = 256 * 1024

#: Content comes in packets as small as the peer likes, but goes on in chunks of at least this many octets: an object for each would take
#: fifty times its memory.
SMALL = 4096

#: Held chunks that become one.
MANY = 256

#: Received headers before a message counts as looping (MaxHopCount of Set-ReceiveConnector).
MAX_HOP_COUNT = 60


@attrs.define(slots=True, eq=False)
class Transaction:
    """The state between MAIL and the reply to the final dot."""

    sender: Address
    parameters: MailParameters
    recipients: list[Recipient] = attrs.Factory(list)
    id: int = 0
    content: IContentWriter | None = None
    header: HeaderFacts | None = None
    _trace: Callable[[], bytes] | None = None
    _held: list[bytes] = attrs.Factory(list)
    _held_size: int = 0

    def begin(self, spool: ISpool, facts: SessionFacts, avatar: RelaySession, fqdn: str, now: float) -> None:
        """DATA was accepted: content may come."""
        self.id = spool.next_id()
        self.content = spool.new_content()
        first = self.recipients[0].address
        self._trace = lambda: received_header(facts, avatar, self.id, fqdn, now, len(self.recipients), recipient=first)

    def write(self, chunk: bytes) -> None:
        """Some more content.  It is held back until the header section is seen, because what goes in front depends on it."""
        if self.header is not None and not self._held and len(chunk) >= SMALL:
            assert self.content is not None
            self.content.write(chunk)
            return
        self._held.append(chunk)
        self._held_size += len(chunk)
        if self._held_size >= (HEADER_LOOKAHEAD if self.header is None else SMALL):
            self._pass_on()
        elif len(self._held) >= MANY:
            self._held[:] = [b"".join(self._held)]

    def _pass_on(self) -> None:
        """Write what was held back; at first look at the header section, and put the trace header in front."""
        assert self.content is not None and self._trace is not None
        chunk = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        self._held.clear()
        self._held_size = 0
        if self.header is None:
            self.header = HeaderFacts.read(chunk)
            trace = self._trace()
            chunk = trace + chunk if self.header.has_header else trace + b"\r\n" + chunk
        self.content.write(chunk)

    def held(self) -> int:
        """Octets of the content that are in memory only."""
        return self._held_size + (0 if self.content is None else self.content.unwritten())

    @property
    def is_looping(self) -> bool:
        """More Received headers than any honest path has."""
        return self.header is not None and self.header.received_count > MAX_HOP_COUNT

    def finish(self) -> None:
        """The final dot came."""
        if self.header is None or self._held:
            self._pass_on()

    def message(self, facts: SessionFacts, avatar: RelaySession, hostname: str, now: float) -> Message:
        """The message, ready for L{ISpool.store}."""
        assert self.content is not None and self.header is not None
        return Message(
            id=self.id,
            sender=self.sender,
            recipients=self.recipients,
            message_id=self.header.message_id or generated_message_id(hostname),
            received_at=now,
            content=self.content,
            parameters=self.parameters,
            origin=Origin(
                connector=facts.connector_name,
                client=facts.peer_text,
                helo=facts.helo,
                user=avatar.login,
                session=facts.session,
            ),
        )

    def abort(self) -> None:
        """Throw the content away."""
        if self.content is not None:
            self.content.abort()
