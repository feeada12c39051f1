"""Which of the messages that wait on disk for a lane come first.

Urgent ones first (MT-PRIORITY, RFC 6710), and among equals the senders in turn: of each flow, which is a user or the client of a connector,
as many as of any other, the oldest first.  So a flood of one sender never stands before the single message of another.  All of it is read
from one index; what is asked for bounds the work, and not how much waits.
"""

from __future__ import annotations

import sqlite3

_FIRST_RANK = "SELECT min(rank) FROM message WHERE lane = ?1 AND rank > ?2"
_NEXT_FLOW = "SELECT min(flow) FROM message WHERE lane = ?1 AND rank = ?2 AND flow > ?3"
_OF_FLOW = "SELECT id FROM message WHERE lane = ?1 AND rank = ?2 AND flow = ?3 AND id > ?4 ORDER BY id LIMIT ?5"

_BEFORE_ALL = -1000  #: below every rank
_START = ""  #: below every flow, which all hold a character at least


class Parking:
    """Reads the messages of a lane.

    It remembers which flow had its turn last where there are more flows than it was asked for messages.
    """

    def __init__(self) -> None:
        self._turns: dict[tuple[str, int], str] = {}

    def take(self, connection: sqlite3.Connection, lane: str, limit: int) -> list[int]:
        """The ids of at most C{limit} messages."""
        found: list[int] = []
        rank = _BEFORE_ALL
        while len(found) < limit:
            rank = connection.execute(_FIRST_RANK, (lane, rank)).fetchone()[0]
            if rank is None:
                break
            self._of_rank(connection, lane, rank, limit, found)
        return found

    def _of_rank(self, connection: sqlite3.Connection, lane: str, rank: int, limit: int, found: list[int]) -> None:
        last = dict.fromkeys(self._flows(connection, lane, rank, limit - len(found)), 0)
        while last and len(found) < limit:
            share = max(1, (limit - len(found)) // len(last))
            for flow, behind in list(last.items()):
                rows = connection.execute(_OF_FLOW, (lane, rank, flow, behind, min(share, limit - len(found)))).fetchall()
                found += [row[0] for row in rows]
                if len(rows) < share:
                    del last[flow]
                else:
                    last[flow] = rows[-1][0]
                if len(found) == limit:
                    break

    def _flows(self, connection: sqlite3.Connection, lane: str, rank: int, limit: int) -> list[str]:
        """At most C{limit} flows, going on behind those that had their turn."""
        start = self._turns.pop((lane, rank), _START)
        flows = self._flows_behind(connection, lane, rank, start, limit)
        if len(flows) < limit and start:
            flows += [flow for flow in self._flows_behind(connection, lane, rank, _START, limit - len(flows)) if flow <= start]
        if len(flows) == limit:
            self._turns[lane, rank] = flows[-1]
        return flows

    def _flows_behind(self, connection: sqlite3.Connection, lane: str, rank: int, flow: str, limit: int) -> list[str]:
        flows: list[str] = []
        while len(flows) < limit:
            following: str | None = connection.execute(_NEXT_FLOW, (lane, rank, flow)).fetchone()[0]
            if following is None:
                break
            flow = following
            flows.append(flow)
        return flows
