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

#: Received headers before a message counts as looping (exchange.md 5g: MaxHopCount).
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
    _prefix: list[bytes] = attrs.Factory(list)
    _prefix_size: int = 0

    def begin(self, spool: ISpool, facts: SessionFacts, avatar: RelaySession, fqdn: str, now: float) -> None:
        """DATA was accepted: content may come."""
        self.id = spool.next_id()
        self.content = spool.new_content()
        first = self.recipients[0].address
        self._trace = lambda: received_header(facts, avatar, self.id, fqdn, now, len(self.recipients), recipient=first)

    def write(self, chunk: bytes) -> None:
        """Some more content.  It is held back until the header section is seen, because what goes in front depends on it."""
        if self.header is not None:
            assert self.content is not None
            self.content.write(chunk)
            return
        self._prefix.append(chunk)
        self._prefix_size += len(chunk)
        if self._prefix_size >= HEADER_LOOKAHEAD:
            self._pass_prefix()

    def _pass_prefix(self) -> None:
        """Look at the header section, then write trace header and what was held back."""
        assert self.content is not None and self._trace is not None
        prefix = self._prefix[0] if len(self._prefix) == 1 else b"".join(self._prefix)
        self._prefix.clear()
        self.header = HeaderFacts.read(prefix)
        trace = self._trace()
        self.content.write(trace + prefix if self.header.has_header else trace + b"\r\n" + prefix)

    @property
    def is_looping(self) -> bool:
        """More Received headers than any honest path has."""
        return self.header is not None and self.header.received_count > MAX_HOP_COUNT

    def finish(self) -> None:
        """The final dot came."""
        if self.header is None:
            self._pass_prefix()

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
