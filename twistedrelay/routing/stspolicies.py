"""The MTA-STS policies of domains: when one is fetched, how long it counts, and what counts while it cannot be had.

A domain is asked for by its TXT record; only where that is there, and says something new, a policy is fetched.  A policy counts until its
max_age is over, whatever happens to the record or the web server in between; without one a failure means that there is none.  After a
failure the next try waits.  Policies in use are fetched anew each day, in the background, and all are kept over restarts.

Sources: RFC 8461 sections 3.1, 3.3, 5.1 and 10.2.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from twisted.internet.defer import Deferred, DeferredList, DeferredSemaphore, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedrelay.interfaces import INames, ResolutionError
from twistedrelay.routing.mtasts import Policy, PolicyError, identity_of

_log = Logger()

REMEMBERED = 5_000  #: domains
AFTER_FAILURE = 300.0  #: seconds until the next try
REFRESH_AFTER = 86400.0  #: seconds after which a policy in use is fetched anew
IN_USE = 14 * 86400.0  #: seconds since the last use in which it is
AT_ONCE = 4  #: fetches in the background


@attrs.frozen(slots=True)
class Found:
    """What is known of a domain.

    @ivar failure: why there is no policy, or no new one, as a TLS report says it; C{""} where nothing went wrong.
    """

    policy: Policy | None = None
    failure: str = ""
    detail: str = ""


NOTHING = Found()


@attrs.define(slots=True)
class _Kept:
    """A policy; all times are seconds since the epoch."""

    identity: str
    policy: Policy
    fetched: float
    used: float

    @property
    def until(self) -> float:
        return self.fetched + self.policy.max_age


@attrs.frozen(slots=True)
class _Failed:
    until: float
    found: Found


class Policies:
    """See the module.

    @param clock: the reactor's, whose seconds are those of the epoch.
    @param fetch: gets the policy of a domain, or fails with L{PolicyError}.
    @ivar changed: whether there is something that was not L{dump}ed.
    """

    def __init__(self, clock: Any, names: INames, fetch: Callable[[str], Deferred[Policy]]) -> None:
        self.changed = False
        self._clock = clock
        self._names = names
        self._fetch = fetch
        self._kept: dict[str, _Kept] = {}
        self._failed: dict[str, _Failed] = {}
        self._fetching: dict[str, list[Deferred[Found]]] = {}

    def find(self, domain: str) -> Deferred[Found]:
        """The policy of a domain that counts now.  Never fails."""
        return self._names.query(f"_mta-sts.{domain}", "TXT").addCallbacks(_identity, _unanswered).addCallback(self._choose, domain)

    def _choose(self, identity: str, domain: str) -> Found | Deferred[Found]:
        now = self._clock.seconds()
        kept = self._live(domain)
        if kept is not None:
            kept.used = now
            if identity in ("", kept.identity):
                return Found(kept.policy)
        if not identity:
            return NOTHING
        failed = self._failed.get(domain)
        if failed is not None and failed.until > now:
            return attrs.evolve(failed.found, policy=kept.policy if kept else None)
        return self._get(domain, identity)

    def _live(self, domain: str) -> _Kept | None:
        kept = self._kept.get(domain)
        return kept if kept is not None and kept.until > self._clock.seconds() else None

    # -- fetching --------------------------------------------------------------------------------------------------------

    def _get(self, domain: str, identity: str) -> Deferred[Found]:
        """Fetch, once however many want it."""
        waiting: Deferred[Found] = Deferred()
        others = self._fetching.setdefault(domain, [])
        others.append(waiting)
        if len(others) == 1:
            fetched = self._fetch(domain).addCallbacks(self._keep, self._fail, callbackArgs=(domain, identity), errbackArgs=(domain,))
            fetched.addErrback(self._defect).addCallback(self._tell, domain)
        return waiting

    def _keep(self, policy: Policy, domain: str, identity: str) -> Found:
        now = self._clock.seconds()
        self._failed.pop(domain, None)
        self._kept.pop(domain, None)
        self._kept[domain] = _Kept(identity, policy, now, now)
        self.changed = True
        if len(self._kept) > REMEMBERED:
            del self._kept[min(self._kept, key=lambda name: self._kept[name].used)]
        return Found(policy)

    def _fail(self, failure: Failure, domain: str) -> Found:
        failure.trap(PolicyError)
        error: Any = failure.value
        found = Found(None, error.failure, str(error))
        if len(self._failed) >= REMEMBERED:
            self._failed.clear()
        self._failed[domain] = _Failed(self._clock.seconds() + AFTER_FAILURE, found)
        kept = self._live(domain)
        return attrs.evolve(found, policy=kept.policy if kept else None)

    def _defect(self, failure: Failure) -> Found:
        _log.failure("a defect while fetching an MTA-STS policy", failure)
        return NOTHING

    def _tell(self, found: Found, domain: str) -> None:
        for waiting in self._fetching.pop(domain):
            waiting.callback(found)

    def refresh(self) -> Deferred[None]:
        """Fetch anew what is in use and a day old; forget what is over."""
        now = self._clock.seconds()
        for domain in [domain for domain, kept in self._kept.items() if kept.until <= now]:
            del self._kept[domain]
            self.changed = True
        due = [(domain, kept.identity, kept.used) for domain, kept in self._kept.items() if self._is_due(kept, now)]
        taking_turns = DeferredSemaphore(AT_ONCE)
        done = DeferredList([taking_turns.run(self._again, *each) for each in due])
        return done.addCallback(lambda _: None)

    def _is_due(self, kept: _Kept, now: float) -> bool:
        age = min(REFRESH_AFTER, kept.policy.max_age / 2)
        return kept.policy.mode != "none" and now - kept.used < IN_USE and now - kept.fetched > age

    def _again(self, domain: str, identity: str, used: float) -> Deferred[None]:
        def still_used(found: Found) -> None:
            kept = self._kept.get(domain)
            if kept is not None and kept.used > used:
                kept.used = used  # being fetched anew is no use

        failed = self._failed.get(domain)
        if failed is not None and failed.until > self._clock.seconds():
            return succeed(None)
        return self._get(domain, identity).addCallback(still_used)

    # -- over restarts ---------------------------------------------------------------------------------------------------

    def dump(self) -> str:
        """All policies as text."""
        self.changed = False
        return json.dumps(
            {
                domain: [kept.identity, kept.policy.mode, kept.policy.patterns, kept.policy.max_age, kept.fetched, kept.used]
                for domain, kept in self._kept.items()
            }
        )

    def load(self, text: str) -> None:
        """Take back what was dumped; L{ValueError} where the text is something else."""
        try:
            tree = json.loads(text)
        except RecursionError as error:
            raise ValueError(str(error)) from None
        if not isinstance(tree, Mapping):
            raise ValueError("no mapping of domains")
        now = self._clock.seconds()
        try:
            for domain, (identity, mode, patterns, age, fetched, used) in list(tree.items())[:REMEMBERED]:
                if mode not in ("enforce", "testing", "none"):
                    raise ValueError(f"the mode {mode!r}")
                policy = Policy(mode, tuple(map(str, patterns)), int(age))
                self._kept[str(domain)] = _Kept(str(identity), policy, min(float(fetched), now), min(float(used), now))
        except (TypeError, OverflowError) as error:
            raise ValueError(str(error)) from None


def _identity(answer: tuple[Any, bool, float]) -> str:
    rrset, _, _ = answer
    return identity_of(b"".join(record.strings) for record in rrset) if rrset is not None else ""


def _unanswered(failure: Failure) -> str:
    """The DNS does not answer: a policy that is known counts on, nothing new is learnt."""
    failure.trap(ResolutionError)
    return ""
