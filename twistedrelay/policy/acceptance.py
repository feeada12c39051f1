"""The verdicts on MAIL FROM and RCPT TO.

Decides whether a session may send as a sender and to a recipient.  Never decides syntax (C{wire} does), and never whether a recipient
exists.  Called for every command, so all that can be known at start is worked out there.

The order: may the session submit at all, is the message too large, may it claim this sender; then for each recipient, how many there
are, and whether it is ours or the session may relay.  A login may claim its own addresses.  A session without a login has none; it may
claim what is nobody's here, and our authoritative domains by a right of their own.

Sources: Exchange Server, "Receive connector permissions", Set-AcceptedDomain; RFC 5321 section 4.5.1 (postmaster), RFC 1870 (SIZE).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from twistedrelay.config.domains import DomainIndex
from twistedrelay.config.schema import AcceptedDomain, Config, ReceiveConnector
from twistedrelay.values import reply
from twistedrelay.values.address import Address, parse_address
from twistedrelay.values.envelope import MailParameters, RcptParameters
from twistedrelay.values.reply import Reply

if TYPE_CHECKING:
    from twistedrelay.policy.realm import RelaySession, SessionFacts

#: What asks a mail server to send on to somewhere else: the percent hack, UUCP paths, and routes, also inside quotes.
_ROUTED_LOCAL_PART = re.compile("[%!@:]").search


class Acceptance:
    """The rules of one configuration."""

    __slots__ = ("_accepted", "_find", "_postmaster")

    def __init__(self, config: Config) -> None:
        self._accepted: DomainIndex[AcceptedDomain] = DomainIndex(config.accepted_domains)
        self._find = self._accepted.find
        self._postmaster = parse_address(config.server.postmaster or f"postmaster@{config.server.fqdn}", utf8=True)

    def accepted_domain(self, domain: str) -> AcceptedDomain | None:
        """The accepted domain that holds a domain, or None."""
        return self._find(domain)

    def size_limit(self, avatar: RelaySession, connector: ReceiveConnector) -> int | None:
        """The largest message a session may send, in octets; None where it has the right to pass the limit."""
        return None if avatar.bypasses_size_limit else connector.max_message_size

    def mail(self, avatar: RelaySession, facts: SessionFacts, sender: Address, parameters: MailParameters) -> Reply:
        """The reply to MAIL FROM."""
        if not avatar.may_submit:
            return reply.NOT_AUTHENTICATED if avatar.is_anonymous else reply.NO_SUBMIT_RIGHT
        size = parameters.size
        if size is not None and size > facts.connector.max_message_size and not avatar.bypasses_size_limit:
            return reply.MESSAGE_TOO_LARGE
        domain = sender.domain
        if not domain:
            # Only the null path has no domain: the bare postmaster is a recipient, never a sender to answer to.
            return reply.BAD_SENDER if sender.text else reply.SENDER_OK
        if avatar.is_anonymous:
            if not avatar.accepts_authoritative_sender:
                accepted = self._find(domain)
                if accepted is not None and accepted.domain_type == "Authoritative":
                    return reply.SEND_AS_DENIED
        elif not avatar.accepts_any_sender and (sender.local.lower(), domain) not in avatar.own_addresses:
            return reply.SEND_AS_DENIED
        return reply.SENDER_OK

    def rcpt(
        self, avatar: RelaySession, facts: SessionFacts, recipient: Address, parameters: RcptParameters, accepted_so_far: int
    ) -> Reply:
        """The reply to RCPT TO.

        @param accepted_so_far: how many recipients this transaction already has.
        """
        if accepted_so_far >= facts.connector.max_recipients_per_message:
            return reply.TOO_MANY_RECIPIENTS
        domain = recipient.domain
        if not domain:
            return reply.RECIPIENT_OK if recipient.is_postmaster else reply.BAD_RECIPIENT
        if avatar.accepts_any_recipient:
            return reply.RECIPIENT_OK
        if self._find(domain) is None or _ROUTED_LOCAL_PART(recipient.local) is not None:
            return reply.UNABLE_TO_RELAY
        return reply.RECIPIENT_OK

    def resolve_recipient(self, recipient: Address) -> Address:
        """Where a recipient's mail is meant for: the bare postmaster is C{server.postmaster}, all others are themselves."""
        return recipient if recipient.domain else self._postmaster
