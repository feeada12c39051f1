"""Failed logons, counted and answered with silence: who guesses passwords is locked out for longer and longer.

Counts failures by the client's network and the login name together, never by the name alone: else anyone could lock a user out from
anywhere.  C{logon_lockout_threshold} failures in a row lock the pair for C{logon_lockout_interval}; each one after that locks it for twice
as long as the last time, up to C{logon_lockout_max_interval}.  A success forgets the pair, and so does that longest time in peace.

A network that fails with many names (one password for all of them) is locked as a whole in the same way, when it has tried
L{NAMES_PER_FAILURE} times as many names as a name may have failures.

What is locked is not looked at, and told nothing: whether the password was right can be learnt only when nothing is locked.  Never sees a
password itself.

Sources: RFC 4954 section 9, NIST SP 800-63B section 5.2.2 (throttling); RFC 6177 (a site may have an IPv6 /48).
"""

from __future__ import annotations

import hashlib
import ipaddress
import unicodedata
from collections import OrderedDict
from collections.abc import Hashable

import attrs
from twisted.internet.interfaces import IReactorTime

from twistedrelay.config.schema import Server
from twistedrelay.values.netrange import IPAddress

#: The parameter that a lock is named after.
LIMIT = "logon_lockout_threshold"

#: A network is locked when this many times the threshold of names have failed from it.
NAMES_PER_FAILURE = 10

_MOST = 50_000  #: counts kept of each kind; the one that failed longest ago is forgotten first


@attrs.frozen(slots=True)
class Lock:
    """A lock that began.

    @ivar user: the login name, or C{""} where all of the network is locked.
    @ivar source: the network.
    """

    user: str
    source: str
    seconds: float


@attrs.define(slots=True)
class _Count:
    """The failures of one key.

    @ivar until: the end of the last lock.
    @ivar interval: its length, 0 before the first.
    """

    failures: int = 0
    until: float = 0.0
    interval: float = 0.0
    last: float = 0.0


class _Table:
    """Counts by key, the one that failed last at the end."""

    def __init__(self, threshold: int, interval: float, longest: float) -> None:
        self._threshold = threshold
        self._interval = interval
        self._longest = longest
        self._counts: OrderedDict[Hashable, _Count] = OrderedDict()  # a plain dict is slow to give its first

    def change(self, threshold: int, interval: float, longest: float) -> None:
        self._threshold, self._interval, self._longest = threshold, interval, longest

    def is_locked(self, key: Hashable, now: float) -> bool:
        count = self._counts.get(key)
        return count is not None and now < count.until

    def fail(self, key: Hashable, now: float) -> tuple[bool, float]:
        """Count a failure.

        @return: whether it is the first of its key, and how long the lock lasts that it begins, else 0.
        """
        self._forget(now)
        count = self._counts.pop(key, None)
        is_first = count is None
        if count is None:
            count = _Count()
        self._counts[key] = count
        count.failures += 1
        count.last = now
        if count.failures < self._threshold or now < count.until:
            return is_first, 0.0
        count.interval = min(count.interval * 2 or self._interval, self._longest)
        count.until = now + count.interval
        return is_first, count.interval

    def forget(self, key: Hashable) -> bool:
        """Whether there was such a key."""
        return self._counts.pop(key, None) is not None

    def give_back(self, key: Hashable) -> None:
        """One failure was none."""
        count = self._counts.get(key)
        if count is not None:
            count.failures -= 1

    def _forget(self, now: float) -> None:
        counts = self._counts
        while counts:
            key, oldest = next(iter(counts.items()))
            if now < max(oldest.last, oldest.until) + self._longest and len(counts) < _MOST:
                return
            del counts[key]


class Lockout:
    """See the module."""

    def __init__(self, clock: IReactorTime, server: Server) -> None:
        self._clock = clock
        self._threshold, interval, longest = _settings(server)
        self._pairs = _Table(self._threshold, interval, longest)
        self._networks = _Table(self._threshold * NAMES_PER_FAILURE, interval, longest)

    def change(self, server: Server) -> None:
        """Other settings: what was counted stays counted, and what is locked stays so as long as it was told."""
        self._threshold, interval, longest = _settings(server)
        self._pairs.change(self._threshold, interval, longest)
        self._networks.change(self._threshold * NAMES_PER_FAILURE, interval, longest)

    def is_locked(self, peer: IPAddress, name: str) -> bool:
        """Whether a logon is to be refused unseen."""
        if not self._threshold:
            return False
        now = self._clock.seconds()
        return self._pairs.is_locked((_network(peer, 24, 64), _key(name)), now) or self._networks.is_locked(_network(peer, 24, 48), now)

    def failed(self, peer: IPAddress, name: str) -> Lock | None:
        """Count a failure; the lock that it begins."""
        if not self._threshold:
            return None
        now = self._clock.seconds()
        near, far = _network(peer, 24, 64), _network(peer, 24, 48)
        is_first, seconds = self._pairs.fail((near, _key(name)), now)
        if is_first:
            wide = self._networks.fail(far, now)[1]
            if wide:
                return Lock("", str(far), wide)
        return Lock(name, str(near), seconds) if seconds else None

    def succeeded(self, peer: IPAddress, name: str) -> None:
        """The right password came: what went before were mistakes."""
        if self._pairs.forget((_network(peer, 24, 64), _key(name))):
            self._networks.give_back(_network(peer, 24, 48))


def _settings(server: Server) -> tuple[int, float, float]:
    """The threshold, the first and the longest interval."""
    interval = server.logon_lockout_interval
    return server.logon_lockout_threshold, interval, max(interval, server.logon_lockout_max_interval)


def _network(peer: IPAddress, length4: int, length6: int) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """The network that a client could change its address in."""
    if isinstance(peer, ipaddress.IPv4Address):
        return ipaddress.IPv4Network((peer, length4), strict=False)
    return ipaddress.IPv6Network((peer, length6), strict=False)


def _key(name: str) -> bytes:
    """One key, and a short one, for all spellings that mean the same account, as far as can be said unseen.

    C{ANY\\user} is C{user}; directories know neither wide letters nor, some of them, accents and blanks.
    """
    plain = unicodedata.normalize("NFKD", name.rpartition("\\")[2].casefold())
    letters = "".join(character for character in plain if not unicodedata.combining(character) and not character.isspace())
    return hashlib.blake2b(letters.casefold().encode("utf-8", "surrogatepass"), digest_size=16).digest()
