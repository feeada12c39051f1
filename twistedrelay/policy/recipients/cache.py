"""Answers about addresses, kept for a time, in bounded memory.

An answer that an address exists may also be given when its time is over and nobody can be asked: an outage must not make known
recipients unknown.  An answer that it does not exist may not.  Decides nothing about an address.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable


class AnswerCache:
    """The answers used last; C{size} of them."""

    def __init__(self, seconds: Callable[[], float], size: int, positive: float, negative: float) -> None:
        """
        @param positive: for how many seconds an answer is good that an address exists.
        @param negative: likewise, that it does not.
        """
        self._seconds = seconds
        self._size = size
        self._good_for = {True: positive, False: negative}
        self._kept: OrderedDict[str, tuple[bool, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, address: str) -> bool | None:
        """The answer, while it is good."""
        kept = self._kept.get(address)
        if kept is None or kept[1] <= self._seconds():
            return None
        self._kept.move_to_end(address)
        return kept[0]

    def existed(self, address: str) -> bool:
        """Whether the last answer was that it exists, however old that is."""
        kept = self._kept.get(address)
        return kept is not None and kept[0]

    def put(self, address: str, exists: bool) -> None:
        """Keep an answer."""
        seconds = self._good_for[exists]
        if not self._size or not seconds:
            self._kept.pop(address, None)
            return
        self._kept[address] = exists, self._seconds() + seconds
        self._kept.move_to_end(address)
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)
