"""One mail transaction of a session: from MAIL to the committed message.

It collects the envelope, sends the content to the spool while it arrives, puts the trace header in front of it, and makes the
message of both.  It gives no verdicts (C{policy} does) and knows no sockets.

Sources: RFC 5321 sections 3.3, 4.4 (trace information) and 6.3 (loops: counting Received), RFC 2852 section 4 (BY), RFC 4865 (HOLDFOR).
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from twistedrelay.interfaces import IContentWriter, ISpool
from twistedrelay.policy.headers import HeaderFacts, HeaderRules
from twistedrelay.policy.realm import RelaySession, SessionFacts
from twistedrelay.policy.trace import generated_message_id, received_header
from twistedrelay.values.address import Address
from twistedrelay.values.envelope import NO_MAIL_PARAMETERS, MailParameters, Message, Origin, Recipient
from twistedrelay.values.reply import Reply

#: After so many octets the header section is looked for, and where it has not ended, again after twice as many, up to max_header_size.
HEADER_LOOKAHEAD = 256 * 1024

#: Content comes in packets as small as the peer likes, but goes on in chunks of at least this many octets: an object for each would take
#: fifty times its memory.
SMALL = 4096

#: What a recipient with its parameters may take in memory, and how many of them are not worth counting.
RECIPIENT = 1024
FEW_RECIPIENTS = 16

#: Held chunks that become one.
MANY = 256


def _from_now_on(parameters: MailParameters, began: float, now: float) -> MailParameters:
    """The parameters of a message that is received now: what counted from MAIL counts from now, or is a time of the clock."""
    if parameters.hold_for:
        parameters = attrs.evolve(parameters, hold_until=began + parameters.hold_for)
    if parameters.deliver_by is not None:
        left = parameters.deliver_by.seconds - int(now - began)
        parameters = attrs.evolve(parameters, deliver_by=attrs.evolve(parameters.deliver_by, seconds=left))
    return parameters


@attrs.define(slots=True, eq=False)
class Transaction:
    """The state between MAIL and the reply to the final dot.

    @ivar began: the time of MAIL, from which the parameters count.
    @ivar header: what the header section told, once it was seen.
    @ivar refusal: why the message cannot be taken for it; what comes after that is thrown away.
    """

    sender: Address
    parameters: MailParameters
    began: float = 0.0
    recipients: list[Recipient] = attrs.Factory(list)
    id: int = 0
    content: IContentWriter | None = None
    header: HeaderFacts | None = None
    refusal: Reply | None = None
    _trace: Callable[[], bytes] | None = None
    _held: list[bytes] = attrs.Factory(list)
    _held_size: int = 0
    _rules: HeaderRules | None = None
    _look_at: int = HEADER_LOOKAHEAD
    _may_raise_priority: bool = False

    def begin(self, spool: ISpool, facts: SessionFacts, avatar: RelaySession, fqdn: str, now: float) -> None:
        """DATA or BDAT was accepted: content may come."""
        self.id = spool.next_id()
        self.content = spool.new_content()
        self._rules = avatar.header_rules
        self._may_raise_priority = self._rules.x_priority and avatar.may_raise_priority
        first, came = self.recipients[0].address, self.parameters
        self._trace = lambda: received_header(
            facts, avatar, self.id, fqdn, now, len(self.recipients), recipient=first, smtp_utf8=came.smtp_utf8, priority=came.priority
        )

    def write(self, chunk: bytes) -> None:
        """Some more content.  It is held back until the header section is seen, because what goes in front depends on it."""
        if self.header is not None and not self._held and len(chunk) >= SMALL:
            assert self.content is not None
            if self.refusal is None:
                self.content.write(chunk)
            return
        self._held.append(chunk)
        self._held_size += len(chunk)
        if self._held_size >= (self._look_at if self.header is None else SMALL):
            self._pass_on()
        elif len(self._held) >= MANY:
            self._held[:] = [b"".join(self._held)]

    def _pass_on(self, *, last: bool = False) -> None:
        """Write what was held back; at first look at the header section, and put the trace header in front.

        @param last: there is no more content.
        """
        assert self.content is not None and self._trace is not None and self._rules is not None
        chunk = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        self._held.clear()
        self._held_size = 0
        if self.header is None:
            facts = HeaderFacts.read(chunk)
            self.refusal = self._rules.refusal(facts, chunk)
            if self.refusal is None:
                if facts.has_header and not facts.complete and not last:
                    self._held.append(chunk)
                    self._held_size = len(chunk)
                    self._look_at *= 2
                    return
                if self._rules.x_priority and self.parameters.priority is None:
                    self._take_priority(self._rules.priority(facts, chunk))
                trace = self._trace()
                chunk = self._rules.strip(facts, chunk)
                chunk = trace + chunk if facts.has_header else trace + b"\r\n" + chunk
            self.header = facts
        if self.refusal is None:
            self.content.write(chunk)

    def _take_priority(self, priority: int | None) -> None:
        """A field of the header asks for a priority, as MT-PRIORITY would; that of a stranger is not raised."""
        if priority is not None and (priority < 0 or self._may_raise_priority):
            self.parameters = attrs.evolve(self.parameters, priority=priority)

    def envelope(self) -> int:
        """Octets that the recipients take; those of most messages do not count."""
        return len(self.recipients) // FEW_RECIPIENTS * FEW_RECIPIENTS * RECIPIENT

    def held(self) -> int:
        """Octets of the content that are in memory only."""
        return self._held_size + (0 if self.content is None else self.content.unwritten())

    def finish(self) -> None:
        """All of the content came."""
        if self.header is None or self._held:
            self._pass_on(last=True)

    def message(self, facts: SessionFacts, avatar: RelaySession, hostname: str, now: float) -> Message:
        """The message, ready for L{ISpool.store}."""
        assert self.content is not None and self.header is not None
        parameters = self.parameters
        if parameters is not NO_MAIL_PARAMETERS:
            parameters = _from_now_on(parameters, self.began, now)
        return Message(
            id=self.id,
            sender=self.sender,
            recipients=self.recipients,
            message_id=self.header.message_id or generated_message_id(hostname),
            received_at=now,
            content=self.content,
            parameters=parameters,
            origin=Origin(
                connector=facts.connector_name,
                client=facts.peer_text,
                helo=facts.helo,
                user=avatar.login,
                session=facts.session,
            ),
            subject=self.header.subject,
        )

    def abort(self) -> None:
        """Throw the content away."""
        if self.content is not None:
            self.content.abort()
