"""Answers without a daemon and, but for questions to the DNS, without a reactor."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twistedrelay.answers.explain import document
from twistedrelay.answers.explain.explainer import offline
from twistedrelay.answers.explain.question import Question
from twistedrelay.config.load import Loaded
from twistedrelay.policy.connector import conflicts
from twistedrelay.policy.rights import rights_problems
from twistedrelay.routing.mx import Resolver
from twistedrelay.routing.ourselves import Ourselves

T = TypeVar("T")

#: What a configuration must stand before it can be asked.
RULE_CHECKS = (conflicts, rights_problems)


def at_once(work: Coroutine[Deferred[Any], Any, T]) -> T:
    """The result of something that waits for nobody."""
    results: list[Any] = []
    Deferred.fromCoroutine(work).addBoth(results.append)
    if not results:
        raise RuntimeError("it waits for somebody")
    if isinstance(results[0], Failure):
        results[0].raiseException()
    found: T = results[0]
    return found


def explain_file(loaded: Loaded, question: Question, now: float) -> document.Explanation:
    """What a relay with this file would do.

    @raise QuestionError: the question has no answer.
    """
    config, places = loaded.config, loaded.places

    def place(path: Any) -> str:
        return str(places.find(path) or "")

    if not question.resolve:
        return at_once(offline(config, now, place).explain(question))

    def ask(reactor: Any) -> Coroutine[Deferred[Any], Any, document.Explanation]:
        resolver = Resolver(reactor, config.server.external_dns_servers, Ourselves(config))
        return offline(config, now, place, resolver=resolver).explain(question)

    return _in_a_reactor(ask)


def _in_a_reactor(ask: Callable[[Any], Coroutine[Deferred[Any], Any, T]]) -> T:
    """Run a reactor until there is a result; once in a process."""
    from twisted.internet import reactor

    running: Any = reactor
    results: list[Any] = []

    def begin() -> None:
        Deferred.fromCoroutine(ask(running)).addBoth(end)

    def end(result: Any) -> None:
        results.append(result)
        running.stop()

    running.callWhenRunning(begin)
    running.run()
    if not results:
        raise KeyboardInterrupt
    if isinstance(results[0], Failure):
        results[0].raiseException()
    found: T = results[0]
    return found
