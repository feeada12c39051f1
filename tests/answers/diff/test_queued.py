"""Queued messages and their ways under two configurations."""

from __future__ import annotations

from collections.abc import Iterable

from tests.net.relay import configuration
from tests.schedule.fakes import message
from twistedrelay.answers.diff import queued
from twistedrelay.answers.diff.queued import Rerouting
from twistedrelay.answers.explain.explainer import rules_of
from twistedrelay.interfaces import IRouter
from twistedrelay.values.envelope import Message, RecipientState


def router(**sending: object) -> IRouter:
    """The router of some send connectors."""
    return rules_of(configuration(send_connectors=sending)).router


OLD = router(Internet={"address_spaces": ["*"], "smart_hosts": ["old.example"]})


def looked(rerouting: Rerouting, messages: Iterable[Message]) -> int:
    """Look at messages; the number of pieces but for the last one."""
    return len(list(rerouting.look(messages)))


def test_what_goes_elsewhere_is_counted_by_queue() -> None:
    new = router(Internet={"address_spaces": ["*"], "smart_hosts": ["new.example"]})
    rerouting = Rerouting(OLD, new)
    letters = [message(number, f"a@x{number}.example", f"b@x{number}.example", "c@akkaya.local") for number in range(1, 9)]
    letters[0].recipients[0].state = RecipientState.DELIVERED
    looked(rerouting, letters)
    [found] = rerouting.found()
    assert (found.old, found.new) == ("old.example by Internet", "new.example by Internet")
    assert (found.messages, found.recipients, rerouting.looked_at) == (8, 15, 8)
    assert found.examples[0] == "1 to b@x1.example"
    assert len(found.examples) == queued.EXAMPLES
    assert not found.returned


def test_the_same_ways_are_nothing() -> None:
    rerouting = Rerouting(OLD, router(Internet={"address_spaces": ["*;9"], "smart_hosts": ["old.example"]}))
    looked(rerouting, [message(1, "a@x.example")])
    assert rerouting.found() == []


def test_no_way_is_a_way_too() -> None:
    rerouting = Rerouting(OLD, router())
    looked(rerouting, [message(1, "a@x.example")])
    [found] = rerouting.found()
    assert found.new.startswith("451 4.4.4")
    assert (found.returned, found.stranded) == (False, True)
    rerouting = Rerouting(OLD, router(Test={"address_spaces": ["*"], "allowed_recipients": ["*@ours.example"]}))
    looked(rerouting, [message(1, "a@x.example")])
    [found] = rerouting.found()
    assert (found.returned, found.stranded) == (True, False)


def test_what_is_no_worse_than_today_is_no_loss() -> None:
    """Mail that has no route today loses none, and what is returned today is not returned anew."""
    waits, refuses = router(), router(Test={"address_spaces": ["*"], "allowed_recipients": ["*@ours.example"]})
    other = router(Test={"address_spaces": ["*"], "allowed_recipients": ["*@other.example"], "enabled": False})
    for old, new, expected in ((waits, OLD, (False, False)), (refuses, other, (False, False)), (waits, refuses, (True, False))):
        rerouting = Rerouting(old, new)
        looked(rerouting, [message(1, "a@x.example")])
        assert [(one.returned, one.stranded) for one in rerouting.found()] == [expected]


def test_many_kinds_are_bounded() -> None:
    rerouting = Rerouting(OLD, router(Internet={"address_spaces": ["*"]}))
    looked(rerouting, (message(number, f"a@x{number}.example") for number in range(1, queued.MAX_KINDS + 50)))
    found = rerouting.found()
    assert len(found) == queued.MAX_KINDS + 1
    assert (found[0].new, found[0].stranded) == (queued.OTHERS, False)
    assert sum(one.messages for one in found) == queued.MAX_KINDS + 49


def test_many_recipients_are_looked_at_in_pieces() -> None:
    rerouting = Rerouting(OLD, router())
    letter = message(1, *(f"a{number}@x.example" for number in range(3 * queued.PIECE)))
    assert looked(rerouting, [letter, message(2, "a@x.example")]) == 3
    [found] = rerouting.found()
    assert (found.messages, found.recipients) == (2, 3 * queued.PIECE + 1)
