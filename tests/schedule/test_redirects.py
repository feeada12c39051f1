"""Mail that an administrator sends elsewhere or routes anew, and where messages are."""

from __future__ import annotations

import json

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from tests.schedule.fakes import LATER, OK, REFUSED, Router, World, message
from twistedrelay.interfaces import SpoolError
from twistedrelay.schedule.redirects import PREFIX, Redirect, Redirects
from twistedrelay.values.envelope import MessageStatus
from twistedrelay.values.events import ServiceEvent
from twistedrelay.values.reply import LOCAL_ERROR, Reply
from twistedrelay.values.route import Hop, Login, Route, TLSPolicy

OTHER = "[10.0.0.9]:2525"


def said(waiting: Deferred[object]) -> object:
    """What a Deferred that has fired fired with."""
    found: list[object] = []
    waiting.addBoth(found.append)
    assert found, "it has not fired"
    return found[0]


def hops(world: World) -> list[str]:
    """The next hops of the runs that have something to take now."""
    return sorted(run.lane.route.next_hop for run in world.runs if run.lane.waiting)


def waiting_in(world: World) -> dict[str, int]:
    """How many jobs the lanes have that have any."""
    return {lane.route.next_hop: len(lane) for lane in world.scheduler._lanes.values() if len(lane)}


def test_a_hop_is_written_and_read() -> None:
    for hop in (Hop("10.0.0.9", 25), Hop("2001:db8::1", 2525), Hop("relay.example", 25), Hop("relay.example", 26)):
        assert Hop.of(str(hop)) == hop
    assert str(Hop("10.0.0.9", 25)) == "[10.0.0.9]"


def test_what_waits_and_what_comes_goes_to_the_other_server_until_that_is_cancelled() -> None:
    world = World()
    world.submit(message(1), message(2, "user@elsewhere.example"))
    for run in world.runs[:]:
        run.end(REFUSED)
    world.runs.clear()
    assert said(world.scheduler.queues.redirect("there.example", OTHER, "root")) is True
    assert json.loads(world.spool.texts[PREFIX + "there.example"]) == {"to": OTHER, "by": "root"}
    world.submit(message(3))
    world.sleep(0)
    assert set(hops(world)) == {OTHER}
    (run,) = {run.lane.route.next_hop: run for run in world.runs}.values()
    assert run.lane.route.hops == (Hop("10.0.0.9", 2525),)
    [view] = [view for view in world.scheduler.lanes() if view.identity == "there.example"]
    assert view.redirected_to == OTHER
    assert said(world.scheduler.queues.cancel_redirect("there.example")) is True
    assert said(world.scheduler.queues.cancel_redirect("there.example")) is False
    assert world.spool.texts == {}
    world.sleep(0)
    assert {lane.route.next_hop: len(lane) for lane in world.scheduler._lanes.values() if len(lane)} == {
        "there.example": 2,
        "elsewhere.example": 1,
    }


def test_a_redirect_holds_over_a_restart() -> None:
    world = World()
    world.submit(message(1))
    world.scheduler.queues.redirect("there.example", OTHER)
    world.scheduler.stop(0)
    world.restart().start()
    world.sleep(1)
    assert OTHER in [run.lane.route.next_hop for run in world.runs]
    assert any("still redirected" in event.text for event in world.events.of(ServiceEvent))


def test_a_redirect_that_cannot_be_kept_is_none_and_so_is_its_end() -> None:
    world = World()
    world.submit(message(1))
    for run in world.runs[:]:
        run.end(REFUSED)
    remember = world.spool.remember
    world.spool.remember = lambda *_: fail(SpoolError("disk full", LOCAL_ERROR))  # type: ignore[method-assign]
    assert said(world.scheduler.queues.redirect("there.example", OTHER)).check(SpoolError)  # type: ignore[attr-defined]
    world.sleep(1)
    assert waiting_in(world) == {"there.example": 1}
    world.spool.remember = remember  # type: ignore[method-assign]
    assert said(world.scheduler.queues.redirect("there.example", OTHER)) is True
    world.sleep(1)
    assert waiting_in(world) == {OTHER: 1}
    world.spool.remember = lambda *_: fail(SpoolError("disk full", LOCAL_ERROR))  # type: ignore[method-assign]
    assert said(world.scheduler.queues.cancel_redirect("there.example")).check(SpoolError)  # type: ignore[attr-defined]
    world.sleep(1)
    assert waiting_in(world) == {OTHER: 1}
    assert [event.text for event in world.events.of(ServiceEvent)] == [f"the queue there.example is redirected to {OTHER}"]


def test_a_queue_goes_where_it_went_before_two_who_are_both_refused() -> None:
    world = World()
    world.submit(message(1))
    assert said(world.scheduler.queues.redirect("there.example", OTHER)) is True
    keeping: list[Deferred[None]] = []
    world.spool.remember = lambda *_: keeping.append(Deferred()) or keeping[-1]  # type: ignore[method-assign,func-returns-value]
    both = [world.scheduler.queues.cancel_redirect("there.example"), world.scheduler.queues.redirect("there.example", "[10.0.0.8]")]
    for each in keeping:
        each.errback(SpoolError("disk full", LOCAL_ERROR))
    assert all(isinstance(said(each), Failure) for each in both)
    world.sleep(1)
    assert waiting_in(world) == {OTHER: 1}


def test_other_ways_leave_what_is_redirected_where_it_is() -> None:
    """Neither what waits in memory nor what waits on disk for the other server moves."""
    world = World(window=8)
    world.attempt.connect[OTHER] = REFUSED
    world.submit(message(1))
    assert said(world.scheduler.queues.redirect("there.example", OTHER)) is True
    world.submit(*(message(number) for number in range(2, 31)))
    world.sleep(40)
    lane = next(lane for lane in world.scheduler._lanes.values() if lane.route.next_hop == OTHER)
    assert {name for name, _ in world.spool.lanes.values()} == {lane.name}
    came, parks, parked = lane.came, world.spool.parks, dict(world.spool.lanes)
    world.scheduler.change(Router(), world.transport, world.reporter)
    world.sleep(2, step=0.1)
    assert (lane.came, world.spool.lanes) == (came, parked)
    assert world.spool.parks - parks <= 1  # the barrier


def test_a_redirect_of_no_queue_is_refused() -> None:
    world = World()
    assert said(world.scheduler.queues.redirect("nowhere.example", OTHER)) is False
    assert world.spool.texts == {}


def test_what_the_way_asks_of_tls_is_asked_of_the_other_server_and_it_gets_no_login() -> None:
    world = World()
    redirects = Redirects(world.router, world.spool, "relay.example")
    one = message(1)
    for level, expected in (("none", "may"), ("may", "may"), ("encrypt", "encrypt"), ("domain", "domain")):
        way = Route(
            "Out", "there.example", "DnsConnectorDelivery", tls=TLSPolicy(level=level, name="x"), login=Login("me"), require_tls=True
        )
        world.router.ways["there.example"] = way
        one.redirect = OTHER
        found = redirects.route(one, one.recipients[0])
        assert isinstance(found, Route)
        assert (found.tls.level, found.login, found.require_tls, found.connector) == (expected, None, True, "Out")
        assert found.tls.name == ("" if expected != "may" else "x")
        assert redirects.route(one, one.recipients[0]) is found
        same = attrs.evolve(way, next_hop="other.example")
        world.router.ways["there.example"] = same
        assert redirects.route(one, one.recipients[0]) is found  # the ways of one connector share it


def test_what_is_refused_for_good_stays_refused_and_what_has_no_way_can_be_redirected() -> None:
    world = World()
    redirects = Redirects(world.router, world.spool, "relay.example")
    one = message(1)
    one.redirect = OTHER
    world.router.ways["there.example"] = refused = Reply(550, "5.4.4", "no such domain")
    assert redirects.route(one, one.recipients[0]) is refused
    world.router.ways["there.example"] = Reply(451, "4.4.4", "no way")
    found = redirects.route(one, one.recipients[0])
    assert isinstance(found, Route)
    assert (found.next_hop, found.helo) == (OTHER, "relay.example")


def test_what_has_no_way_and_asks_for_requiretls_gets_it_at_the_other_server() -> None:
    world = World()
    redirects = Redirects(world.router, world.spool, "relay.example")
    world.router.ways["there.example"] = Reply(451, "4.4.4", "no way")
    redirects.set("Unreachable", Redirect(OTHER))
    found = [redirects.route(one, one.recipients[0]) for one in (message(1, require_tls=True), message(2))]
    assert [isinstance(way, Route) and way.require_tls for way in found] == [True, False]


def test_a_redirect_to_a_queue_that_is_redirected_follows_it_but_in_no_circle() -> None:
    world = World()
    redirects = Redirects(world.router, world.spool, "relay.example")
    one, two = message(1), message(2, "user@elsewhere.example")

    def ways() -> list[str]:
        return [way.next_hop for each in (one, two) if isinstance(way := redirects.route(each, each.recipients[0]), Route)]

    redirects.set("there.example", Redirect(OTHER))
    redirects.set(OTHER, Redirect("third.example"))
    two.redirect = OTHER
    assert ways() == ["third.example", "third.example"]
    redirects.set("third.example", Redirect("there.example"))
    assert ways() == ["there.example", OTHER]
    redirects.cancel(OTHER)
    assert ways() == [OTHER, OTHER]


def test_what_is_about_to_be_parked_goes_to_the_other_server_too() -> None:
    for whole_queue in (True, False):
        world = World(window=80)
        world.attempt.answer = lambda _: OK
        world.attempt.connect["there.example"] = REFUSED
        world.submit(*(message(number) for number in range(1, 201)))
        world.sleep(1)
        world.submit(message(500))  # gathers with others for the disk
        assert 500 not in world.spool.lanes
        if whole_queue:
            said(world.scheduler.queues.redirect("there.example", OTHER))
        else:
            said(world.scheduler.messages.redirect([500], OTHER))
        world.sleep(1, step=0.1)
        assert (500, 0) in world.attempt.delivered
        assert (len(world.attempt.delivered) == 201) is whole_queue


def test_unreachable_mail_goes_to_the_other_server_at_once() -> None:
    world = World()
    world.router.ways["there.example"] = Reply(451, "4.4.4", "no way")
    world.submit(message(1))
    assert [view.identity for view in world.scheduler.lanes()] == ["Unreachable"]
    assert said(world.scheduler.queues.redirect("Unreachable", OTHER)) is True
    world.sleep(0)
    assert hops(world) == [OTHER]


def test_chosen_messages_are_redirected_and_come_back() -> None:
    world = World()
    world.submit(message(1), message(2), message(3))
    for run in world.runs[:]:
        run.end(REFUSED)
    assert said(world.scheduler.messages.redirect([1, 3, 99], OTHER)) == 2
    world.sleep(0)
    lanes = {lane.route.next_hop: len(lane) for lane in world.scheduler._lanes.values()}
    assert lanes == {"there.example": 1, OTHER: 2}
    assert [world.spool.disk[number].redirect for number in (1, 2, 3)] == [OTHER, "", OTHER]
    assert said(world.scheduler.messages.redirect([1, 3], "")) == 2
    world.sleep(0)
    assert {lane.route.next_hop: len(lane) for lane in world.scheduler._lanes.values() if len(lane)} == {"there.example": 3}


def test_resubmit_makes_all_that_waits_due_but_not_what_is_held_or_suspended() -> None:
    world = World()
    world.submit(message(1), message(2), message(4, "user@there.example", hold_until=5000.0))
    taken = 0
    for run in list(world.runs):
        while run.take() is not None:
            taken += 1
            run.finish(LATER)
    assert taken == 2
    assert world.scheduler.lanes()[0].deferred_message_count == 3
    assert said(world.scheduler.suspend_message(2)) is True
    assert said(world.scheduler.queues.resubmit("there.example")) is True
    world.sleep(0)
    waiting = [job.message.id for lane in world.scheduler._lanes.values() for job in lane.waiting]
    assert waiting == [1]
    assert world.spool.disk[2].status is MessageStatus.SUSPENDED
    assert said(world.scheduler.queues.resubmit("nowhere.example")) is False


def test_resubmit_finds_what_the_disk_alone_has() -> None:
    world = World(window=8)
    for number in range(1, 41):
        world.spool.put(message(number))
        world.spool.disk[number].recipients[0].next_attempt = 50_000.0
    world.scheduler.start()
    world.sleep(10)
    world.scheduler._resubmission.queue("there.example")
    world.sleep(1)
    assert all(
        kept.recipients[0].next_attempt == 0.0 for number, kept in world.spool.disk.items() if number not in world.scheduler._entries
    )


def test_where_messages_are() -> None:
    world = World()
    world.submit(message(1, "a@one.example", "b@two.example"), message(2, "a@one.example"))
    (place,) = world.scheduler.messages.places([world.spool.disk[1]])
    assert (place.status, place.queues, place.since) == ("Ready", ["one.example", "two.example"], 0.0)
    runs = {run.lane.route.next_hop: run for run in world.runs}
    world.sleep(3)
    job = runs["two.example"].take()
    job.remote = "mx.two.example [10.0.0.2]:25"
    (place,) = world.scheduler.messages.places([world.spool.disk[1]])
    assert (place.status, place.since, place.remote) == ("Active", world.clock.seconds(), "mx.two.example [10.0.0.2]:25")
    assert [place.recipients[index].since > 0 for index in (0, 1)] == [False, True]
    world.scheduler.suspend_message(1)
    (place,) = world.scheduler.messages.places([world.spool.disk[1]])
    assert place.status == "PendingSuspend"
    runs["two.example"].finish(OK)
    (place,) = world.scheduler.messages.places([world.spool.disk[1]])
    assert (place.status, place.queues) == ("Suspended", ["one.example"])
    for run in [run for run in world.runs if run.lane.route.next_hop == "one.example"]:
        run.end(REFUSED)
    (place,) = world.scheduler.messages.places([world.spool.disk[2]])
    assert place.status == "Retry" and place.recipients[0].next_retry > world.clock.seconds()
    assert place.recipients[0].last_error == REFUSED


def test_a_removal_pends_while_it_is_being_sent() -> None:
    world = World()
    world.submit(message(1))
    (run,) = world.runs
    run.take()
    world.scheduler.remove(1, False)
    (place,) = world.scheduler.messages.places([world.spool.disk[1]])
    assert place.status == "PendingRemove"


def test_many_messages_are_suspended_resumed_and_removed_together() -> None:
    world = World(window=50)
    world.submit(*(message(number) for number in range(1, 101)))
    world.sleep(1)
    ids = list(range(1, 121))
    assert said(world.scheduler.messages.suspend(ids)) == 100
    assert said(world.scheduler.messages.suspend(ids)) == 0
    world.sleep(60)
    assert all(run.take() is None for run in world.runs)
    assert said(world.scheduler.messages.resume(ids)) == 100
    world.sleep(60)
    assert any(len(lane) for lane in world.scheduler._lanes.values())
    assert said(world.scheduler.messages.remove(ids, False)) == 100
    world.sleep(60)
    assert not world.spool.disk
    assert len(world.scheduler._entries) == 0


def test_a_queue_tells_its_ways_and_last_errors() -> None:
    world = World()
    world.submit(message(1))
    for _ in range(7):
        for run in world.runs[:]:
            run.end(REFUSED)
        world.runs.clear()
        world.sleep(3000)
    (detail,) = world.scheduler.queues.details("there.example")
    assert (detail.waiting, detail.active, detail.login, detail.tls) == (1, 0, "", "may")
    assert len(detail.errors) == 5
    assert detail.errors[-1][1] == REFUSED
