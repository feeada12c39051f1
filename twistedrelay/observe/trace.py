"""The live trace: what happens to the sessions and messages that somebody watches, while it happens.

It decides what each listener is told: the events of sessions and messages that it wants to see, and the lines of those sessions' dialogues,
whatever their connectors' protocol logging says.  Where a session has not told yet whether it is meant (its login, sender or recipient),
what it says is kept until then, so that what led to it is seen, too.  What may be said of a dialogue at all, C{wire.traced} has decided: no
secret and no content of a message comes this far.

Without a listener it costs one question for each session that begins, and nothing for anything else.
"""

from __future__ import annotations

import datetime
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import attrs
from zope.interface import implementer

from twistedrelay.interfaces import IEventSink, IProtocolLog
from twistedrelay.observe.fanout import EventSink
from twistedrelay.observe.fields import FIXED, fields
from twistedrelay.observe.lines import line
from twistedrelay.observe.wanted import Wanted, fits
from twistedrelay.values import events

#: Records of a session that are kept until it is known whether they are wanted; the oldest are given up.
MAX_HELD = 200

#: Records that are kept for a listener in all; beyond, those of the session that is known for the longest time are given up.
MAX_HELD_IN_ALL = 20_000

#: Sessions that a listener keeps in mind, and reports that belong to messages it sees.
MAX_SESSIONS = 10_000

Record = dict[str, Any]
Tell = Callable[[Record], None]


def _now_text(now: float) -> str:
    return datetime.datetime.fromtimestamp(now, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"


@attrs.define(slots=True, eq=False)
class _Followed:
    """A session that is or may be meant.

    @ivar missing: what it has still to tell.
    @ivar opening: what was told before the first transaction.
    """

    missing: set[str]
    opening: list[Record] = attrs.Factory(list)
    transaction: list[Record] = attrs.Factory(list)
    began: bool = False

    @property
    def held(self) -> int:
        """How many records are kept."""
        return len(self.opening) + len(self.transaction)

    def hold(self, record: Record) -> None:
        """Keep it until it is known."""
        held = self.transaction if self.began else self.opening
        held.append(record)
        if len(held) > MAX_HELD:
            del held[0]


class _Listener:
    """One who watches."""

    def __init__(self, wanted: Wanted, tell: Tell) -> None:
        self.wanted = wanted
        self._tell = tell
        self._sessions: OrderedDict[str, _Followed] = OrderedDict()
        self._held = 0  # records of all sessions
        self._reports: OrderedDict[int, None] = OrderedDict()

    def session_event(self, event: events.SessionEvent, record: Callable[[], Record]) -> None:
        """Something about a session."""
        followed = self._follow(event.session, event.connector, event.peer, True)
        if followed is None:
            return
        if isinstance(event, (events.LoggedIn, events.LoginFailed)):
            if event.user.lower() == self.wanted.user.lower():
                followed.missing.discard("user")
        elif isinstance(event, events.CommandRefused):
            self._command(followed, event.command)
            if self.wanted.sender and event.sender:  # whose MAIL may not have been heard
                if not fits(self.wanted.sender, event.sender):
                    followed.missing.add("sender")
                    return
                followed.missing.discard("sender")
        self._say(followed, record())
        if type(event) is events.Disconnected or type(event) is events.ConnectionRefused:
            self._over(event.session)

    def said(self, session: str, connector: str, peer: str, ours: bool, text: str, record: Callable[[], Record]) -> None:
        """A line of a dialogue.

        @param ours: we are the client.
        """
        followed = self._follow(session, connector, peer, not ours)
        if followed is None:
            return
        heard = record()
        if heard["direction"] == (">" if ours else "<"):
            self._command(followed, text)
        self._say(followed, heard)
        if heard["direction"] == "-":
            self._over(session)

    def _follow(self, session: str, connector: str, peer: str, inbound: bool) -> _Followed | None:
        followed = self._sessions.get(session)
        if followed is None:
            if not self.wanted.meets(session, connector, peer, inbound=inbound):
                return None
            followed = self._sessions[session] = _Followed(set(self.wanted.to_be_told))
            if len(self._sessions) > MAX_SESSIONS:
                self._over(next(iter(self._sessions)))
        return followed

    def _over(self, session: str) -> None:
        followed = self._sessions.pop(session, None)
        if followed is not None:
            self._held -= followed.held

    def _command(self, followed: _Followed, text: str) -> None:
        """A command may tell what was missing; a new transaction has its own sender and recipients."""
        if text[:10].upper() == "MAIL FROM:":
            followed.began = True
            self._held -= len(followed.transaction)
            followed.transaction.clear()
            followed.missing |= self.wanted.to_be_told - {"user"}
        followed.missing.discard(self.wanted.told_by(text))

    def _say(self, followed: _Followed, record: Record) -> None:
        before = followed.held
        if followed.missing:
            followed.hold(record)
            self._held += followed.held - before
            if self._held > MAX_HELD_IN_ALL:
                self._make_room()
            return
        self._held -= before
        for held in (followed.opening, followed.transaction):
            for each in held:
                self._tell(each)
            held.clear()
        self._tell(record)

    def _make_room(self) -> None:
        """Give up what is kept of one session; those that are meant stay."""
        for _ in range(len(self._sessions)):
            session, followed = next(iter(self._sessions.items()))
            if followed.held:
                self._over(session)
                return
            self._sessions.move_to_end(session)

    def message_event(self, event: events.MessageEvent, record: Callable[[], Record]) -> None:
        """Something about a message."""
        message = event.message
        recipients: tuple[str, ...] = ()
        connector = ""
        if isinstance(event, events.Send):
            recipients = (event.outcome.recipient.address.text, *filter(None, [event.outcome.told]))
            connector = event.route.connector
        meant = message.id in self._reports or self.wanted.is_message(message, recipients, connector)
        if isinstance(event, events.ReportSent) and (meant or self.wanted.is_message(event.about, ())):
            meant = True
            self._reports[message.id] = None
            if len(self._reports) > MAX_SESSIONS:
                self._reports.popitem(last=False)
        if not meant:
            return
        followed = self._sessions.get(message.origin.session)
        if followed is not None and isinstance(event, events.Receive):  # its lines were not heard, or did not say it
            followed.missing.clear()
            self._say(followed, record())
        else:
            self._tell(record())

    def other_event(self, event: events.Event, record: Callable[[], Record]) -> None:
        """Something about the relay, or a delivery connection."""
        wanted = self.wanted
        if wanted.everything or (
            isinstance(event, events.Connectivity)
            and not wanted.to_be_told
            and wanted.meets(event.session, event.connector, event.remote, inbound=False)
        ):
            self._tell(record())


@implementer(IEventSink, IProtocolLog)
class Trace:
    """See the module."""

    def __init__(self, sink: EventSink, now: Callable[[], float] = time.time) -> None:
        self._sink = sink
        self._now = now
        self._listeners: tuple[_Listener, ...] = ()
        self._leave: Callable[[], None] | None = None
        self._sessions: dict[str, events.SessionEvent] = {}  # those that began while somebody listened

    def follow(self, wanted: Wanted, tell: Tell) -> Callable[[], None]:
        """Tell somebody what happens from now on; call what is returned to end it."""
        listener = _Listener(wanted, tell)
        self._listeners = (*self._listeners, listener)
        if self._leave is None:
            self._leave = self._sink.subscribe(self)

        def leave() -> None:
            self._listeners = tuple(each for each in self._listeners if each is not listener)
            if not self._listeners and self._leave is not None:
                self._leave()
                self._leave = None
                self._sessions.clear()

        return leave

    def emit(self, event: events.Event) -> None:
        """Take an event."""
        if isinstance(event, events.Connected):
            self._sessions[event.session] = event

        made: list[Record] = []

        def record() -> Record:
            if not made:
                made.append({**fields(_now_text(self._now()), event), "line": line(event)})
            return made[0]

        for listener in self._listeners:
            if isinstance(event, events.SessionEvent):
                listener.session_event(event, record)
            elif isinstance(event, events.MessageEvent):
                listener.message_event(event, record)
            else:
                listener.other_event(event, record)
        if type(event) is events.Disconnected:
            self._sessions.pop(event.session, None)

    def tracer(self, session: str, may_change: bool = False) -> Callable[[str, str], None] | None:
        """See L{IProtocolLog}."""
        began = self._sessions.get(session)
        if not (may_change and self._listeners) and (
            began is None or not any(each.wanted.meets(session, began.connector, began.peer) for each in self._listeners)
        ):
            return None

        def said(direction: str, text: str) -> None:
            now = self._sessions.get(session)  # by XCLIENT a session may have become another one's
            if now is not None:
                self._said(session, now.connector, now.peer, False, direction, text)

        return said

    def begin(self, session: str, connector: str, remote: str) -> Callable[[str, str], None] | None:
        """What to tell the dialogue of a delivery connection to; None where nobody listens to it."""
        if not any(each.wanted.meets(session, connector, remote, inbound=False) for each in self._listeners):
            return None
        return lambda direction, text: self._said(session, connector, remote, True, direction, text)

    def _said(self, session: str, connector: str, peer: str, ours: bool, direction: str, text: str) -> None:
        made: list[Record] = []

        def record() -> Record:
            if not made:
                known = {"time": _now_text(self._now()), "level": "info", "event": "line", "connector": connector}
                about = {"session": session, "peer": peer, "direction": direction, "text": text}
                made.append({**dict.fromkeys(FIXED), **known, **about, "line": f"{direction} {text}"})
            return made[0]

        for listener in self._listeners:
            listener.said(session, connector, peer, ours, text, record)
