"""What some replies of a server mean beyond their code.

Decides whether a recipient was one too many or is refused, whether a reply is the one that is awaited, and whether it was the message that
was refused or the command that brought it.

Sources: RFC 5321 sections 4.2.4 and 4.5.3.1.10, RFC 3463 sections 3.6 and 3.7, RFC 3030 section 2.
"""

from __future__ import annotations

import attrs

from twistedrelay.values.reply import Reply
from twistedrelay.wire.client_replies import RawReply

#: Of a 452 or 552 (RFC 5321 section 4.5.3.1.10; RFC 3463 section 3.6), where there is one at all.
_TOO_MANY = frozenset(("4.5.3", "5.5.3"))

#: The command is unknown, not well formed, not there, out of order, or not with this parameter.
_NO_COMMAND = frozenset((500, 501, 502, 503, 504))


def one_too_many(reply: Reply) -> bool:
    """Whether a recipient was refused only since others had been accepted before."""
    return reply.enhanced in _TOO_MANY or (reply.code in (452, 552) and not reply.enhanced)


def is_for_recipient(raw: RawReply) -> bool:
    """Whether a positive reply of a server with enhanced codes says that it is one to RCPT."""
    return raw.lines[0].startswith(b"2.1.5")


def doubtful(reply: Reply) -> Reply:
    """The same for a message that the server has whole, and of which it did not say whether it took it."""
    return attrs.evolve(reply, text=f"{reply.text}; all of the message was sent, so it may have been delivered")


def is_no_chunk(reply: Reply) -> bool:
    """Whether a server, or something in front of it, does not know the BDAT that it offered: no word on the message."""
    return reply.code in _NO_COMMAND and (not reply.enhanced or reply.enhanced.startswith("5.5."))


def no_chunk(reply: Reply) -> Reply:
    """What becomes of a message then: it waits, and nothing is known against it."""
    return Reply(451, "4.5.1", f"The next hop offers CHUNKING but refuses BDAT: {reply.code} {reply.text}")
