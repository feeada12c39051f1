"""A relay session as Twisted's own SMTP server knows it: C{IMessageDelivery}.

Answers with the verdicts of L{twistedrelay.policy.acceptance} and the trace header of L{twistedrelay.policy.trace}; decides nothing itself.
A portal of this relay can so serve any protocol that speaks the interface.

Source: twisted.mail.interfaces.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.mail._except import SMTPBadRcpt, SMTPBadSender, SMTPServerError  # their public module would install a reactor
from twisted.mail.interfaces import IMessageDelivery
from zope.interface import implementer

from twistedrelay.policy.trace import received_header
from twistedrelay.values import reply
from twistedrelay.values.address import Address, AddressError, parse_path
from twistedrelay.values.envelope import NO_MAIL_PARAMETERS, NO_RCPT_PARAMETERS
from twistedrelay.values.reply import Reply

if TYPE_CHECKING:
    from twistedrelay.policy.realm import RelaySession


class SenderRefused(SMTPBadSender):
    """MAIL FROM was refused; C{reply} says why."""

    def __init__(self, addr: Any, refusal: Reply) -> None:
        # The bases' own constructors would import the module that this one keeps away from.
        SMTPServerError.__init__(self, refusal.code, " ".join(refusal.lines))
        self.addr = addr
        self.reply = refusal


class RecipientRefused(SMTPBadRcpt):
    """RCPT TO was refused; C{reply} says why."""

    def __init__(self, addr: Any, refusal: Reply) -> None:
        SMTPServerError.__init__(self, refusal.code, " ".join(refusal.lines))
        self.addr = addr
        self.reply = refusal


def _address(given: Any) -> Address:
    """Our address from Twisted's, whose parts are bytes."""
    local, domain = given.local.decode("utf-8"), given.domain.decode("utf-8")
    return parse_path(f"{local}@{domain}" if domain else local)


@implementer(IMessageDelivery)
class MessageDelivery:
    """One session's messages, judged by the relay's rules.

    @ivar session: the avatar that this is an aspect of.
    """

    def __init__(self, session: RelaySession) -> None:
        self.session = session
        self._recipients = 0

    def receivedHeader(self, helo: tuple[bytes, bytes], origin: Any, recipients: Sequence[Any]) -> bytes:
        """See L{IMessageDelivery}.  The header without its final line end, as Twisted's server adds that."""
        facts = self.session.facts
        facts.helo = helo[0].decode("utf-8", "replace")
        only = _address(recipients[0].dest) if len(recipients) == 1 else None
        header = received_header(
            facts, self.session, uuid.uuid4().int >> 65, facts.connector.fqdn, time.time(), len(recipients), recipient=only
        )
        return header.removesuffix(b"\r\n")

    def validateFrom(self, helo: tuple[bytes, bytes], origin: Any) -> Any:
        """See L{IMessageDelivery}."""
        try:
            sender = _address(origin)
        except (AddressError, UnicodeDecodeError):
            raise SenderRefused(origin, reply.BAD_SENDER) from None
        verdict = self.session.realm.acceptance.mail(self.session, self.session.facts, sender, NO_MAIL_PARAMETERS)
        if not verdict.is_positive:
            raise SenderRefused(origin, verdict)
        self._recipients = 0
        return origin

    def validateTo(self, user: Any) -> Callable[[], Any]:
        """See L{IMessageDelivery}."""
        realm = self.session.realm
        try:
            recipient = _address(user.dest)
        except (AddressError, UnicodeDecodeError):
            raise RecipientRefused(user.dest, reply.BAD_RECIPIENT) from None
        verdict = realm.acceptance.rcpt(self.session, self.session.facts, recipient, NO_RCPT_PARAMETERS, self._recipients)
        if not verdict.is_positive:
            raise RecipientRefused(user.dest, verdict)
        factory = realm.message_factory
        if factory is None:
            raise RecipientRefused(user.dest, reply.LOCAL_ERROR)
        self._recipients += 1
        resolved = realm.acceptance.resolve_recipient(recipient)
        return lambda: factory(self.session, resolved)
