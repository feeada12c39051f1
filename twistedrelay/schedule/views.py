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
from twistedrelay.schedule.redirects import UNREACHABLE, Redirect
from twistedrelay.schedule.suspension import Suspension
from twistedrelay.values.envelope import RecipientState
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Route, RouteKey

PIECE = 1000  #: recipients and jobs looked at in one
HELD = "Held until the time that its sender set"


@attrs.frozen(slots=True)
class LaneDetail:
    """One lane of a queue: a queue has several where its mail goes by several connectors, or with other logins, or with REQUIRETLS.

    @ivar login: who we log in as, or C{""}.
    @ivar tls: what the way asks of TLS, as L{TLSPolicy.level} says it.
    @ivar waiting: messages in memory that wait.
    @ivar active: those that are being sent.
    @ivar parked: roughly those that wait on disk.
    @ivar connections: runs now, and C{most_connections} what the next hop can bear as it seems.
    @ivar errors: when and why it was left alone, the last times.
    """

    connector: str
    login: str
    require_tls: bool
    tls: str
    waiting: int
    active: int
    parked: int
    connections: int
    most_connections: int
    errors: tuple[tuple[float, Reply], ...]

    @classmethod
    def of(cls, lane: Lane, parked: int) -> LaneDetail:
        """Of a lane."""
        route, condition = lane.route, lane.condition
        login = route.login.username if route.login is not None else ""
        waiting, most = sum(count for _, count in lane.waiting.messages()), condition.window.size
        errors = tuple(condition.errors)
        return cls(
            route.connector, login, route.require_tls, route.tls.level, waiting, lane.active, parked, lane.connections, int(most), errors
        )


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
    @ivar redirected_to: the server that its messages go to instead, or C{""}.
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
    redirected_to: str = ""


def priority_class(priority: int) -> str:
    """Exchange's word for a priority."""
    return "High" if priority > 0 else "Low" if priority < 0 else "Normal"


def _view(route: Route) -> LaneView:
    return LaneView(route.next_hop, route.next_hop, route.delivery_type, "Ready", next_hop_connector=route.connector)


def _of_lane(lane: Lane, parked: int, now: float) -> LaneView:
    view = _view(lane.route)
    condition = lane.condition
    view.status = lane.status
    for priority, count in lane.waiting.messages():
        view.message_count += count
        view.message_counts_per_priority[priority_class(priority)] += count
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
    redirected: Mapping[str, Redirect],
    parked: Callable[[Lane], int],
    now: float,
) -> Generator[None, None, list[LaneView]]:
    """Every lane, and C{Unreachable} for what no route exists for; messages that wait for their own retry count where they will go.

    Goes on with each C{next}, and returns the views in the end.

    @param suspended: the suspensions by queue, also of those that have no lane now; likewise the redirects.
    @param parked: how many messages wait for a lane on disk, roughly.
    """
    views: dict[RouteKey, LaneView] = {}
    done = 0
    for lane in list(lanes):
        views[lane.route.key] = _of_lane(lane, parked(lane), now)
        done += 10
        if done > PIECE:
            done = 0
            yield
    unreachable = LaneView(UNREACHABLE, "Unreachable Domain", UNREACHABLE, "Ready")
    for entry in list(entries):
        done += 1
        if done > PIECE:
            done = 0
            yield
        if len(entry.busy) >= entry.remaining:  # all of it is in lanes
            continue
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
                view.message_counts_per_priority[priority_class(entry.message.parameters.priority or 0)] += 1
            held = recipient.next_attempt and not recipient.attempts and entry.message.parameters.hold_until > now
            view.last_error = view.last_error or str(recipient.last_reply or (HELD if held else ""))
            if view.status != "Retry" and recipient.next_attempt:
                view.next_retry_time = min(view.next_retry_time or recipient.next_attempt, recipient.next_attempt)
    shown = list(views.values())
    present = {view.identity for view in shown}
    shown += [LaneView(identity, identity, "Undefined", "Suspended") for identity in suspended if identity not in present]
    present.update(suspended)
    shown += [LaneView(identity, identity, "Undefined", "Ready") for identity in redirected if identity not in present]
    for view in shown:
        if view.suspension is None and (suspension := suspended.get(view.identity)) is not None:
            view.status, view.suspension = "Suspended", suspension
        if (redirect := redirected.get(view.identity)) is not None:
            view.redirected_to = redirect.to
    if unreachable.message_count:
        shown.append(unreachable)
    return shown
