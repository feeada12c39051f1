"""File descriptors: how many the process may have, and what happens when there are none left.

At the start the soft limit is raised to what the configuration can need, or to the hard limit, and then fewer connections are taken.
Where descriptors run out all the same (C{EMFILE}, C{ENFILE}), a waiting connection could not even be refused, and an event loop would
find it again at once and spin: so one descriptor is kept in reserve to say 421 with, and the listener rests for a moment.

Source: accept(2), getrlimit(2).
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import socket
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

#: What the relay needs besides its connections: spool, logs, control sessions, DNS, threads.
OTHERS = 200

#: Outbound connections to reckon with where their number is not limited.
OUTBOUND = 1000

#: Errors of C{accept} that waiting may cure; any other is of the one connection that is being accepted.
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

#: Waiting connections to refuse at once, and seconds to rest then.
REFUSALS = 64
REST = 0.2

#: Seconds between two reports.
REPORT_INTERVAL = 60.0


def raise_limit(connections: int, outbound: int | None) -> tuple[int, str]:
    """Let the process have as many descriptors as it can need.

    @param connections: C{server.max_connections}.
    @param outbound: C{transport.max_outbound_connections}.
    @return: how many connections there is room for, and what to tell the administrator (C{""}: nothing).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    others = OTHERS + (OUTBOUND if outbound is None else outbound)
    wanted = connections + others
    limit = hard if hard != resource.RLIM_INFINITY and hard < wanted else wanted
    if soft != resource.RLIM_INFINITY and soft < limit:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        except (OSError, ValueError):
            limit = soft
    if limit >= wanted:
        return connections, ""
    room = max(limit - others, limit // 2)
    return room, (
        f"the limit of open files ({limit}) is too low for server.max_connections ({connections}) and {others} other descriptors: "
        f"at most {room} connections are taken; raise it (LimitNOFILE= of systemd, ulimit -n)"
    )


class Reserve:
    """One descriptor that is kept for refusing connections when there is no other."""

    def __init__(self, clock: IReactorTime, report: Callable[[str], None]) -> None:
        """
        @param report: takes what the administrator should know.
        """
        self._clock = clock
        self._report = report
        self._reported = float("-inf")
        self._refused = 0
        self._descriptor = -1
        self.hold()

    def refuse(self, listener: socket.socket, last_words: bytes, cause: OSError) -> None:
        """There is no descriptor for who waits at a listener: tell some of them."""
        refused = 0
        self.release()
        try:
            while refused < REFUSALS:
                accepted, _ = listener.accept()
                refused += 1
                with accepted, contextlib.suppress(OSError):
                    accepted.setblocking(False)
                    accepted.send(last_words)
                    accepted.shutdown(socket.SHUT_WR)
        except OSError:  # nobody waits, or another thread was faster
            pass
        finally:
            self.hold()
        self._tell(refused, cause)

    def _tell(self, refused: int, cause: OSError) -> None:
        self._refused += refused
        now = self._clock.seconds()
        if now - self._reported >= REPORT_INTERVAL:
            self._report(f"no file descriptor for new connections ({cause.strerror}): {self._refused} refused with 421")
            self._reported = now
            self._refused = 0

    def hold(self) -> None:
        """Have the descriptor; where a thread was faster once, the next that is free, before it serves anybody."""
        if self._descriptor < 0:
            with contextlib.suppress(OSError):
                self._descriptor = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def release(self) -> None:
        """Give the descriptor back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
