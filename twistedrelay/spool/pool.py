"""Threads that do not keep a dying process alive: what they have not finished, nobody was told was done."""

from __future__ import annotations

from functools import partial
from threading import Thread

from twisted.python.threadpool import ThreadPool


class DaemonThreadPool(ThreadPool):
    """A bounded pool whose threads end with the process."""

    threadFactory = staticmethod(partial(Thread, daemon=True))  # type: ignore[assignment]
