"""What the queues look like to an administrator, with Exchange's property names.

What is in memory is counted exactly; messages that wait on disk for a lane roughly, and those for a time of their own not at all.  With
many in memory that takes long, so it is done in pieces, between which the reactor has its turn.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping

import attrs

from twistedrelay.interfaces import IRouter
from twistedrelay.schedule.entry import Entry
from twistedrelay.schedule.lanes import Lane
from twistedrelay.schedule.suspension import Suspension
from twistedrelay.values.envelope import Message, RecipientState
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Route, RouteKey

PIECE = 1000  #: recipients and jobs looked at in one
HELD = "Held until the time that its sender set"
UNREACHABLE = "Unreachable"


@attrs.define(slots=True)
class LaneView:
    """One queue as Get-Queue shows it.

    @ivar identity: what C{queue retry} and the like take.
    @ivar status: C{Active}, C{Connecting}, C{Ready}, C{Retry} or C{Suspended}.
    @ivar message_count: messages that wait here or are being sent.
    @ivar deferred_message_count: those of them that wait for their own next attempt.
    @ivar message_counts_per_priority: those of them that wait, by C{High}, C{Normal} and C{Low} (RFC 6710: above 0, 0, below 0).
    @ivar next_retry_time: when the next hop is tried again, or 0.0.
    @ivar first_retry_time: since when the next hop has been failing, or 0.0.
    @ivar last_retry_time: when it failed last, or 0.0.
    @ivar last_error: the reply that made it wait, or C{""}.
    @ivar incoming_rate: transactions that came, per second over the last minute.
    @ivar outgoing_rate: transactions that were delivered, likewise.
    @ivar suspension: by an administrator, or None.
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
    message_counts_per_priority: dict[str, int] = attrs.Factory(lambda: {"High": 0, "Normal": 0, "Low": 0})
    first_retry_time: float = 0.0
    last_retry_time: float = 0.0
    incoming_rate: float = 0.0
    outgoing_rate: float = 0.0
    suspension: Suspension | None = None


def priority_class(message: Message) -> str:
    """Exchange's word for a priority."""
    priority = message.parameters.priority or 0
    return "High" if priority > 0 else "Low" if priority < 0 else "Normal"


def _view(route: Route) -> LaneView:
    return LaneView(route.next_hop, route.next_hop, route.delivery_type, "Ready", next_hop_connector=route.connector)


def _of_lane(lane: Lane, parked: int, now: float) -> LaneView:
    view = _view(lane.route)
    condition = lane.condition
    view.status = lane.status
    for message in {job.message.id: job.message for job in lane.waiting}.values():
        view.message_count += 1
        view.message_counts_per_priority[priority_class(message)] += 1
    view.message_count += lane.active + parked
    view.next_retry_time = condition.next_retry
    view.first_retry_time = condition.first_retry
    view.last_retry_time = condition.last_retry
    view.last_error = str(condition.last_error) if condition.last_error else ""
    view.retry_count = condition.failures
    view.incoming_rate, view.outgoing_rate = lane.meter.rates(now, lane.came, condition.delivered)
    view.suspension = lane.suspension
    return view


def lane_views(
    lanes: Iterable[Lane],
    entries: Iterable[Entry],
    router: IRouter,
    suspended: Mapping[str, Suspension],
    parked: Callable[[Lane], int],
    now: float,
) -> Generator[None, None, list[LaneView]]:
    """Every lane, and C{Unreachable} for what no route exists for; messages that wait for their own retry count where they will go.

    Goes on with each C{next}, and returns the views in the end.

    @param suspended: the suspensions by queue, also of those that have no lane now.
    @param parked: how many messages wait for a lane on disk, roughly.
    """
    views: dict[RouteKey, LaneView] = {}
    done = 0
    for lane in list(lanes):
        views[lane.route.key] = _of_lane(lane, parked(lane), now)
        done += 10 + len(lane)
        if done > PIECE:
            done = 0
            yield
    unreachable = LaneView(UNREACHABLE, "Unreachable Domain", UNREACHABLE, "Ready")
    for entry in list(entries):
        counted: set[int] = set()
        for recipient in entry.message.recipients:
            done += 1
            if done > PIECE:
                done = 0
                yield
            if recipient.state is not RecipientState.READY or recipient.index in entry.busy:
                continue
            way = router.route(entry.message, recipient)
            view = unreachable if isinstance(way, Reply) else views.setdefault(way.key, _view(way))
            if id(view) not in counted:
                counted.add(id(view))
                view.message_count += 1
                view.deferred_message_count += 1
                view.message_counts_per_priority[priority_class(entry.message)] += 1
            held = recipient.next_attempt and not recipient.attempts and entry.message.parameters.hold_until > now
            view.last_error = view.last_error or str(recipient.last_reply or (HELD if held else ""))
            if view.status != "Retry" and recipient.next_attempt:
                view.next_retry_time = min(view.next_retry_time or recipient.next_attempt, recipient.next_attempt)
    shown = list(views.values())
    present = {view.identity for view in shown}
    shown += [LaneView(identity, identity, "Undefined", "Suspended") for identity in suspended if identity not in present]
    for view in shown:
        if view.suspension is None and (suspension := suspended.get(view.identity)) is not None:
            view.status, view.suspension = "Suspended", suspension
    if unreachable.message_count:
        shown.append(unreachable)
    return shown
