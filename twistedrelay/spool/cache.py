"""The memory that messages may use, so that delivery gets them without reading them back from the disk.

Decides whose octets stay: those used last, within one budget for all and a bound for each.  Content that is still arriving is
never dropped for another one; large content gives way by itself when there is no room for it.  So a queue costs disk and not memory,
whatever waits in it.  Used on the reactor thread only.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol


class Cached(Protocol):
    """Content that can do without its copy in memory."""

    def forget(self) -> None:
        """Drop the copy in memory."""


class HotCache:
    """Counts octets for contents and tells the oldest ones to let go.

    @ivar used: octets counted now.
    """

    def __init__(self, budget: int, each: int) -> None:
        self._budget = budget
        self._each = each
        self.used = 0
        self._arriving: dict[Cached, int] = {}
        self._settled: OrderedDict[Cached, int] = OrderedDict()  # least recently used first; a plain dict is slow to give its first

    def grow(self, content: Cached, octets: int) -> bool:
        """Count more octets for arriving content; False: it may not be kept, and nothing is counted for it any more."""
        size = self._arriving.get(content, 0) + octets
        if size <= self._each and self._make_room(octets):
            self._arriving[content] = size
            self.used += octets
            return True
        self.release(content)
        return False

    def _make_room(self, octets: int) -> bool:
        while self.used + octets > self._budget:
            oldest = next(iter(self._settled), None)
            if oldest is None:
                return False
            self.release(oldest)
            oldest.forget()
        return True

    def settle(self, content: Cached) -> None:
        """Content has arrived: from now on it may be dropped."""
        size = self._arriving.pop(content, None)
        if size is not None:
            self._settled[content] = size

    def keep(self, content: Cached, octets: int) -> None:
        """Count small content that is stored and in memory; it may be dropped, perhaps at once."""
        if self._make_room(octets):
            self._settled[content] = octets
            self.used += octets
        else:
            content.forget()

    def touch(self, content: Cached) -> None:
        """Content was used."""
        size = self._settled.pop(content, None)
        if size is not None:
            self._settled[content] = size

    def empty(self) -> None:
        """Memory is scarce: drop all that may be dropped."""
        for content in list(self._settled):
            self.release(content)
            content.forget()

    def release(self, content: Cached) -> None:
        """Count nothing for content any more.  Idempotent."""
        self.used -= self._arriving.pop(content, 0) + self._settled.pop(content, 0)
