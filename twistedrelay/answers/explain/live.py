"""The answer of a relay that runs: its own rules, counts, queues and DNS."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

import attrs

from twistedrelay.answers.connectors import identity
from twistedrelay.answers.explain import document
from twistedrelay.answers.explain.choice import Placed
from twistedrelay.answers.explain.explainer import Explainer, QueueOf, Rules, nowhere
from twistedrelay.answers.explain.question import Question
from twistedrelay.config.schema import Config
from twistedrelay.interfaces import IResolver, IRouter
from twistedrelay.net.factory import Reception
from twistedrelay.values.route import Route


@attrs.frozen(slots=True, kw_only=True)
class Running:
    """What a relay runs with now."""

    config: Config
    reception: Reception
    router: IRouter
    resolver: IResolver


def queues_of(config: Config, views: Iterable[Any]) -> QueueOf:
    """The queues by route.

    @param views: as the schedule's C{look} gives them.
    """
    found = list(views)
    known = {(view.next_hop_connector, view.next_hop_domain): view for view in found}
    # Those that are suspended or redirected, and have no mail now, are known by their names only.
    named = {view.next_hop_domain: view for view in found if view.delivery_type == "Undefined"}

    def queue_of(way: Route) -> document.QueueState | None:
        view = known.get((way.connector, way.next_hop)) or named.get(way.next_hop)
        if view is None:
            return None
        suspension = view.suspension
        return document.QueueState(
            identity=identity(config, view.identity),
            status=view.status,
            message_count=view.message_count,
            next_retry_time=datetime.datetime.fromtimestamp(view.next_retry_time, datetime.UTC) if view.next_retry_time else None,
            last_error=view.last_error,
            redirected_to=view.redirected_to,
            suspended="" if suspension is None else suspension.reason or "no reason given",
        )

    return queue_of


async def explain_running(
    running: Running, question: Question, views: Iterable[Any], now: float, place: Placed = nowhere
) -> document.Explanation:
    """The answer.

    @param place: C{file:line} of a path of the configuration.
    @raise QuestionError: it has none.
    """
    reception = running.reception
    user = await reception.users.find(question.user) if question.user else None
    explainer = Explainer(
        Rules(running.config, reception.acceptance, running.router, reception),
        now=now,
        user=lambda name: user,
        place=place,
        resolver=running.resolver,
        queue_of=queues_of(running.config, views),
    )
    return await explainer.explain(question)
