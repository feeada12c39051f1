"""What would happen: the running relay explains itself."""

from __future__ import annotations

from http import HTTPStatus

from twisted.web.iweb import IRequest

from twistedrelay.answers.explain.document import Explanation
from twistedrelay.answers.explain.live import explain_running
from twistedrelay.answers.explain.question import Question, QuestionError
from twistedrelay.control.bounds import ended_in_time, in_time
from twistedrelay.control.changing import in_thread
from twistedrelay.control.live import Relay
from twistedrelay.control.operations import Resource
from twistedrelay.control.requests import RequestProblem

resource = Resource()


@resource.post("/v1/explain", "What would happen to a connection, a sender, recipients. Changes nothing.", Explanation, body=Question)
async def explain(relay: Relay, request: IRequest, body: Question) -> Explanation:
    """Answer a question."""
    running = relay.running()
    place = await in_time(relay, in_thread(relay, lambda: relay.lines.of(running.config, relay.applying.file)))
    views = await in_time(relay, relay.scheduler.look())
    try:
        return await ended_in_time(relay, explain_running(running, body, views, relay.clock.seconds(), place))
    except QuestionError as error:
        raise RequestProblem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
