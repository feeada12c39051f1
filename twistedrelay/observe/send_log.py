"""The send protocol log: what was said in delivery connections of those send connectors that ask for it.

It decides which connections are logged, and under which name; the next hops of accepted domains have no connector, and are logged as
C{SERVER\\Intra-Organization SMTP Send Connector}, as in Exchange.  What may be said at all, C{wire.traced_client} has decided.

Source: Exchange Server, "Protocol logging" (SENDyyyymmddhh-n.LOG).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from twistedrelay.observe.log_directory import LogDirectory
from twistedrelay.observe.protocol_rows import FIELDS, Rows, Session, begins

#: The name of the connector that the next hops of accepted domains do not have.
INTRA_ORG = "Intra-Organization SMTP Send Connector"


def heading(now: float) -> str:
    """The lines that each file begins with."""
    return begins("SMTP Send Protocol Log", FIELDS, now)


class SendLog:
    """The log of all connections of some send connectors.

    @param connectors: the names of those connectors; C{""} for the next hops of accepted domains.
    """

    def __init__(
        self,
        clock: IReactorTime,
        directory: LogDirectory,
        connectors: Collection[str],
        server: str,
        in_thread: Callable[..., Deferred[None]],
        report: Callable[[str], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._connectors = frozenset(connectors)
        self._server = server
        self._rows = Rows(clock, directory, in_thread, report, now, "the send protocol log")

    @property
    def lost(self) -> int:
        """How many lines were lost since the start."""
        return self._rows.lost

    def change(self, connectors: Collection[str], server: str) -> None:
        """Other connectors ask for it from now on; connections that are in it stay in it to their end, and the others out of it."""
        self._connectors, self._server = frozenset(connectors), server

    def begin(self, session: str, connector: str, remote: str) -> Callable[[str, str], None] | None:
        """What to tell the dialogue of a connection to; None where its connector has no protocol logging."""
        if connector not in self._connectors:
            return None
        known = Session(f"{self._server}\\{connector or INTRA_ORG}", session, "", remote)
        add = self._rows.add
        add(known, "*", context="attempting to connect")

        def said(event: str, text: str) -> None:
            if event == "+":
                known.local = text
                add(known, "+")
            elif event in "*-":
                add(known, event, context=text)
            else:
                add(known, event, text)

        return said

    def flush(self) -> Deferred[None]:
        """Write what waits.  Fires when it is written, or could not be."""
        return self._rows.flush()

    def stop(self, patience: float) -> Deferred[None]:
        """Write what waits.  Fires when it is written, or that takes too long; connections must be over."""
        return self._rows.stop(patience)
