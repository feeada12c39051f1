"""What senders of the simulation wish for their mail, and next hops that know more or less of it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import attrs
from zope.interface import implementer

from twistedrelay.delivery.success import success_action
from twistedrelay.interfaces import IRouter
from twistedrelay.values.envelope import (
    NO_MAIL_PARAMETERS,
    DeliverBy,
    Job,
    MailParameters,
    Message,
    Outcome,
    OutcomeKind,
    RcptParameters,
    Recipient,
)
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Route
from twistedrelay.wire.client_offers import Offers

OK = Reply(250, "2.0.0", "OK")
LATER = Reply(451, "4.3.0", "Try again later")
NEVER = Reply(550, "5.1.1", "User unknown")
UNPROVEN = Reply(550, "5.7.30", "REQUIRETLS is not supported by the next hop")
NO_WAY = Reply(451, "4.4.4", "A matching connector cannot be found")
NO_DELIVERBY = Reply(550, "5.3.3", "The next hop does not know DELIVERBY")

#: What next hops offer, by domain: one with everything, one with nothing, a mailbox server by LMTP, a maildir.
OFFERS = {
    "d0.example": Offers(dsn=True, deliver_by=True, eight_bit=True, binary=True, utf8=True),
    "d1.example": Offers(),
    "d2.example": Offers(eight_bit=True),
    "d3.example": Offers(eight_bit=True, binary=True, utf8=True, deliver_by=True),
}
FINAL = frozenset({"d2.example", "d3.example"})
DOMAINS = sorted(OFFERS)

_NOTIFY = [(), (), ("NEVER",), ("SUCCESS",), ("FAILURE",), ("DELAY",), ("SUCCESS", "FAILURE"), ("SUCCESS", "FAILURE", "DELAY")]


def wishes(chance: random.Random, now: float) -> MailParameters:
    """The parameters of a MAIL; half of all senders have no wish."""
    if chance.random() < 0.5:
        return NO_MAIL_PARAMETERS
    by = DeliverBy(chance.choice([30, 300, 3000]), chance.choice("RRN"), chance.random() < 0.3) if chance.random() < 0.4 else None
    return MailParameters(
        body=chance.choice(["7BIT", "8BITMIME", "BINARYMIME"]),
        ret=chance.choice(["", "FULL", "HDRS"]),
        envid=chance.choice(["", "Q+1=\u00fc"]),
        require_tls=chance.random() < 0.2,
        priority=chance.choice([None, -9, 0, 9]),
        deliver_by=by,
        hold_until=now + chance.choice([5.0, 100.0, 2000.0]) if chance.random() < 0.4 else 0.0,
    )


def notification(chance: random.Random) -> RcptParameters:
    """The parameters of a RCPT."""
    return RcptParameters(frozenset(chance.choice(_NOTIFY)), chance.choice(["", "rfc822;first+2Blast@example.test"]))


def is_silent(message_sender_is_null: bool, notify: frozenset[str]) -> bool:
    """Whether a failure is told to nobody."""
    return message_sender_is_null or bool(notify and "FAILURE" not in notify)


@implementer(IRouter)
class Router:
    """One lane for each domain, and another for what needs proven TLS.

    @param moved: domains that go to another next hop, or (C{""}) have no way.
    """

    def __init__(self, moved: Mapping[str, str] = MappingProxyType({})) -> None:
        self._moved = moved
        self._routes: dict[tuple[str, bool], Route] = {}

    def route(self, message: Message, recipient: Recipient) -> Route | Reply:
        """See L{IRouter}."""
        domain, proven = recipient.address.domain, message.parameters.require_tls
        next_hop = self._moved.get(domain, domain)
        if not next_hop:
            return NO_WAY
        if (domain, proven) not in self._routes:
            kind = {"d2.example": "lmtp", "d3.example": "maildir"}.get(next_hop, "smtp")
            way = Route("Internet", next_hop, "DnsConnectorDelivery", mx_domain=domain, require_tls=proven)
            self._routes[domain, proven] = attrs.evolve(way, kind=kind)  # type: ignore[arg-type]
        return self._routes[domain, proven]


def refusal(job: Job, next_hop: str) -> Reply | None:
    """Why a next hop gets nothing of a job, whatever its mood."""
    by = job.message.parameters.deliver_by
    offers = OFFERS.get(next_hop, Offers())
    if by is not None and by.mode == "R" and not offers.deliver_by and next_hop not in FINAL:
        return NO_DELIVERBY
    return None


def outcomes(job: Job, next_hop: str, replies: Sequence[Reply], now: float, *, uncertain: bool = False) -> list[Outcome]:
    """What became of the recipients of a job."""
    made = []
    for recipient, reply in zip(job.recipients, replies, strict=True):
        kind, action = OutcomeKind.FAILED, ""
        if reply.is_positive:
            kind = OutcomeKind.DELIVERED
            action = success_action(job.message, recipient, OFFERS.get(next_hop, Offers(dsn=True)), final=next_hop in FINAL, now=now)
        elif reply.is_transient:
            kind = OutcomeKind.DEFERRED
        made.append(Outcome(recipient, kind, reply, "mx [192.0.2.1]:25", uncertain=uncertain, action=action))
    return made
