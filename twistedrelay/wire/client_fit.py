"""Whether a message can be said to a server at all.

Decides which transactions are refused without a word to the server, and which of their recipients: above its SIZE, with addresses that
it cannot read, or with a wish that must not be dropped.  What can be converted was converted before (C{delivery.fit}).

A by-time of mode R must not be lost on the way: a message with it goes to a server with DELIVERBY, or returns; an LMTP server delivers at
once, and needs no extension for it.

Sources: RFC 1870 section 6.3 (SIZE), RFC 6531 section 3.2 (SMTPUTF8), RFC 2852 section 4.1 (DELIVERBY), RFC 3030 (BINARYMIME), RFC 3463.
"""

from __future__ import annotations

from twistedrelay.values.reply import MESSAGE_TOO_LARGE, Reply
from twistedrelay.wire.client_offers import Offers
from twistedrelay.wire.client_values import Transaction, Verdict

NEEDS_SMTPUTF8 = Verdict(Reply(550, "5.6.7", "Non-ASCII addresses are not permitted by the next hop"), own=True)
NEEDS_CONVERSION = Verdict(Reply(554, "5.6.3", "Conversion required but not supported: the next hop takes no binary content"), own=True)
UNSAYABLE = Verdict(Reply(550, "5.1.3", "Address holds control characters"), own=True)
TOO_LARGE = Verdict(MESSAGE_TOO_LARGE, own=True)
NO_DELIVERBY = Verdict(Reply(550, "5.3.3", "The next hop does not know DELIVERBY, which the by-time of this message needs"), own=True)
TOO_LATE = Verdict(Reply(550, "5.4.7", "The next hop cannot deliver within the by-time of this message"), own=True)


def judge(transaction: Transaction, offers: Offers, *, lmtp: bool) -> tuple[Verdict | None, bool]:
    """Why nothing of a transaction can be said (or None), and whether it needs SMTPUTF8.

    Recipients who alone cannot be said get their verdicts here.
    """
    transaction.verdicts = [None] * len(transaction.recipients)
    mail = transaction.mail
    if 0 < offers.size_limit < transaction.size:
        return TOO_LARGE, False
    addresses = transaction.sender + "".join(transaction.recipients)
    if not addresses.isprintable():
        return UNSAYABLE, False
    if mail.body == "BINARYMIME" and not offers.binary:
        return NEEDS_CONVERSION, False
    if mail.deliver_by is not None and mail.deliver_by.mode == "R":
        if not offers.deliver_by and not lmtp:
            return NO_DELIVERBY, False
        if mail.deliver_by.seconds < max(1, offers.by_least):
            return TOO_LATE, False
    if addresses.isascii():
        return None, mail.smtp_utf8
    if offers.utf8:
        return None, True
    if not transaction.sender.isascii():
        return NEEDS_SMTPUTF8, False
    transaction.verdicts = [None if address.isascii() else NEEDS_SMTPUTF8 for address in transaction.recipients]
    return (None if None in transaction.verdicts else NEEDS_SMTPUTF8), False
