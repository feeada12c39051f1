"""Tests for L{twistedrelay.routing.reverse}."""

from __future__ import annotations

from typing import Any

import dns.rrset
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from twistedrelay.interfaces import ResolutionError
from twistedrelay.routing.reverse import AT_A_TIME, PATIENCE, ReverseNames
from twistedrelay.values.reply import Reply


class Names:
    """Knows two clients; one question is never answered, one is refused."""

    local = False

    def __init__(self) -> None:
        self.asked: list[str] = []

    def query(self, name: str, kind: str) -> Deferred[tuple[Any, bool, float]]:
        assert kind == "PTR"
        self.asked.append(name)
        if name.startswith("99."):
            return Deferred()
        if name.startswith("98."):
            return fail(ResolutionError(Reply(451, "4.4.3", "no answer")))
        if name in ("1.2.0.192.in-addr.arpa", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"):
            return succeed((dns.rrset.from_text(name, 60, "IN", "PTR", "printer.akkaya.local.", "a.akkaya.local."), False, 60.0))
        return succeed((None, False, 60.0))


def test_names_as_far_as_they_can_be_had_soon() -> None:
    clock, names = Clock(), Names()
    found: list[dict[str, str]] = []
    ReverseNames(clock, (), names)(  # type: ignore[arg-type]
        ["192.0.2.1", "2001:db8::1", "192.0.2.98", "192.0.2.99", "192.0.2.3", "198.51.100.0/24", "(others)", ""]
    ).addCallback(found.append)
    assert found == []
    clock.advance(PATIENCE)
    assert found == [{"192.0.2.1": "a.akkaya.local", "2001:db8::1": "a.akkaya.local"}]
    assert len(names.asked) == 5
    assert clock.getDelayedCalls() == []


def test_not_all_at_a_time() -> None:
    clock, names = Clock(), Names()
    ReverseNames(clock, (), names)([f"192.0.{number}.99" for number in range(200)])  # type: ignore[arg-type]
    assert len(names.asked) == AT_A_TIME
    clock.advance(PATIENCE)
    assert len(names.asked) == AT_A_TIME
