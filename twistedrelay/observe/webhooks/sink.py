"""The event consumer in front of all webhooks.

It decides which webhook hears of an event; where none does, an event costs one look into a table.  What is sent has the fields C{id},
C{time}, C{type}, C{server} and C{data}, which stay.

Source: CloudEvents 1.0 (id, time, type, data).
"""

from __future__ import annotations

import datetime
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from twistedrelay.interfaces import IEventSink
from twistedrelay.observe.webhooks.hook import Answer, Document, Hook, Post
from twistedrelay.observe.webhooks.signing import key_of
from twistedrelay.observe.webhooks.telling import concerned, told
from twistedrelay.values.events import Event, ServiceEvent
from twistedrelay.values.hooks import TEST

#: The file of a key is not longer.
_LONGEST_KEY = 4096


class Settings(Protocol):
    """A webhook's keys in the configuration."""

    @property
    def name(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def events(self) -> Sequence[str]: ...
    @property
    def connectors(self) -> Sequence[str]: ...
    @property
    def secret_file(self) -> str: ...
    @property
    def ca_file(self) -> str: ...
    @property
    def enabled(self) -> bool: ...


#: Makes what posts a body and header fields, and gives the fields of L{Answer}.
Poster = Callable[[str, str], Callable[[bytes, dict[str, str]], Deferred[tuple[int, float, str]]]]


class _Place:
    """A webhook with what it wants."""

    def __init__(self, settings: Settings, hook: Hook) -> None:
        self.settings = settings
        self.hook = hook
        self.names = frozenset(settings.events)
        self.connectors = frozenset(settings.connectors)

    def wants(self, name: str, connector: str) -> bool:
        return name in self.names and (not self.connectors or not connector or connector in self.connectors)


@implementer(IEventSink)
class Webhooks:
    """See the module."""

    def __init__(
        self,
        server: str,
        clock: IReactorTime,
        poster: Poster,
        tell: Callable[[ServiceEvent], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        @param server: the relay's name.
        @param poster: makes what posts to a url, by the file of whom to trust there.
        @param tell: told what goes wrong.
        """
        self._server = server
        self._clock = clock
        self._poster = poster
        self._tell = tell
        self._now = now
        self._places: list[_Place] = []
        self._broken: dict[str, str] = {}  # name to why it cannot be used
        self._settings: list[Settings] = []
        self._kinds: frozenset[type[Event]] = frozenset()

    def emit(self, event: Event) -> None:
        """Take an event."""
        if type(event) in self._kinds:
            self._give(event)

    def _give(self, event: Event) -> None:
        for name, connector, facts in told(event):
            wanting = [place for place in self._places if place.wants(name, connector)]
            if wanting:
                document = self._document(name, facts())
                for place in wanting:
                    place.hook.add(document)

    def _document(self, name: str, data: dict[str, Any]) -> Document:
        now = datetime.datetime.fromtimestamp(self._now(), datetime.UTC)
        stamp = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"id": f"evt_{secrets.token_hex(12)}", "time": stamp, "type": name, "server": self._server, "data": data}

    def change(self, settings: Sequence[Settings]) -> None:
        """These webhooks from now on.  Those that stay keep what waits for them; the files of keys and authorities are read again."""
        known = {place.settings.name: place for place in self._places}
        self._settings = list(settings)
        self._broken.clear()
        self._places = []
        for each in settings:
            if not each.enabled:
                continue
            place = known.get(each.name)
            try:
                key, post = _key(each), self._post(each)
            except (OSError, ValueError) as error:
                reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
                self._broken[each.name] = reason
                self._tell(ServiceEvent("error", f"the webhook {each.name} is off: {reason}"))
                continue
            changed = place is None or place.settings != each
            if place is None or (place.hook.gone and changed):
                hook = Hook(each.name, key, post, self._clock, self._report)
            else:
                hook = place.hook
                hook.renew(key, post, at_once=changed)
            self._places.append(_Place(each, hook))
        kept = {id(place.hook) for place in self._places}
        for place in known.values():
            if id(place.hook) not in kept:
                place.hook.stop(0.0)
        self._kinds = concerned(frozenset().union(*(place.names for place in self._places)))

    def _post(self, settings: Settings) -> Post:
        post = self._poster(settings.url, settings.ca_file)
        return lambda body, fields: post(body, fields).addCallback(_answer)

    def _report(self, level: str, text: str) -> None:
        self._tell(ServiceEvent(level, text))

    def stop(self, seconds: float) -> Deferred[Any]:
        """Try what waits once more.  Fires when it is over, within so many seconds."""
        places, self._places, self._kinds = self._places, [], frozenset()
        return DeferredList([place.hook.stop(seconds) for place in places])

    # -- for people ------------------------------------------------------------------------------------------------------

    def states(self) -> list[tuple[Settings, Hook | None, str]]:
        """All webhooks, those in use with what became of their events, and why one cannot be used."""
        hooks = {place.settings.name: place.hook for place in self._places}
        return [(each, hooks.get(each.name), self._broken.get(each.name, "")) for each in self._settings]

    def test(self, name: str) -> Deferred[Answer] | None:
        """Send an event of the type C{test}; None where no webhook with this name is in use.  Fails with why there is no answer."""
        place = next((place for place in self._places if place.settings.name.casefold() == name.casefold()), None)
        if place is None:
            return None
        return place.hook.test(self._document(TEST, {"text": f"a test from {self._server}"}))


def _key(settings: Settings) -> bytes:
    with open(settings.secret_file, "rb") as stream:
        return key_of(stream.read(_LONGEST_KEY))


def _answer(found: tuple[int, float, str]) -> Answer:
    return Answer(*found)
