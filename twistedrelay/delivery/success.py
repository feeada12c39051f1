"""Which report of success a sender is to get from us.

A next hop with DSN sends its own, since NOTIFY went on to it.  One without sends none: then we say C{relayed}, or C{delivered} where it
is the mailbox itself (LMTP, maildir).  By DELIVERBY a sender may want to hear of every hop (trace), and in mode N of the hop behind which
nobody watches the time any more.

Sources: RFC 3461 sections 5.2.1 to 5.2.3, RFC 2852 section 4.1.4 (whatever NOTIFY says but NEVER).
"""

from __future__ import annotations

from twistedrelay.values.envelope import Message, Recipient
from twistedrelay.wire.client_offers import Offers


def success_action(message: Message, recipient: Recipient, offers: Offers, now: float, *, final: bool) -> str:
    """C{"relayed"}, C{"delivered"} or C{""}, for a recipient whom the next hop has taken.

    @param final: the next hop is the mailbox.
    """
    notify = recipient.parameters.notify
    if "NEVER" in notify:
        return ""
    if "SUCCESS" in notify and not offers.dsn:
        return "delivered" if final else "relayed"
    by = message.parameters.deliver_by
    if by is None or final:
        return ""
    unwatched = by.mode == "N" and not offers.deliver_by and now < message.received_at + by.seconds
    return "relayed" if by.trace or unwatched else ""
