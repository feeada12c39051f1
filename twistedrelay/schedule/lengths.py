"""How much waits for each next hop, in numbers that lanes have at hand.

Transactions, not messages: counting those would mean to look at each.  For the view of an administrator see
L{twistedrelay.schedule.views}.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable

import attrs

from twistedrelay.schedule.lanes import Lane

PIECE = 500  #: lanes looked at in one turn


@attrs.frozen(slots=True)
class Length:
    """One lane.

    @ivar waiting: transactions that no connection has taken yet, those of messages that wait on disk included.
    @ivar active: transactions in progress.
    """

    next_hop: str
    connector: str
    status: str
    waiting: int
    active: int


def lengths(lanes: Iterable[Lane], parked: Callable[[Lane], int]) -> Generator[None, None, list[Length]]:
    """Goes on with each C{next}, and returns them in the end."""
    found = []
    for number, lane in enumerate(list(lanes), 1):
        route = lane.route
        found.append(Length(route.next_hop, route.connector, lane.status, len(lane) + parked(lane), lane.active))
        if number % PIECE == 0:
            yield
    return found
