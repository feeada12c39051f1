"""Message tracking: the events of messages' lives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from twisted.web.iweb import IRequest

from twistedrelay.answers.tracking import query_of, shown_page
from twistedrelay.control.bounds import DEFAULT_LIMIT, LIMIT, in_time
from twistedrelay.control.changing import in_thread
from twistedrelay.control.live import Relay
from twistedrelay.control.observed import Tracking
from twistedrelay.control.operations import Resource
from twistedrelay.control.requests import RequestProblem, answer, integer, moment, text
from twistedrelay.control.tracking_models import TrackedEvent, TrackingPage
from twistedrelay.observe.tracking.find import Page

resource = Resource()

#: Characters of a text in a query.
MAX_TEXT = 1000

_TEXTS = {
    "sender": "an address or a domain",
    "recipient": "an address or a domain",
    "subject": "a part of the subject",
    "message_id": "the Message-ID, with its brackets or without",
    "internal_message_id": "the message's number in the queue",
    "connector": "a receive or send connector",
    "client": "an IP address or a range of them",
    "user": "a login",
    "session": "the number of the session that it came by",
    "event_id": "one or more events, with commas between them",
    "reply": "a part of the reply of the next hop",
}
_ORDER = ("order", {"type": "string", "enum": ["newest", "oldest"], "default": "newest", "description": "what comes first"})
_QUERY = (
    ("start", {"type": "string", "format": "date-time", "description": "events of this time or later"}),
    ("end", {"type": "string", "format": "date-time", "description": "events before this time"}),
    *((name, {"type": "string", "description": description}) for name, description in _TEXTS.items()),
    _ORDER,
    ("after", {"type": "string", "description": "go on behind this place: `next` of the page before"}),
    LIMIT,
)


def _tracking(relay: Relay) -> Tracking:
    if relay.tracking is None:
        raise RequestProblem(HTTPStatus.CONFLICT, "Message tracking is off: set transport.message_tracking_log_enabled.")
    return relay.tracking


@resource.get("/v1/tracking", "Events of messages' lives.", TrackingPage, query=_QUERY)
async def events(relay: Relay, request: IRequest) -> bytes:
    """A page of them."""
    tracking = _tracking(relay)
    limit = integer(request, b"limit", DEFAULT_LIMIT)
    order = text(request, b"order", 10) or "newest"
    given = {name: text(request, name.encode("ascii"), MAX_TEXT) for name in _TEXTS}
    try:
        query = query_of(given, moment(request, b"start", 0.0), moment(request, b"end", math.inf))
        found = await in_time(relay, tracking.find(query, limit, text(request, b"after", MAX_TEXT), order == "newest"))
    except ValueError as error:
        raise RequestProblem(HTTPStatus.BAD_REQUEST, f"{error}.") from None
    return await _answer(relay, request, found)


@resource.get("/v1/tracking/messages/{identity}", "A message's whole story, by its number or Message-ID.", TrackingPage)
async def story(relay: Relay, request: IRequest, identity: str) -> bytes:
    """All events of a message and of the messages that belong to it."""
    found = await in_time(relay, _tracking(relay).story(identity[:MAX_TEXT]))
    return await _answer(relay, request, found)


async def _answer(relay: Relay, request: IRequest, found: Page) -> bytes:
    """A page as the body of an answer, made in a thread: with many recipients it has many megabytes."""
    config = relay.config
    made = await in_thread(relay, lambda: page_text(shown_page(found, config)))
    request.setHeader(b"cache-control", b"no-store")
    return answer(request, b"application/json", made)


def page_text(page: Mapping[str, Any]) -> str:
    """A page as JSON, event by event, since pydantic gives no other thread its turn before it is done with what it was given."""
    events = ",".join([TrackedEvent.model_validate(event).model_dump_json() for event in page["events"]])
    rest = TrackingPage(events=[], next=page["next"], problems=page["problems"]).model_dump_json(exclude={"events"})
    return f'{{"events":[{events}],{rest[1:]}'
