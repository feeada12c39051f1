"""Nobody gets mail back for a clock that was set ahead: for a day messages may be older by as much, as somebody may see that it is wrong.

It decides about expiry and delay notices by age only; what a sender asked for (RFC 2852) is by the clock.  A part of the composition root.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall

from twistedrelay.config.schema import Transport

#: Seconds for which it lasts.
LASTS = 86400.0


class Patience:
    """See the module."""

    def __init__(self, clock: Any, changed: Callable[[], None]) -> None:
        """@param changed: called when L{of} says something else than before."""
        self._clock = clock
        self._changed = changed
        self._more = 0.0  # seconds
        self._end: IDelayedCall | None = None

    def of(self, transport: Transport) -> Transport:
        """The keys of a configuration, as they are to be used now."""
        more = self._more
        if not more:
            return transport
        expiration, delay = transport.message_expiration_timeout + more, transport.delay_notification_timeout + more
        return transport.model_copy(update={"message_expiration_timeout": expiration, "delay_notification_timeout": delay})

    def wait_on(self, seconds: float) -> None:
        """The clock was set ahead by this, or back."""
        self.stop()
        before, self._more = self._more, max(self._more + seconds, 0.0)
        if self._more:
            self._end = self._clock.callLater(LASTS, self.wait_on, -self._more)
        if self._more != before:
            self._changed()

    def stop(self) -> None:
        """It stays as it is."""
        if self._end is not None and self._end.active():
            self._end.cancel()
