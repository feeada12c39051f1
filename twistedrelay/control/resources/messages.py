"""Messages in the spool."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlencode

from twisted.web.iweb import IRequest
from twisted.web.server import Request

from twistedrelay.config.units import next_hop
from twistedrelay.control import message_views, models
from twistedrelay.control.bounds import DEFAULT_LIMIT, LIMIT, MAX_ID, in_time, message_id
from twistedrelay.control.export import export
from twistedrelay.control.latency import MOST_EVENTS, components
from twistedrelay.control.listing import listed, subject_of
from twistedrelay.control.live import Place, Relay
from twistedrelay.control.operations import Resource
from twistedrelay.control.properties import FILTER, MESSAGE_PROPERTIES, asked_filter
from twistedrelay.control.requests import RequestProblem, argument, boolean, integer
from twistedrelay.observe.tracking.query import TrackingQuery
from twistedrelay.values.browsing import MessageQuery, Term
from twistedrelay.values.envelope import Message
from twistedrelay.values.route import Hop

resource = Resource()

_SLACK = 60.0  #: seconds that the clock may have gone back since a message came

_AFTER = ("after", {"type": "integer", "minimum": 0, "maximum": MAX_ID, "description": "the id that the page before ended with"})
_SORT = ("sort", {"type": "string", "enum": ["date_received", "-date_received"], "default": "date_received"})
_RECIPIENTS = ("include_recipient_info", {"type": "boolean", "default": False})
_RECIPIENTS_AFTER = ("after", {"type": "integer", "minimum": 0, "maximum": MAX_ID, "description": "so many recipients are left out"})
_LATENCY = ("include_component_latency_info", {"type": "boolean", "default": False, "description": "where its time went"})
_WITH_NDR = ("with_ndr", {"type": "boolean", "default": True, "description": "whether its sender is told"})
_ENVELOPE = ("envelope", {"type": "boolean", "default": True, "description": "X-Sender and X-Receiver in front, for the replay directory"})


@resource.get(
    "/v1/messages",
    "Messages in the spool, in the order of their arrival; the header Link says where the next page is.",
    models.MessageSummary,
    many=True,
    query=(FILTER, LIMIT, _AFTER, _SORT, _RECIPIENTS),
)
async def messages(relay: Relay, request: IRequest) -> list[models.MessageSummary]:
    """A page of them."""
    limit = integer(request, b"limit", DEFAULT_LIMIT)
    after = integer(request, b"after", 0)
    found = await listed(
        relay,
        asked_filter(relay, request, MESSAGE_PROPERTIES),
        limit,
        after or None,
        backwards=argument(request, b"sort") == "-date_received",
        with_recipients=boolean(request, b"include_recipient_info", False),
    )
    if found.after is not None:
        link_next(request, str(found.after))
    return found.messages


@resource.post(
    "/v1/messages/changes", "Suspend, resume, remove or redirect several messages.", models.MessagesChanged, body=models.MessageChanges
)
async def change(relay: Relay, request: IRequest, body: models.MessageChanges) -> models.MessagesChanged:
    """Change several messages."""
    handling, ids = relay.scheduler.messages, list(dict.fromkeys(body.ids))
    to = server_of(body.to, "to") if body.action == "redirect" else ""
    match body.action:
        case "suspend":
            changing = handling.suspend(ids)
        case "resume":
            changing = handling.resume(ids)
        case "remove":
            changing = handling.remove(ids, body.with_ndr)
        case _:
            changing = handling.redirect(ids, to)
    return models.MessagesChanged(action=body.action, asked=len(ids), changed=await in_time(relay, changing))


@resource.get(
    "/v1/messages/{id}",
    "A message with its recipients; of very many a thousand, and the header Link says where the others are.",
    models.Message,
    query=(_RECIPIENTS_AFTER, _LATENCY),
)
async def message(relay: Relay, request: IRequest, id: str) -> models.Message:
    """One message."""
    found, start = await _found(relay, id), integer(request, b"after", 0)
    (place,) = relay.scheduler.messages.places([found], message_views.MAX_RECIPIENTS_SHOWN, start)
    if start + message_views.MAX_RECIPIENTS_SHOWN < len(found.recipients):
        link_next(request, str(start + message_views.MAX_RECIPIENTS_SHOWN))
    shown = message_views.message(relay, found, place, await subject_of(found.content), start)
    if not start and boolean(request, b"include_component_latency_info", False):
        shown.component_latency = await _latency(relay, found, place)
    return shown


async def _latency(relay: Relay, of: Message, place: Place) -> list[models.ComponentLatency]:
    """Where its time went."""
    events, cursor = [], ""
    if relay.tracking is not None:
        query = TrackingQuery(number=of.id, start=of.received_at - _SLACK)
        page = await in_time(relay, relay.tracking.find(query, MOST_EVENTS, "", False))
        events, cursor = page.events, page.cursor
    return components(of, place, events, relay.clock.seconds(), whole=not cursor)


@resource.get("/v1/messages/{id}/content", "The octets of a message, as a file.", None, query=(_ENVELOPE,), content_type="message/rfc822")
async def content(relay: Relay, request: Request, id: str) -> bytes:
    """Export a message."""
    return await export(relay, request, await _found(relay, id), envelope=boolean(request, b"envelope", True))


@resource.delete("/v1/messages/{id}", "Remove a message from the queue.", models.Removal, query=(_WITH_NDR,))
async def remove(relay: Relay, request: IRequest, id: str) -> models.Removal:
    """Remove a message."""
    number = message_id(id)
    with_ndr = boolean(request, b"with_ndr", True)
    if not await in_time(relay, relay.scheduler.remove(number, with_ndr)):
        raise no_message(number)
    return models.Removal(id=number, with_ndr=with_ndr)


@resource.post("/v1/messages/{id}/suspend", "Let a message take part no more.", models.MessageChange)
async def suspend(relay: Relay, request: IRequest, id: str) -> models.MessageChange:
    """Suspend a message."""
    number = message_id(id)
    if not await in_time(relay, relay.scheduler.suspend_message(number)):
        raise no_message(number)
    return models.MessageChange(id=number, action="suspend")


@resource.post("/v1/messages/{id}/resume", "Let a suspended or poison message take part again.", models.MessageChange)
async def resume(relay: Relay, request: IRequest, id: str) -> models.MessageChange:
    """Let a message go on."""
    number = message_id(id)
    if not await in_time(relay, relay.scheduler.resume_message(number)):
        raise no_message(number)
    return models.MessageChange(id=number, action="resume")


def no_message(id: int) -> RequestProblem:
    """There is none."""
    return RequestProblem(HTTPStatus.NOT_FOUND, f"There is no message {id} in the queue; `relayctl track {id}` shows what became of it.")


def server_of(text: str, parameter: str) -> str:
    """A server that mail is redirected to, as queues show it.

    @raise RequestProblem: it is none.
    """
    try:
        hop = next_hop(text)
    except ValueError as error:
        raise RequestProblem(HTTPStatus.BAD_REQUEST, f"{error}.", parameter=parameter) from None
    if hop.kind != "smtp":
        raise RequestProblem(HTTPStatus.BAD_REQUEST, f"{text} is no SMTP server; allowed: HOST or HOST:PORT.", parameter=parameter)
    return str(Hop(hop.host, hop.port))


def link_next(request: IRequest, after: str) -> None:
    """Say where the next page is (RFC 8288)."""
    query = [(name, value) for name, values in request.args.items() for value in values if name != b"after"]
    target = request.path + b"?" + urlencode([*query, (b"after", after)]).encode("ascii")
    request.setHeader(b"link", b'<%s>; rel="next"' % target)


async def _found(relay: Relay, id: str) -> Message:
    number = message_id(id)
    page = await in_time(relay, relay.spool.browse(1, number - 1, MessageQuery((Term("id", "eq", number),))))
    if not page.messages:
        raise no_message(number)
    return page.messages[0]
