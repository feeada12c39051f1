"""The jobs that wait for one next hop, and which of them goes next.

Three rules, one inside the other.  The higher priority goes first (RFC 6710), but one job in eight is of a lower one, so that nothing
starves.  Within a priority the senders take turns: a flow is what one login, or one client of one receive connector, submitted, and mail to
many recipients is a flow apart from its single messages.  Flows share by deficit round robin (Shreedhar and Varghese, 1995), counted in
recipients and size, so neither many messages nor large ones nor long lists buy more than a turn.  Within a flow messages take turns, too: a
message never holds more than one place in the line, its next job queues up behind the others when one is taken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from twistedrelay.values.envelope import Job

QUANTUM = 20  #: what a flow may spend each time that it is its turn: recipients, and pieces of 64 KB
MOST = 200  #: what a job costs at most, so that a turn is found soon
MANY = 10  #: recipients above which a message counts as mail to many
LOWER_TURN = 8  #: each such job is of a lower priority
EMPTY_FLOWS = 256  #: kept at least, since their senders may come back; of many flows, as many as are not empty

#: (priority, receive connector or source, login or client, whether to many recipients).
FlowKey = tuple[int, str, str, bool]


class _Flow:
    """Jobs of one sender.

    @ivar more: further jobs of the messages that stand in line.
    """

    __slots__ = ("credit", "key", "line", "more")

    def __init__(self, key: FlowKey) -> None:
        self.key = key
        self.line: deque[Job] = deque()
        self.more: dict[int, deque[Job]] = {}
        self.credit = 0

    def __iter__(self) -> Iterator[Job]:
        yield from self.line
        for jobs in self.more.values():
            yield from jobs


class _Level:
    """The flows of one priority that have jobs, in the order of their turns."""

    __slots__ = ("flows", "priority")

    def __init__(self, priority: int) -> None:
        self.priority = priority
        self.flows: deque[_Flow] = deque()

    def next(self) -> _Flow:
        """Whose turn it is, now in front."""
        flows = self.flows
        while len(flows) > 1:
            flow = flows[0]
            job = flow.line[0]
            cost = min(MOST, len(job.recipients) + (job.message.content.size >> 16))
            if flow.credit >= cost:
                flow.credit -= cost
                break
            flow.credit += QUANTUM
            flows.rotate(-1)
        return flows[0]


class JobQueue:
    """See the module.

    @ivar size: how many jobs there are.
    @ivar many: how many of them are of mail to many.
    """

    __slots__ = ("_flows", "_idle", "_levels", "_lower", "_most_flows", "_turn", "many", "size")

    def __init__(self) -> None:
        self._flows: dict[FlowKey, _Flow] = {}
        self._levels: list[_Level] = []  # those that have jobs, the highest priority first
        self._idle: _Flow | None = None  # the only one, empty: it keeps its place, for the next message is often its own
        self.size = self.many = 0
        self._turn = 0
        self._lower = 0
        self._most_flows = EMPTY_FLOWS

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Job]:
        for flow in self._flows.values():
            yield from flow

    def messages(self) -> Iterator[tuple[int, int]]:
        """Priorities, and how many messages stand in a line of them; no job is looked at."""
        for flow in self._flows.values():
            if flow.line:
                yield flow.key[0], len(flow.line)

    def append(self, jobs: list[Job]) -> None:
        """Add the jobs of one message."""
        count = len(jobs)
        self.size += count
        first = jobs[0]
        message = first.message
        origin = message.origin
        key = (
            message.parameters.priority or 0,
            origin.connector or origin.source,
            origin.user or origin.client,
            count > 1 or len(first.recipients) > MANY,
        )
        flow = self._flows.get(key) or self._flow(key)
        if key[3]:
            self.many += count
        if flow.more:
            more = flow.more.get(first.message.id)
            if more is not None:
                more.extend(jobs)
                return
        if not flow.line:
            if flow is self._idle:
                self._idle = None
            else:
                self._activate(flow)
        flow.line.append(first)
        if count > 1:
            flow.more[first.message.id] = deque(jobs[1:])

    def put_back(self, job: Job) -> None:
        """A job goes in front again."""
        many = len(job.recipients) > MANY
        self.size += 1
        self.many += many
        origin = job.message.origin
        flow = self._flow((job.message.parameters.priority or 0, origin.connector or origin.source, origin.user or origin.client, many))
        if not flow.line:
            self._activate(flow)
        flow.line.appendleft(job)

    def pop(self, *, few: bool = False) -> Job | None:
        """The next job, or None; with C{few} none of mail to many."""
        if self.size <= (self.many if few else 0):
            return None
        self.size -= 1
        levels = self._levels
        level = self._level_of_few() if few else levels[0] if len(levels) == 1 else self._choose()
        flows = level.flows
        flow = flows[0] if len(flows) == 1 or few else level.next()
        if flow.key[3]:
            self.many -= 1
        line = flow.line
        job = line.popleft()
        if flow.more:
            more = flow.more.get(job.message.id)
            if more is not None:
                line.append(more.popleft())
                if not more:
                    del flow.more[job.message.id]
        if not line:
            flow.credit = 0
            if not self.size:
                self._idle = flow
                return job
            flows.popleft()
            if not flows:
                levels.remove(level)
        elif few:
            flows.rotate(-1)  # no flow keeps the few places that mail to many leaves for itself
        return job

    def drain(self) -> list[Job]:
        """Take all jobs."""
        jobs = list(self)
        self._flows.clear()
        self._levels.clear()
        self._idle = None
        self.size = self.many = 0
        return jobs

    def extract(self, wanted: Callable[[Job], bool]) -> list[Job]:
        """Take the jobs that C{wanted} picks; the others keep their places."""
        taken: list[Job] = []
        for flow in list(self._flows.values()):
            if not flow.line:
                continue
            found = [job for job in (flow if flow.more else flow.line) if wanted(job)]
            if found:
                taken += found
                self._thin(flow, set(map(id, found)))
        return taken

    # inside

    def _flow(self, key: FlowKey) -> _Flow:
        flow = self._flows.get(key)
        if flow is None:
            if len(self._flows) >= self._most_flows:
                self._flows = {key: flow for key, flow in self._flows.items() if flow.line}
                self._most_flows = max(EMPTY_FLOWS, 2 * len(self._flows))
            flow = self._flows[key] = _Flow(key)
        return flow

    def _activate(self, flow: _Flow) -> None:
        """A flow has jobs again: its turn comes behind the others."""
        if self._idle is not None:
            self._levels.clear()
            self._idle = None
        priority, place = flow.key[0], 0
        for level in self._levels:
            if level.priority == priority:
                level.flows.append(flow)
                return
            if level.priority < priority:
                break
            place += 1
        level = _Level(priority)
        level.flows.append(flow)
        self._levels.insert(place, level)

    def _choose(self) -> _Level:
        """The highest priority, but now and then one of the others in turn."""
        self._turn += 1
        if self._turn % LOWER_TURN:
            return self._levels[0]
        self._lower += 1
        return self._levels[1 + self._lower % (len(self._levels) - 1)]

    def _level_of_few(self) -> _Level:
        """The highest level that has mail to few, with such a flow in front."""
        for level in self._levels:
            for place, flow in enumerate(level.flows):
                if not flow.key[3]:
                    level.flows.rotate(-place)
                    return level
        raise LookupError("the counts of the queue are wrong")

    def _thin(self, flow: _Flow, gone: set[int]) -> None:
        """Take jobs out of a flow; a message that loses its place to that gets it back for its next job."""
        self.size -= len(gone)
        if flow.key[3]:
            self.many -= len(gone)
        line, more = flow.line, flow.more
        flow.line, flow.more = deque(), {}
        for number, jobs in more.items():
            left = deque(job for job in jobs if id(job) not in gone)
            if left:
                flow.more[number] = left
        for job in line:
            if id(job) not in gone:
                flow.line.append(job)
            elif (next_of_it := flow.more.get(job.message.id)) is not None:
                flow.line.append(next_of_it.popleft())
                if not next_of_it:
                    del flow.more[job.message.id]
        if not flow.line:
            (level,) = (level for level in self._levels if level.priority == flow.key[0])
            level.flows.remove(flow)
            if not level.flows:
                self._levels.remove(level)
