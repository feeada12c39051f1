"""A job that takes more than one transaction.

Decides how the recipients of a job are cut for a server that takes only so many at once (RCPTMAX, or what it said at RCPT) or only so many
domains in a session (RCPTDOMAINMAX), and brings the outcomes together again.  The lane hears at once of those who got the message, since
the other parts may take long and a crash must not repeat what was answered; of all others once, when the job is over.  What could not be
sent in the end is deferred where other recipients have got the message, else the job counts as not tried.

Sources: RFC 5321 section 4.5.3.1.10 (452), RFC 9422 (LIMITS).
"""

from __future__ import annotations

from collections import deque

import attrs

from twistedrelay.interfaces import ILane
from twistedrelay.values.envelope import Job, Outcome, OutcomeKind, Recipient
from twistedrelay.values.reply import Reply

UNSENT = Reply(451, "4.4.2", "The session ended before it was the turn of this recipient")


class Cutter:
    """What one session still takes.

    @ivar most: recipients in a transaction, 0 where there is no limit.
    """

    def __init__(self, most: int, domains_most: int) -> None:
        self.most = most
        self._domains_most = domains_most
        self._domains: set[str] = set()

    def cut(self, recipients: list[Recipient]) -> tuple[list[Recipient], list[Recipient]]:
        """Those of one transaction, and the others; none at all where this session takes no more of their domains."""
        now, later = list(recipients), []
        if self._domains_most:
            now = []
            for recipient in recipients:
                domain = recipient.address.domain
                if domain in self._domains or len(self._domains) < self._domains_most:
                    self._domains.add(domain)
                    now.append(recipient)
                else:
                    later.append(recipient)
        if 0 < self.most < len(now):
            now, later = now[: self.most], now[self.most :] + later
        return now, later


@attrs.define(slots=True, eq=False)
class _Whole:
    """A job of a lane, in parts.

    @ivar outcomes: by the index of the recipient.
    @ivar told: the lane has heard of some, who are recipients of the job no more.
    """

    job: Job
    outcomes: dict[int, Outcome] = attrs.field(factory=dict)
    told: bool = False

    def add(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            self.outcomes[outcome.recipient.index] = outcome

    @property
    def complete(self) -> bool:
        return len(self.outcomes) == len(self.job.recipients)

    def ordered(self) -> list[Outcome]:
        return [self.outcomes[recipient.index] for recipient in self.job.recipients]


class Parts:
    """The parts of the jobs of one run; most runs have none.

    @ivar whole: the jobs that were divided, by part.
    """

    def __init__(self, lane: ILane) -> None:
        self._lane = lane
        self.whole: dict[Job, _Whole] = {}
        self._waiting: deque[tuple[Job, Reply]] = deque()

    def divide(self, job: Job, now: list[Recipient], later: list[Recipient], reason: Reply) -> Job:
        """The part of a job that goes now; the other waits for its turn.

        @param reason: what is told of those who wait if their turn does not come.
        """
        whole = self.whole.pop(job, None) or _Whole(job)
        whole.job.remote = job.remote
        first, rest = Job(job.message, now), Job(job.message, later)
        self.whole[first] = self.whole[rest] = whole
        self._waiting.append((rest, reason))
        return first

    def next(self) -> Job | None:
        """The part whose turn it is."""
        return self._waiting.popleft()[0] if self._waiting else None

    def put_back(self, job: Job) -> bool:
        """A part was not tried, and is the next again.  False: it is none."""
        if job not in self.whole:
            return False
        self._waiting.appendleft((job, UNSENT))
        return True

    def done(self, job: Job, outcomes: list[Outcome]) -> bool:
        """A part was done.  False: it is none."""
        whole = self.whole.pop(job, None)
        if whole is None:
            return False
        whole.add(outcomes)
        if whole.complete:
            self._lane.done(whole.job, whole.ordered())
            return True
        taken = [outcome for outcome in outcomes if outcome.kind is OutcomeKind.DELIVERED]
        if taken:
            for outcome in taken:
                del whole.outcomes[outcome.recipient.index]
            whole.told = True
            self._lane.done(whole.job, taken, True)
        return True

    def close(self) -> None:
        """Nothing more is sent: those whose turn did not come wait for the next attempt."""
        reasons = dict(self._waiting)
        self._waiting.clear()
        parts, self.whole = self.whole, {}
        for part, whole in parts.items():
            if whole.outcomes or whole.told:
                reply = reasons.get(part, UNSENT)
                whole.add([Outcome(recipient, OutcomeKind.DEFERRED, reply) for recipient in part.recipients])
        for whole in dict.fromkeys(parts.values()):
            if whole.outcomes:
                self._lane.done(whole.job, whole.ordered())
            else:
                self._lane.give_back(whole.job)
