"""Tests for L{twistedrelay.routing.stspolicies}."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.routing.names import FakeNames
from twistedrelay.routing.mtasts import Policy, PolicyError
from twistedrelay.routing.stspolicies import AFTER_FAILURE, NOTHING, REFRESH_AFTER, REMEMBERED, Found, Policies

DAY = 86400.0
ENFORCED = Policy("enforce", ("mx.example",), int(7 * DAY))
OTHER = Policy("testing", ("mx2.example",), int(7 * DAY))
FAILED = PolicyError("sts-policy-fetch-error", "the answer is 500")


class Web:
    """Where policies come from.

    @ivar asked: the domains, each with what is to become of it.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, Deferred[Policy]]] = []

    def __call__(self, domain: str) -> Deferred[Policy]:
        waiting: Deferred[Policy] = Deferred()
        self.asked.append((domain, waiting))
        return waiting

    def answer(self, result: Policy | PolicyError) -> None:
        _, waiting = self.asked.pop(0)
        if isinstance(result, Policy):
            waiting.callback(result)
        else:
            waiting.errback(result)


class PoliciesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.names = FakeNames()
        self.web = Web()
        self.policies = Policies(self.clock, self.names, self.web)

    def publish(self, identity: str, domain: str = "example") -> None:
        self.names.records[f"_mta-sts.{domain}", "TXT"] = [f'"v=STSv1; id={identity};"'] if identity else []

    def found(self, domain: str = "example") -> Found:
        return self.successResultOf(self.policies.find(domain))

    def learn(self, policy: Policy = ENFORCED, identity: str = "1") -> None:
        self.publish(identity)
        waiting = self.policies.find("example")
        self.web.answer(policy)
        assert self.successResultOf(waiting) == Found(policy)

    def test_a_domain_without_a_record_costs_a_question_only(self) -> None:
        assert self.found() is NOTHING
        assert self.names.asked == [("_mta-sts.example", "TXT")]
        assert self.web.asked == []

    def test_a_policy_is_fetched_once(self) -> None:
        self.publish("1")
        several = [self.policies.find("example") for _ in range(3)]
        assert [domain for domain, _ in self.web.asked] == ["example"]
        self.web.answer(ENFORCED)
        assert [self.successResultOf(each) for each in several] == [Found(ENFORCED)] * 3
        assert self.found() == Found(ENFORCED)
        assert self.web.asked == []

    def test_a_new_id_means_a_new_policy(self) -> None:
        self.learn()
        self.learn(OTHER, "2")
        assert self.found() == Found(OTHER)

    def test_a_policy_outlives_its_record_and_its_server(self) -> None:
        self.learn()
        self.publish("")
        assert self.found() == Found(ENFORCED)
        self.names.failing.add(("_mta-sts.example", "TXT"))
        assert self.found() == Found(ENFORCED)
        self.names.failing.clear()
        self.publish("2")
        waiting = self.policies.find("example")
        self.web.answer(FAILED)
        kept = Found(ENFORCED, FAILED.failure, str(FAILED))
        assert self.successResultOf(waiting) == kept
        assert self.found() == kept

    def test_a_policy_ends(self) -> None:
        self.learn()
        self.publish("")
        self.clock.advance(7 * DAY - 1)
        assert self.found() == Found(ENFORCED)
        self.clock.advance(1)
        assert self.found() is NOTHING

    def test_failures_wait(self) -> None:
        """Without a policy a failure means that there is none; the web server is left alone for a while."""
        self.publish("1")
        waiting = self.policies.find("example")
        self.web.answer(FAILED)
        nothing = Found(None, FAILED.failure, str(FAILED))
        assert self.successResultOf(waiting) == nothing
        self.clock.advance(AFTER_FAILURE - 1)
        assert self.found() == nothing
        assert self.web.asked == []
        self.clock.advance(1)
        self.learn()

    def test_a_defect_is_no_policy_and_is_logged(self) -> None:
        self.publish("1")
        waiting = self.policies.find("example")
        self.web.asked.pop()[1].errback(ZeroDivisionError())
        assert self.successResultOf(waiting) is NOTHING
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1

    def test_what_is_in_use_is_fetched_each_day(self) -> None:
        self.learn()
        self.successResultOf(self.policies.refresh())
        self.clock.advance(REFRESH_AFTER + 1)
        refreshed = self.policies.refresh()
        assert [domain for domain, _ in self.web.asked] == ["example"]
        self.web.answer(ENFORCED)
        self.successResultOf(refreshed)
        self.publish("")
        self.clock.advance(7 * DAY - 1)  # of the new one
        assert self.found() == Found(ENFORCED)

    def test_a_refresh_that_fails_keeps_the_policy(self) -> None:
        self.learn()
        self.clock.advance(REFRESH_AFTER + 1)
        refreshed = self.policies.refresh()
        self.web.answer(FAILED)
        self.successResultOf(refreshed)
        assert self.found() == Found(ENFORCED)
        self.successResultOf(self.policies.refresh())
        assert self.web.asked == []  # soon after a failure

    def test_what_is_not_in_use_is_let_go(self) -> None:
        """Fetching anew is no use of its own."""
        self.learn(Policy("enforce", ("mx.example",), int(60 * DAY)))
        days = 0
        while True:
            self.clock.advance(REFRESH_AFTER + 1)
            refreshed = self.policies.refresh()
            if not self.web.asked:
                break
            self.web.answer(Policy("enforce", ("mx.example",), int(60 * DAY)))
            self.successResultOf(refreshed)
            days += 1
        assert days == 13
        self.clock.advance(60 * DAY)
        self.successResultOf(self.policies.refresh())
        assert self.policies.dump() == "{}"

    def test_over_restarts(self) -> None:
        self.learn()
        assert self.policies.changed
        text = self.policies.dump()
        assert not self.policies.changed
        again = Policies(self.clock, self.names, self.web)
        again.load(text)
        assert self.successResultOf(again.find("example")) == Found(ENFORCED)
        assert not again.changed
        assert again.dump() == text

    def test_memory_is_bounded(self) -> None:
        for number in range(REMEMBERED + 10):
            domain = f"d{number}.example"
            self.publish("1", domain)
            self.clock.advance(0.001)
            self.policies.find(domain)
            self.web.answer(ENFORCED)
        assert self.policies.dump().count("mx.example") == REMEMBERED
        self.publish("1", "d0.example")
        assert self.noResult(self.policies.find("d0.example")) is None
        for number in range(REMEMBERED + 10):
            domain = f"f{number}.example"
            self.publish("1", domain)
            self.policies.find(domain)
            self.web.asked.pop()[1].errback(FAILED)
        assert len(self.policies._failed) <= REMEMBERED

    def noResult(self, waiting: Deferred[Found]) -> None:
        self.assertNoResult(waiting)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "[" * 100_000,
        '{"a": 1}',
        '{"a": ["1", "enforce"]}',
        '{"a": ["1", "x", [], 1, 1, 1]}',
        '{"a": ["1", "none", 5, 1, 1, 1]}',
        '{"a": ["1", "none", [], Infinity, 1, 1]}',
    ],
)
def test_what_was_not_dumped(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Policies(Clock(), FakeNames(), Web()).load(text)
