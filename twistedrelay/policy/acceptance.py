"""The verdicts on MAIL FROM and RCPT TO.

Decides whether a session may send as a sender and to a recipient.  Never decides syntax (C{wire} does), and only asks whether a recipient
exists (C{policy.recipients}).  Called for every command, so all that can be known at start is worked out there.

The order: must there be TLS first, may the session submit at all, is the message too large, may it claim this sender; then for each
recipient, how many there are, whether its domain is one that cannot exist, whether it is a return path that we made, which anybody may
answer to (L{twistedrelay.policy.srs}), and whether it is ours or the session may relay.  A login may
claim its own addresses.  A session without a login has none; it may claim what is nobody's here, and our authoritative domains by a
right of their own.

Sources: Exchange Server, "Receive connector permissions", Set-ReceiveConnector, Set-AcceptedDomain; RFC 5321 section 4.5.1 (postmaster),
RFC 1870 (SIZE), RFC 2606 (reserved domains), RFC 3207 section 4 (a server that demands TLS).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from twistedrelay.config.domains import DomainIndex
from twistedrelay.config.schema import AcceptedDomain, Config, ReceiveConnector
from twistedrelay.interfaces import IRecipients
from twistedrelay.policy.headers import HeaderRules, own_names
from twistedrelay.policy.rights import Rights
from twistedrelay.policy.srs import ReturnPaths
from twistedrelay.values import reply
from twistedrelay.values.address import Address, parse_address
from twistedrelay.values.envelope import MailParameters, RcptParameters
from twistedrelay.values.reply import Reply

if TYPE_CHECKING:
    from twistedrelay.policy.realm import RelaySession, SessionFacts

#: What asks a mail server to send on to somewhere else: the percent hack, UUCP paths, and routes, also inside quotes.
_ROUTED_LOCAL_PART = re.compile("[%!@:]").search

#: RFC 2606: nobody has these, whatever a device is set up with.
_RESERVED_TOP_LEVEL = frozenset(("test", "example", "invalid", "localhost"))
_RESERVED_SECOND_LEVEL = frozenset(("example.com", "example.net", "example.org"))


class Acceptance:
    """The rules of one configuration."""

    __slots__ = (
        "_accepted",
        "_find",
        "_header_rules",
        "_own_names",
        "_postmaster",
        "_recipients",
        "_return_paths",
        "_some_domains_rejected",
        "_srs_domains",
        "_tls_required",
        "asks_recipients",
    )

    def __init__(self, config: Config, return_paths: ReturnPaths | None = None, recipients: IRecipients | None = None) -> None:
        """
        @param return_paths: the SRS addresses that this relay made.
        @param recipients: which addresses of our domains exist; None: all of them.
        """
        self._return_paths = return_paths or ReturnPaths(config)
        self._srs_domains = self._return_paths.domains
        self.asks_recipients = recipients is not None
        self._recipients = recipients
        self._accepted: DomainIndex[AcceptedDomain] = DomainIndex(config.accepted_domains)
        self._find = self._accepted.find
        self._postmaster = parse_address(config.server.postmaster or f"postmaster@{config.server.fqdn}", utf8=True)
        self._own_names = own_names(config)
        self._header_rules: dict[tuple[int, Rights], tuple[ReceiveConnector, HeaderRules]] = {}
        # What most configurations never ask for costs no look at the session's connector.
        connectors = config.receive_connectors.values()
        self._tls_required = any(connector.require_tls for connector in connectors)
        self._some_domains_rejected = any(
            connector.reject_reserved_top_level_recipient_domains
            or connector.reject_reserved_second_level_recipient_domains
            or connector.reject_single_label_recipient_domains
            for connector in connectors
        )

    def accepted_domain(self, domain: str) -> AcceptedDomain | None:
        """The accepted domain that holds a domain, or None."""
        return self._find(domain)

    def is_internal(self, address: Address) -> bool:
        """Whether an address is in an accepted domain."""
        return self._find(address.domain) is not None

    def size_limit(self, avatar: RelaySession, connector: ReceiveConnector) -> int | None:
        """The largest message a session may send, in octets; None where it has the right to pass the limit."""
        return None if avatar.bypasses_size_limit else connector.max_message_size

    def header_rules(self, connector: ReceiveConnector, rights: Rights) -> HeaderRules:
        """What the messages of a connector's sessions with these rights may have in front."""
        known = self._header_rules.get((id(connector), rights))
        if known is None or known[0] is not connector:
            known = self._header_rules[id(connector), rights] = connector, HeaderRules.of(connector, rights, self._own_names)
        return known[1]

    def mail(self, avatar: RelaySession, facts: SessionFacts, sender: Address, parameters: MailParameters) -> Reply:
        """The reply to MAIL FROM."""
        if self._tls_required and facts.connector.require_tls and not facts.tls_version:
            return reply.STARTTLS_REQUIRED
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
        if self._some_domains_rejected and (rejection := _rejection(facts.connector, domain)) is not None:
            return rejection
        if domain in self._srs_domains:
            if self._return_paths.claims(recipient):
                return reply.BAD_RETURN_PATH if self._return_paths.inside(recipient) is None else reply.RECIPIENT_OK
            if recipient.is_postmaster:  # of every domain that mail is taken for
                return reply.RECIPIENT_OK
        if avatar.accepts_any_recipient:
            return reply.RECIPIENT_OK
        if self._find(domain) is None or _ROUTED_LOCAL_PART(recipient.local) is not None:
            return reply.UNABLE_TO_RELAY
        return reply.RECIPIENT_OK

    def existence(self, avatar: RelaySession, recipient: Address) -> Reply | Deferred[Reply]:
        """The reply to RCPT TO of a recipient that may be sent to, where C{asks_recipients}: whether it exists.

        Who may relay anywhere is not told: whoever gets hold of such a session must not learn from it who is there.

        @param recipient: as L{resolve_recipient} gives it.
        """
        if avatar.accepts_any_recipient or self._recipients is None:
            return reply.RECIPIENT_OK
        known = self._recipients.known(recipient)
        return known.addCallback(_existence) if isinstance(known, Deferred) else _existence(known)

    def resolve_recipient(self, recipient: Address) -> Address:
        """Where mail is meant for: the bare postmaster is C{server.postmaster}, as is that of an C{srs_domain} that is nothing else; an SRS
        address is who is inside; all others are themselves."""
        domain = recipient.domain
        if domain in self._srs_domains:
            if self._return_paths.claims(recipient):
                return self._return_paths.inside(recipient) or recipient
            if recipient.is_postmaster and self._find(domain) is None:
                return self._postmaster
        return recipient if domain else self._postmaster


def _existence(known: bool | Reply) -> Reply:
    """The reply to RCPT TO, by what L{IRecipients} says."""
    return known if isinstance(known, Reply) else reply.RECIPIENT_OK if known else reply.USER_UNKNOWN


def _rejection(connector: ReceiveConnector, domain: str) -> Reply | None:
    """Why a connector takes no mail for a domain, whosever it is; None where it may.  Address literals have no labels."""
    labels = domain.split(".")
    if connector.reject_reserved_top_level_recipient_domains and labels[-1] in _RESERVED_TOP_LEVEL:
        return reply.RESERVED_TOP_LEVEL_DOMAIN
    if connector.reject_reserved_second_level_recipient_domains and ".".join(labels[-2:]) in _RESERVED_SECOND_LEVEL:
        return reply.RESERVED_SECOND_LEVEL_DOMAIN
    if connector.reject_single_label_recipient_domains and len(labels) == 1 and not domain.startswith("["):
        return reply.SINGLE_LABEL_DOMAIN
    return None
