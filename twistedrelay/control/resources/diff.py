"""What another configuration would change, compared with what the relay runs with."""

from __future__ import annotations

import functools
import sqlite3
import time
from collections.abc import Sequence

from twisted.internet.task import deferLater
from twisted.web.iweb import IRequest

from twistedrelay.answers.check import CHECKS
from twistedrelay.answers.diff.compare import compare
from twistedrelay.answers.diff.document import Difference
from twistedrelay.answers.diff.queued import MAX_MESSAGES, Rerouting
from twistedrelay.answers.explain.explainer import rules_of
from twistedrelay.config.load import load_with_places
from twistedrelay.config.schema import Config
from twistedrelay.control.bounds import PIECE, in_time
from twistedrelay.control.changing import in_thread
from twistedrelay.control.diff_models import Proposal
from twistedrelay.control.live import Relay
from twistedrelay.control.operations import Resource
from twistedrelay.interfaces import IRouter
from twistedrelay.values.usage import Usage

resource = Resource()

#: Seconds that recorded clients are looked at, which is a thousand or more of them on any machine; the answer has to come in time.
LONGEST = 15.0

_DAY = 86400.0


@resource.post("/v1/diff", "What another configuration would change. Changes nothing.", Difference, body=Proposal)
async def diff(relay: Relay, request: IRequest, body: Proposal) -> Difference:
    """Compare."""
    running = relay.running()
    now = relay.clock.seconds()
    rows: Sequence[Usage] = ()
    unread = ""
    if body.days:
        try:
            rows = await in_time(relay, relay.usage(now - body.days * _DAY))
        except sqlite3.Error as error:
            unread = f"Recorded clients are not looked at: the ledger cannot be read: {error}."
    work = functools.partial(_compared, running.config, body, rows, now)
    found, router = await in_time(relay, in_thread(relay, work))
    rerouting = Rerouting(running.router, router)
    await _look(relay, rerouting)
    found.requeued, found.messages_looked_at = rerouting.found(), rerouting.looked_at
    found.refused = found.refused or any(one.returned or one.stranded for one in found.requeued)
    if rerouting.looked_at >= MAX_MESSAGES:
        found.notes.append(f"Only {rerouting.looked_at} queued messages were looked at.")
    if body.days and not rows:
        found.notes.append(unread or "No sessions are recorded of that time.")
    return found


def _compared(config: Config, proposal: Proposal, rows: Sequence[Usage], now: float) -> tuple[Difference, IRouter]:
    """In a thread: everything but the queues."""
    overlay: dict[str, bytes | None] = {path: text.encode() for path, text in proposal.files.items()}
    proposed = load_with_places(proposal.path, CHECKS, overlay).config
    over = time.monotonic() + LONGEST
    names = "what the daemon runs with", proposal.path
    found = compare(config, proposed, rows, now, names, live=True, patient=lambda: time.monotonic() < over)
    return found, rules_of(proposed, recipients=False).router


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
