"""The safety net as the API shows it: what is kept, and requests to deliver it again.

It decides how a query is read and what is shown of the answer; what is kept and sent is the schedule's business.
"""

from __future__ import annotations

import datetime
import math
import re
from http import HTTPStatus

from twisted.web.iweb import IRequest

from twistedrelay.control import models
from twistedrelay.control.bounds import MAX_ID
from twistedrelay.control.live import ResubmitRequest, SafetyNet
from twistedrelay.control.requests import RequestProblem, moment, text
from twistedrelay.values.kept import START, Kept, KeptQuery

#: A list names this many recipients of each message.
MAX_RECIPIENTS_LISTED = 20

#: Characters of an address or a host's name in a query.
MAX_TEXT = 1000

_POSITION = re.compile(r"(\d{1,12}(?:\.\d{1,20})?),(\d{1,19})", re.ASCII)

#: What an operation that looks for kept messages may be given.
QUERY = (
    ("start", {"type": "string", "format": "date-time", "description": "delivered at this time or later"}),
    ("end", {"type": "string", "format": "date-time", "description": "delivered before this time"}),
    ("recipient", {"type": "string", "description": "an address or a domain"}),
    ("next_hop", {"type": "string", "description": "the name or address of the host that took it, or its domain"}),
)


def query(request: IRequest) -> KeptQuery:
    """Which kept messages a request means."""
    return KeptQuery(
        moment(request, b"start", 0.0),
        moment(request, b"end", math.inf),
        text(request, b"recipient", MAX_TEXT),
        text(request, b"next_hop", MAX_TEXT),
    )


def position(request: IRequest) -> tuple[float, int]:
    """Where a list goes on: behind the message with this time of delivery and this id."""
    given = text(request, b"after", MAX_TEXT)
    if not given:
        return START
    found = _POSITION.fullmatch(given)
    if found is None:
        raise RequestProblem(HTTPStatus.BAD_REQUEST, "after must be a time in seconds, a comma and an id.", parameter="after")
    return float(found[1]), min(int(found[2]), MAX_ID)


def require(net: SafetyNet) -> SafetyNet:
    """The safety net, where there is one."""
    if not net.hold_time:
        raise RequestProblem(HTTPStatus.CONFLICT, "The safety net is off: set transport.safety_net_hold_time.")
    return net


def _when(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def kept(of: Kept) -> models.KeptMessage:
    """A message that is kept, with those of its recipients that were asked for."""
    message = of.message
    return models.KeptMessage(
        id=message.id,
        from_address=message.sender.text or "<>",
        recipients=[each.address.text for each in message.recipients[:MAX_RECIPIENTS_LISTED]],
        recipient_count=len(message.recipients),
        size=message.size,
        internet_message_id=message.message_id,
        date_received=_when(message.received_at),
        date_delivered=_when(of.delivered_at),
        last_remote=message.recipients[0].last_remote,
    )


def resubmission(of: ResubmitRequest) -> models.ResubmitRequest:
    """A request."""
    return models.ResubmitRequest(
        identity=of.identity,
        state=of.state,
        date_created=_when(of.created_at),
        start_time=_when(of.query.start) if of.query.start else None,
        end_time=_when(of.query.end),
        recipient=of.query.recipient,
        next_hop=of.query.next_hop,
        resubmitted=of.resubmitted,
        failed=of.failed,
        last_error=of.error,
    )
