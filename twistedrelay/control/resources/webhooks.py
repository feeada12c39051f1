"""Webhooks: which are there, and a test of one."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Literal

from twisted.web.iweb import IRequest

from twistedrelay.config.masking import webhook_text
from twistedrelay.control.bounds import in_time
from twistedrelay.control.live import Relay
from twistedrelay.control.observed import Webhooks
from twistedrelay.control.operations import Resource
from twistedrelay.control.requests import RequestProblem
from twistedrelay.control.webhooks_models import TestResult, WebhookState

resource = Resource()

Status = Literal["ready", "failing", "gone", "broken", "disabled"]


def _webhooks(relay: Relay) -> Webhooks:
    if relay.webhooks is None:
        raise RequestProblem(HTTPStatus.CONFLICT, "This relay has no webhooks.")
    return relay.webhooks


@resource.get("/v1/webhooks", "Where events are posted to.", WebhookState, many=True)
def states(relay: Relay, request: IRequest) -> list[WebhookState]:
    """All of them."""
    return [_state(*each) for each in _webhooks(relay).states()]


@resource.post("/v1/webhooks/{name}/test", "Post a test, at once and once.", TestResult)
async def test(relay: Relay, request: IRequest, name: str) -> TestResult:
    """What is answered."""
    sent = _webhooks(relay).test(name)
    if sent is None:
        raise RequestProblem(HTTPStatus.NOT_FOUND, f"No webhook {name} is in use; see `relayctl webhook list`.")
    start = relay.clock.seconds()
    try:
        answer = await in_time(relay, sent)
    except Exception as error:  # whatever it is: there is no answer, and this is what is asked for
        return TestResult(name=name, taken=False, status=None, seconds=round(relay.clock.seconds() - start, 3), answer=str(error))
    taken, seconds = 200 <= answer.status < 300, round(relay.clock.seconds() - start, 3)
    return TestResult(name=name, taken=taken, status=answer.status, seconds=seconds, answer=answer.text)


def _state(settings: Any, hook: Any, broken: str) -> WebhookState:
    status: Status = "disabled" if not settings.enabled else "broken" if hook is None else "ready"
    if hook is not None and hook.last_error:
        status = "failing"
    if hook is not None and hook.gone:
        status = "gone"
    counts = ("waiting", "delivered", "failures", "dropped", "given_up")
    return WebhookState(
        name=settings.name,
        url=webhook_text(settings.url),
        events=list(settings.events),
        connectors=list(settings.connectors),
        enabled=settings.enabled,
        status=status,
        last_error=broken if hook is None else hook.last_error,
        **{name: 0 if hook is None else getattr(hook, name) for name in counts},
    )
