"""What another configuration would change, compared with what the relay runs with."""

from __future__ import annotations

import functools
import time
from http import HTTPStatus
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.web.iweb import IRequest

from twistedrelay.answers.check import CHECKS
from twistedrelay.answers.diff.compare import compare
from twistedrelay.answers.diff.document import Difference
from twistedrelay.answers.diff.queued import MAX_MESSAGES, Rerouting
from twistedrelay.answers.explain.explainer import rules_of
from twistedrelay.config.load import load_with_places
from twistedrelay.config.problems import ConfigError
from twistedrelay.config.schema import Config
from twistedrelay.control.bounds import PIECE, in_time
from twistedrelay.control.diff_models import Proposal
from twistedrelay.control.live import Relay
from twistedrelay.control.operations import Resource
from twistedrelay.control.requests import RequestProblem
from twistedrelay.interfaces import IRouter

resource = Resource()

#: Seconds that recorded clients are looked at, which is a thousand or more of them on any machine; the answer has to come in time.
LONGEST = 15.0

_DAY = 86400.0


@resource.post("/v1/diff", "What another configuration would change. Changes nothing.", Difference, body=Proposal)
async def diff(relay: Relay, request: IRequest, body: Proposal) -> Difference:
    """Compare."""
    running = relay.running()
    now = relay.clock.seconds()
    rows = await in_time(relay, relay.usage(now - body.days * _DAY)) if body.days else []
    work = functools.partial(_compared, running.config, body, rows, now)
    try:
        compared: tuple[Difference, IRouter] = await in_time(relay, _in_thread(relay, work))
    except ConfigError as error:
        raise RequestProblem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
    found, router = compared
    rerouting = Rerouting(running.router, router)
    await _look(relay, rerouting)
    found.requeued, found.messages_looked_at = rerouting.found(), rerouting.looked_at
    found.refused = found.refused or any(one.returned for one in found.requeued)
    if rerouting.looked_at >= MAX_MESSAGES:
        found.notes.append(f"Only {rerouting.looked_at} queued messages were looked at.")
    if body.days and not rows:
        found.notes.append("No sessions are recorded of that time.")
    return found


def _compared(config: Config, proposal: Proposal, rows: Any, now: float) -> tuple[Difference, IRouter]:
    """In a thread: everything but the queues."""
    overlay: dict[str, bytes | None] = {path: text.encode() for path, text in proposal.files.items()}
    proposed = load_with_places(proposal.path, CHECKS, overlay).config
    over = time.monotonic() + LONGEST
    names = "what the daemon runs with", proposal.path
    found = compare(config, proposed, rows, now, names, live=True, patient=lambda: time.monotonic() < over)
    return found, rules_of(proposed, recipients=False).router


def _in_thread(relay: Relay, work: Any) -> Deferred[Any]:
    reactor: Any = relay.clock
    return deferToThreadPool(reactor, reactor.getThreadPool(), work)


async def _look(relay: Relay, rerouting: Rerouting) -> None:
    """Look at the queued messages, page by page."""
    seen, after = 0, None
    while seen < MAX_MESSAGES:
        page = await in_time(relay, relay.spool.browse(PIECE, after))
        for _ in rerouting.look(page.messages):
            await deferLater(relay.clock, 0.0)
        seen, after = seen + len(page.messages), page.position
        if after is None:
            return
        await deferLater(relay.clock, 0.0)
