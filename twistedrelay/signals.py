"""Signals: SIGTERM and Ctrl-C end the relay in good order, SIGHUP lets it read its configuration again.

A relay that somebody started in a terminal ends with that terminal, which says so by SIGHUP, too.  SIGUSR1 is for log rotation
(L{twistedrelay.observe.logs}).  Neither ends a relay that is just being started, from the moment that twistd has read its command line.
What comes before that belongs to the interpreter and to twistd, for which a signal is what whoever started them made of it.
A relay that finds that it cannot go on ends like one that is told to, but as a failure.

Source: daemon(7), systemd.service(5) (ExecReload), termios(3) (hangup).
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.error import ReactorNotRunning


def end_on_signals(reactor: Any) -> None:
    """Let SIGTERM and Ctrl-C drain the relay and end the process with exit status 0; a second one ends it at once.

    twistd by itself would end with the signal's status, which supervisors take for a crash.  Before the reactor runs, the end waits for it.
    """

    def end(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        reactor.callFromThread(_stop, reactor)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)


def end_in_failure(reactor: Any) -> None:
    """Drain the relay and end the process with exit status 1, so that whoever supervises it starts it again.

    twistd has no exit status of ours to give, so it is given where the interpreter ends.
    """
    atexit.register(_exit, 1)
    _stop(reactor)


def start_undisturbed() -> None:
    """Nothing was read yet that could be read again, and no log file is open: a start is not for SIGHUP and SIGUSR1 to end."""
    for number in (signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


def reload_on_hangup(reactor: Any, reload: Callable[[], None], has_terminal: Callable[[], bool]) -> None:
    """Let SIGHUP call C{reload}, in the reactor's turn; or end the relay as SIGTERM does, where its terminal is gone.

    Before the reactor runs, both wait for it.  A relay that twistd puts into the background has left its terminal, and not lost it.
    """
    had_terminal, session = has_terminal(), os.getsid(0)

    def hung_up(number: int, frame: object) -> None:
        if had_terminal and os.getsid(0) == session and not has_terminal():
            reactor.callFromThread(_stop, reactor)
        else:
            reactor.callFromThread(reload)

    signal.signal(signal.SIGHUP, hung_up)


def has_terminal() -> bool:
    """Whether somebody's terminal controls this process."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _exit(status: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def _stop(reactor: Any) -> None:
    with contextlib.suppress(ReactorNotRunning):
        reactor.stop()
