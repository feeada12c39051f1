"""Pages of messages that fit a filter.

What the spool can look for it looks for; the rest is asked message by message, in pieces between which the reactor has its turn.  A request
takes a bounded time: where that is over, its page ends, and goes on behind its bookmark.  So a page may be empty and not be the last.
"""

from __future__ import annotations

import email.parser
import email.policy

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from twistedrelay.control import message_views, models
from twistedrelay.control.bounds import in_time
from twistedrelay.control.filters import Filter
from twistedrelay.control.live import Place, Relay
from twistedrelay.control.properties import may_fit, message_query, message_values
from twistedrelay.interfaces import IContent, SpoolError
from twistedrelay.observe.tracking.query import decoded
from twistedrelay.values.envelope import Message

PAGE = 200  #: messages taken from the spool at once, where a filter looks at each
PIECE = 50  #: messages in one turn of the reactor
LONGEST = 2.0  #: seconds that a request looks
HEADER = 32 * 1024  #: octets of a message that its subject is looked for in


@attrs.frozen(slots=True)
class Listed:
    """A page.

    @ivar after: what to go on behind, None where there is no more.
    """

    messages: list[models.MessageSummary]
    after: int | None


async def subject_of(content: IContent) -> str:
    """The subject of a message, C{""} where it has none or is gone."""
    try:
        octets = await content.read(0, HEADER)
    except SpoolError:
        return ""
    found = email.parser.BytesHeaderParser(policy=email.policy.compat32).parsebytes(octets.partition(b"\r\n\r\n")[0])["subject"]
    return decoded(str(found or ""))


async def listed(
    relay: Relay, filter: Filter | None, limit: int, after: int | None, *, backwards: bool = False, with_recipients: bool = False
) -> Listed:
    """The messages that fit, from a bookmark on."""
    query = message_query(filter, backwards=backwards)
    shown: list[models.MessageSummary] = []
    over = relay.clock.seconds() + LONGEST
    while True:
        wanted = limit - len(shown)
        page = await in_time(relay, relay.spool.browse(PAGE if filter is not None else min(PAGE, wanted), after, query))
        for start in range(0, len(page.messages), PIECE):
            piece = page.messages[start : start + PIECE]
            for message, place in zip(piece, relay.scheduler.messages.places(piece), strict=True):
                found = await _fitting(relay, filter, message, place, with_recipients)
                after = message.id
                if found is not None:
                    shown.append(found)
                    if len(shown) == limit:
                        return Listed(shown, after)
            await deferLater(relay.clock, 0.0)
        after = page.position
        if after is None or relay.clock.seconds() >= over:
            return Listed(shown, after)


async def _fitting(
    relay: Relay, filter: Filter | None, message: Message, place: Place, with_recipients: bool
) -> models.MessageSummary | None:
    if filter is not None and not may_fit(filter, relay.config.server.name, place):
        return None
    shown = message_views.summary(relay, message, place, with_recipients=with_recipients)
    if filter is None:
        return shown
    subject = await in_time(relay, Deferred.fromCoroutine(subject_of(message.content))) if "subject" in filter.names else ""
    values = message_values(
        relay.config.server.name, shown, message.origin.user, message.origin.helo, subject, message_views.age(relay, message)
    )

    def get(name: str) -> object:
        return [of.address.text for of in message.recipients] if name == "recipients" else values(name)

    return shown if filter.matches(get) else None
