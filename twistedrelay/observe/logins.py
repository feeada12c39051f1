"""The event consumer that keeps the record of logins.

It decides how events add up until they are written: in memory by login name, and to disk every L{INTERVAL} seconds in a thread, so that
neither a flood of logins nor a slow disk holds up the relay or fills its memory.  A crash costs at most the last few seconds.  What is
kept is L{twistedrelay.observe.login_store}'s decision.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable

from twisted.internet.defer import Deferred, TimeoutError, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twistedrelay.interfaces import IEventSink
from twistedrelay.observe.login_store import LoginStore, Uses
from twistedrelay.values.events import Event, LoggedIn, LoginFailed, SessionEvent

INTERVAL = 5.0  #: seconds that a login may wait to be written
MOST_NAMES = 1_000  #: names in memory; failures of further ones only add to the number of failures with unknown names
_LONGEST_NAME = 320
_LONGEST_USES = 100  #: different addresses of one account between two writes
_REPORT_INTERVAL = 600.0

#: The address of the users file's account that a login name means, or None.  Called in a thread.
Known = Callable[[str], "str | None"]


@implementer(IEventSink)
class LoginRecord:
    """Collects logins and writes them."""

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        in_thread: Callable[..., Deferred[None]],
        store: LoginStore,
        known: Known,
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        @param in_thread: calls a function in a thread, C{deferToThread}'s way.
        @param known: whether a name is an account of the users file: only accounts' failures are kept apart.
        """
        self._clock = clock
        self._in_thread = in_thread
        self._store = store
        self._known = known
        self._now = now
        self._uses: dict[str, Uses] = {}
        self._unknown = 0
        self._call: IDelayedCall | None = None
        self._writing: Deferred[None] | None = None
        self._stopped = False
        self._silent_until = float("-inf")

    def emit(self, event: Event) -> None:
        """Take an event."""
        if isinstance(event, LoggedIn):
            self._logged_in(event)
        elif isinstance(event, LoginFailed) and not event.temporary:
            self._failed(event)

    def _logged_in(self, event: LoggedIn) -> None:
        now = self._now()
        one = self._uses.setdefault(event.user.casefold(), Uses(event.user))
        one.address = event.user
        one.first = one.first or now
        one.last = now
        one.logins += 1
        one.failures = 0
        for use in (("source", _source(event)), ("connector", event.connector), ("mechanism", event.mechanism)):
            if use in one.used or len(one.used) < _LONGEST_USES:
                one.used[use] = (now, one.used.get(use, (0.0, 0))[1] + 1)
        self._schedule()

    def _failed(self, event: LoginFailed) -> None:
        name = event.user.casefold()
        one = self._uses.get(name)
        if one is None and (len(self._uses) >= MOST_NAMES or not name or len(name) > _LONGEST_NAME):
            self._unknown += 1
        else:
            one = self._uses.setdefault(name, Uses(event.user))
            one.failures += 1
            one.last_failure = self._now()
            one.last_failure_source = _source(event)
        self._schedule()

    def _schedule(self) -> None:
        if self._call is None and self._writing is None and not self._stopped:
            self._call = self._clock.callLater(INTERVAL, self._flush)

    def _flush(self) -> None:
        """Write what came together."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None
        uses, self._uses = self._uses, {}
        unknown, self._unknown = self._unknown, 0
        self._writing = self._in_thread(self._write, uses, unknown)
        self._writing.addErrback(self._not_written, uses, unknown)
        self._writing.addCallback(self._written)

    def _write(self, uses: dict[str, Uses], unknown: int) -> None:
        """Runs in a thread."""
        accounts: dict[str, tuple[Uses, bool | None]] = {}
        for name, one in uses.items():
            address = self._known(name)
            if address is None:
                accounts[name] = (one, True if one.logins else None)
                continue
            key = address.casefold()
            if key in accounts:  # an account by two names: its own and a short one
                one = _joined(accounts[key][0], one)
            one.address = address
            accounts[key] = (one, False)
        self._store.write(((name, one, external) for name, (one, external) in accounts.items()), unknown, self._now())

    def _not_written(self, failure: Failure, uses: dict[str, Uses], unknown: int) -> None:
        """Keep it for the next time, as far as there is room."""
        self._unknown += unknown
        for name, one in uses.items():
            if name in self._uses:
                self._uses[name] = _joined(one, self._uses[name])
            elif one.logins or len(self._uses) < MOST_NAMES:
                self._uses[name] = one
            else:
                self._unknown += one.failures
        now = self._clock.seconds()
        if now >= self._silent_until:
            self._silent_until = now + _REPORT_INTERVAL
            reason = failure.getErrorMessage() if failure.check(sqlite3.Error, OSError) else failure.getTraceback()
            self._log.error("logins cannot be recorded in {path}: {reason}", path=self._store.path, reason=reason)

    def _written(self, _: object) -> None:
        self._writing = None
        if self._uses or self._unknown:
            self._schedule()

    def stop(self, patience: float) -> Deferred[None]:
        """Write the rest; fires when it is on the disk, could not be written, or that takes longer than so many seconds."""
        self._stopped = True
        done = self._writing if self._writing is not None else succeed(None)
        ended: Deferred[None] = Deferred()
        done.addCallback(self._write_rest).addBoth(lambda result: None if ended.called else ended.callback(result))
        return ended.addTimeout(patience, self._clock).addErrback(self._not_closed)

    def _write_rest(self, _: object) -> Deferred[None]:
        if self._uses or self._unknown:
            self._flush()
        last = self._writing if self._writing is not None else succeed(None)
        return last.addCallback(lambda _: self._in_thread(self._store.close))

    def _not_closed(self, failure: Failure) -> None:
        reason = "the disk is too slow" if failure.check(TimeoutError) else failure.getErrorMessage()
        self._log.error("the last logins may not be recorded in {path}: {reason}", path=self._store.path, reason=reason)


def _source(event: SessionEvent) -> str:
    """The client's address without its port."""
    return event.peer.rpartition(":")[0].strip("[]")


def _joined(one: Uses, other: Uses) -> Uses:
    """What happened with one account by two names, or at two times.  Failures before the other's last login no longer count."""
    used = dict(one.used)
    for use, (last, count) in other.used.items():
        known = used.get(use, (0.0, 0))
        used[use] = (max(last, known[0]), count + known[1])
    failures = sum(part.failures for part, rest in ((one, other), (other, one)) if not (rest.logins and part.last_failure < rest.last))
    failed = max(one, other, key=lambda part: part.last_failure)
    return Uses(
        other.address if other.logins else one.address,
        min(filter(None, (one.first, other.first)), default=0.0),
        max(one.last, other.last),
        one.logins + other.logins,
        used,
        failures,
        failed.last_failure,
        failed.last_failure_source,
    )
