"""Messages that were delivered and are kept for some time, to be delivered again (Exchange's Safety Net).

Source: Exchange Server, "Safety Net", Add-ResubmitRequest.
"""

from __future__ import annotations

import math

import attrs

from twistedrelay.values.address import Address
from twistedrelay.values.envelope import Message, Recipient

#: In front of the first message of all.
START = (0.0, 0)


@attrs.frozen(slots=True)
class KeptQuery:
    """Which kept messages are meant; what is empty does not count.

    @ivar start: delivered at this time or later, seconds since the epoch.
    @ivar end: delivered before this time.
    @ivar recipient: an address, or a domain.
    @ivar next_hop: the name or address of the host that took it, or its domain.
    """

    start: float = 0.0
    end: float = math.inf
    recipient: str = ""
    next_hop: str = ""

    def wants(self, recipient: Recipient) -> bool:
        """Whether a recipient that got its message is meant."""
        return self._is_recipient(recipient.address) and self._is_next_hop(recipient)

    def _is_recipient(self, address: Address) -> bool:
        wanted = self.recipient.lower()
        return not wanted or wanted.removeprefix("@") == address.domain.lower() or wanted == address.text.lower()

    def _is_next_hop(self, recipient: Recipient) -> bool:
        wanted = self.next_hop.lower()
        if not wanted or wanted == recipient.address.domain.lower():
            return True
        name, _, rest = recipient.last_remote.lower().partition(" ")
        return wanted in (name, rest.partition("]")[0].removeprefix("["), recipient.last_remote.lower())


@attrs.frozen(slots=True)
class Kept:
    """A message that is kept.

    @ivar message: with those of its recipients that are meant, each as it was when it got its message.
    @ivar delivered_at: when the last of its recipients was done.
    """

    message: Message
    delivered_at: float


@attrs.frozen(slots=True)
class KeptPage:
    """Some messages of a walk through those that are kept, in the order of their delivery.

    @ivar position: where to go on; None at the end.
    """

    found: list[Kept]
    position: tuple[float, int] | None
