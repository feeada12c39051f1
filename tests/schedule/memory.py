"""What a spool remembers besides messages, in a dictionary."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred, fail, succeed

from twistedrelay.interfaces import SpoolError
from twistedrelay.values.envelope import Message, MessageStatus
from twistedrelay.values.reply import LOCAL_ERROR


class Memory:
    """Small texts and statuses.  With C{forgetful}, it refuses."""

    disk: dict[int, Message]

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.forgetful = False

    def remember(self, key: str, value: str | None) -> Deferred[None]:
        if self.forgetful:
            return fail(SpoolError("disk full", LOCAL_ERROR))
        if value is None:
            self.texts.pop(key, None)
        else:
            self.texts[key] = value
        return succeed(None)

    def remembered(self) -> Deferred[dict[str, str]]:
        return fail(SpoolError("disk full", LOCAL_ERROR)) if self.forgetful else succeed(dict(self.texts))

    def set_status(self, ids: Sequence[int], status: MessageStatus, failures: int | None = None) -> Deferred[int]:
        if self.forgetful:
            return fail(SpoolError("disk full", LOCAL_ERROR))
        found = [self.disk[number] for number in ids if number in self.disk]
        for message in found:
            message.status = status
        return succeed(len(found))
