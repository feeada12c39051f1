"""C{/v1/audit}."""

from __future__ import annotations

import datetime
from http import HTTPStatus
from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock

from twistedrelay.answers.audit.auditor import Busy
from twistedrelay.answers.audit.document import Report
from twistedrelay.control.queries import check_query
from twistedrelay.control.requests import RequestProblem
from twistedrelay.control.resources.audit import resource


@attrs.define
class Request:
    """A query."""

    args: dict[bytes, list[bytes]]


@attrs.define
class Relay:
    """What is audited."""

    busy: bool = False
    asked: list[dict[str, bool]] = attrs.Factory(list)
    clock: Clock = attrs.Factory(Clock)

    async def audit(self, **wanted: bool) -> Report:
        if self.busy:
            raise Busy("too many audits wait")
        self.asked.append(wanted)
        now = datetime.datetime.now(datetime.UTC)
        return Report(taken_at=now, live=True, probed=wanted["probe"], resolved=wanted["resolve"], findings=[])


def ask(relay: Any, **query: str) -> Any:
    """The answer, or the error."""
    [operation] = resource.operations
    results: list[Any] = []
    request = Request({key.encode(): [value.encode()] for key, value in query.items()})

    def asked() -> Deferred[Report]:
        check_query(operation.query, request.args)  # as the API does with each
        return Deferred.fromCoroutine(operation.handler(relay, request))

    maybeDeferred(asked).addBoth(results.append)
    return results[0]


def test_what_is_asked_for() -> None:
    relay = Relay()
    assert ask(relay).findings == []
    assert ask(relay, probe="true", resolve="true").probed
    assert relay.asked == [{"probe": False, "resolve": False}, {"probe": True, "resolve": True}]


@pytest.mark.parametrize(
    ("relay", "query", "status"),
    [
        (Relay(), {"probe": "yes"}, HTTPStatus.BAD_REQUEST),
        (Relay(busy=True), {}, HTTPStatus.SERVICE_UNAVAILABLE),
        (attrs.make_class("Without", {"audit": attrs.field(default=None)})(), {}, HTTPStatus.NOT_FOUND),
    ],
)
def test_what_cannot_be_asked(relay: Any, query: dict[str, str], status: HTTPStatus) -> None:
    failure = ask(relay, **query)
    assert failure.check(RequestProblem)
    assert failure.value.status == status
