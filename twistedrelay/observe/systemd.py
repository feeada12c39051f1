"""What the service manager is told: that the relay is ready, reloads, stops, and still works.

It decides the messages that C{systemd_watchdog} has not, and that none of them may block or fail: a manager that is gone, or too busy to
read, is no reason for a relay to stop.  Where there is no service manager nothing is sent.

Source: sd_notify(3), sd_watchdog_enabled(3), systemd.service(5) (C{Type=notify-reload}).
"""

from __future__ import annotations

import contextlib
import datetime
import socket
import time

from systemd_watchdog.systemd_watchdog import WatchDog

#: What the library has where no sign of life is wanted.
_NONE_WANTED = datetime.timedelta(hours=24)


class ServiceManager(WatchDog):
    """See the module; C{ready()}, C{status(text)} and C{notify()}, a sign of life, are the library's."""

    def __init__(self) -> None:
        super().__init__(sock=socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC))
        self._socket.setblocking(False)

    @property
    def watchdog(self) -> float:
        """Seconds within which a sign of life is wanted, 0.0 where none is."""
        wanted = self.is_enabled and self.timeout_td < _NONE_WANTED
        return self.timeout_td.total_seconds() if wanted else 0.0

    def reloading(self) -> None:
        """A reload begins; C{ready()} follows, whatever comes of it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}\n")

    def stopping(self) -> None:
        """The shutdown begins."""
        self._send("STOPPING=1\n")

    def close(self) -> None:
        """Say nothing more."""
        self._socket.close()

    def _send(self, msg: str) -> None:
        with contextlib.suppress(OSError):
            super()._send(msg)
