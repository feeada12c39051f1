"""The jobs that wait for one next hop, served in turn between messages.

A message with many recipients is many jobs, but never holds more than one place in the line: its next job queues up behind the others when
one is taken, so a list of 100,000 does not starve the single message behind it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from twistedrelay.values.envelope import Job


class JobQueue:
    """First in, first out between messages."""

    __slots__ = ("_line", "_more", "_size")

    def __init__(self) -> None:
        self._line: deque[Job] = deque()
        self._more: dict[int, deque[Job]] = {}  # further jobs of the messages that stand in line
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Job]:
        yield from self._line
        for jobs in self._more.values():
            yield from jobs

    def append(self, jobs: list[Job]) -> None:
        """Add the jobs of one message."""
        self._size += len(jobs)
        first = jobs[0]
        more = self._more.get(first.message.id)
        if more is not None:
            more.extend(jobs)
            return
        self._line.append(first)
        if len(jobs) > 1:
            self._more[first.message.id] = deque(jobs[1:])

    def put_back(self, job: Job) -> None:
        """A job goes in front again."""
        self._size += 1
        self._line.appendleft(job)

    def pop(self) -> Job | None:
        """The next job, or None."""
        if not self._line:
            return None
        self._size -= 1
        job = self._line.popleft()
        if self._more:
            more = self._more.get(job.message.id)
            if more is not None:
                self._line.append(more.popleft())
                if not more:
                    del self._more[job.message.id]
        return job

    def drain(self) -> list[Job]:
        """Take all jobs."""
        jobs = list(self)
        self._line.clear()
        self._more.clear()
        self._size = 0
        return jobs

    def extract(self, wanted: Callable[[Job], bool]) -> list[Job]:
        """Take the jobs that C{wanted} picks; the others keep their places."""
        taken = [job for job in self if wanted(job)]
        if taken:
            kept = [job for job in self if not wanted(job)]
            self.drain()
            by_message: dict[int, list[Job]] = {}
            for job in kept:
                by_message.setdefault(job.message.id, []).append(job)
            for jobs in by_message.values():
                self.append(jobs)
        return taken
