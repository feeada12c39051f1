"""What the queues look like to an administrator, with Exchange's property names.

Only what is in memory is counted; messages beyond the memory window wait in the spool alone.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from twistedrelay.interfaces import IRouter
from twistedrelay.schedule.entry import Entry
from twistedrelay.schedule.lanes import Lane
from twistedrelay.values.envelope import RecipientState
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Route

HELD = "Held until the time that its sender set"


@attrs.define(slots=True)
class LaneView:
    """One queue as Get-Queue shows it.

    @ivar identity: what C{queue retry} and the like take.
    @ivar status: C{Active}, C{Connecting}, C{Ready}, C{Retry} or C{Suspended}.
    @ivar message_count: messages that wait here or are being sent.
    @ivar deferred_message_count: those of them that wait for their own next attempt.
    @ivar next_retry_time: when the next hop is tried again, or 0.0.
    @ivar last_error: the reply that made it wait, or C{""}.
    """

    identity: str
    next_hop_domain: str
    delivery_type: str
    status: str
    message_count: int = 0
    deferred_message_count: int = 0
    next_retry_time: float = 0.0
    last_error: str = ""
    retry_count: int = 0
    next_hop_connector: str = ""


def _view(route: Route) -> LaneView:
    return LaneView(route.next_hop, route.next_hop, route.delivery_type, "Ready", next_hop_connector=route.connector)


def _of_lane(lane: Lane) -> LaneView:
    view = _view(lane.route)
    view.status = lane.status
    view.message_count = len({job.message.id for job in lane.waiting}) + lane.active
    view.next_retry_time = lane.next_retry
    view.last_error = str(lane.last_error) if lane.last_error else ""
    view.retry_count = lane.failures
    return view


def lane_views(lanes: Iterable[Lane], entries: Iterable[Entry], router: IRouter) -> list[LaneView]:
    """Every lane, and C{Unreachable} for what no route exists for; messages that wait for their own retry count where they will go."""
    views = {lane.route.key: _of_lane(lane) for lane in lanes}
    unreachable = LaneView("Unreachable", "Unreachable Domain", "Unreachable", "Ready")
    for entry in entries:
        counted: set[int] = set()
        for recipient in entry.message.recipients:
            if recipient.state is not RecipientState.READY or recipient.index in entry.busy:
                continue
            way = router.route(entry.message, recipient)
            view = unreachable if isinstance(way, Reply) else views.setdefault(way.key, _view(way))
            if id(view) not in counted:
                counted.add(id(view))
                view.message_count += 1
                view.deferred_message_count += 1
            held = recipient.next_attempt and recipient.next_attempt == entry.message.parameters.hold_until
            view.last_error = view.last_error or str(recipient.last_reply or (HELD if held else ""))
            if view.status != "Retry" and recipient.next_attempt:
                view.next_retry_time = min(view.next_retry_time or recipient.next_attempt, recipient.next_attempt)
    shown = list(views.values())
    if unreachable.message_count:
        shown.append(unreachable)
    return shown
