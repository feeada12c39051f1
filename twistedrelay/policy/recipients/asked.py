"""Addresses that somebody has to be asked about: a directory, or the next hop.

Answers are kept; who asks for an address while it is being asked about joins; only so many questions may wait, and none waits for
long.  Decides what to say where nobody can tell: what existed last time exists, for all else the answer is C{doubt}.

A next hop that takes every address proves nothing: it is found out by an address that cannot exist, and said in the log.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from twistedrelay.policy.recipients.cache import AnswerCache
from twistedrelay.values.address import Address, parse_address
from twistedrelay.values.reply import Reply

WAITING = 1000  #: questions at a time
PATIENCE = 20.0  #: seconds for one of them
BELIEVED = 3600.0  #: seconds until an address that cannot exist is tried again
REPEATED = 300.0  #: seconds between two warnings about the same domain

Answer = bool | Reply


class AskedRecipients:
    """The addresses of one accepted domain."""

    def __init__(
        self,
        clock: Any,
        ask: Callable[[Address], Deferred[bool | None]],
        cache: AnswerCache,
        warn: Callable[[str], None],
        *,
        source: str,
        doubt: Answer,
        mistrust: bool = False,
    ) -> None:
        """
        @param ask: gives True, False, or None where it cannot tell; it may fail, too.
        @param source: whom it asks, for the log.
        @param doubt: what to say where nobody can tell.
        @param mistrust: whether it may say yes to everything.
        """
        self._clock = clock
        self._ask = ask
        self._cache = cache
        self._warn = warn
        self._source = source
        self._doubt = doubt
        self._mistrust = mistrust
        self._waiting: dict[str, list[Deferred[Answer]]] = {}
        self._count = 0
        self._tested: dict[str, float] = {}  # by domain: until when a test is good
        self._warned = float("-inf")

    def known(self, recipient: Address) -> Answer | Deferred[Answer]:
        """See L{IRecipients}."""
        local = recipient.local
        # Case counts beyond ASCII: a Kelvin sign is no k, and what is said of one must not be kept for the other.
        key = f"{local.lower() if local.isascii() else local}@{recipient.domain}"
        answer = self._cache.get(key)
        if answer is not None:
            return answer
        if self._count >= WAITING:
            return self._in_doubt(key, "too many questions wait")
        self._count += 1
        waiter: Deferred[Answer] = Deferred()
        others = self._waiting.setdefault(key, [])
        others.append(waiter)
        if len(others) == 1:
            self._begin(recipient).addCallback(self._answered, recipient, key)
        return waiter

    def _begin(self, recipient: Address) -> Deferred[bool | None]:
        asked: Deferred[bool | None] = maybeDeferred(self._ask, recipient)
        return asked.addTimeout(PATIENCE, self._clock).addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        self._complain(failure.getErrorMessage())

    def _answered(self, exists: bool | None, recipient: Address, key: str) -> None:
        if exists is None:
            answer = self._in_doubt(key, "it cannot tell")
        else:
            self._cache.put(key, exists)
            answer = exists
            if exists and self._mistrust:
                self._test(recipient)
        waiting = self._waiting.pop(key)
        self._count -= len(waiting)
        for waiter in waiting:
            waiter.callback(answer)

    def _in_doubt(self, key: str, why: str) -> Answer:
        self._complain(why)
        return True if self._cache.existed(key) else self._doubt

    def _complain(self, why: str) -> None:
        now = self._clock.seconds()
        if now - self._warned >= REPEATED:
            self._warned = now
            self._warn(f"recipients cannot be looked up, {self._source}: {why}")

    def _test(self, recipient: Address) -> None:
        """Ask about an address of the domain that cannot exist."""
        domain, now = recipient.domain, self._clock.seconds()
        if self._tested.get(domain, 0.0) > now or len(self._tested) > WAITING:
            return
        self._tested[domain] = now + BELIEVED
        nobody = parse_address(f"no-such-user-{secrets.token_hex(8)}@{domain}")
        self._begin(nobody).addCallback(self._test_answered, domain)

    def _test_answered(self, exists: bool | None, domain: str) -> None:
        if exists:
            self._warn(f"{self._source} takes every address of {domain}, so call_ahead finds no unknown recipients there")
