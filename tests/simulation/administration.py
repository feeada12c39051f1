"""What an administrator of the simulation does: other ways, redirects, resubmission, suspended queues, many messages at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from tests.simulation.wishes import DOMAINS, Router
from twistedrelay.interfaces import SpoolError
from twistedrelay.values.browsing import MessagePage
from twistedrelay.values.envelope import MessageStatus

if TYPE_CHECKING:
    from tests.simulation.world import Life

ELSEWHERE = ("[192.0.2.9]:2525", "smart.example")  #: servers that queues and messages are redirected to
QUEUES = [*DOMAINS, *ELSEWHERE, "Unreachable"]


class Administrator:
    """Handles one life of the relay; whether it is obeyed is the outside's business."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._chance = life.chance
        self._deeds: list[Callable[[], None]] = [
            *(self._other_ways, self._other_ways, self._redirect_queue, self._redirect_queue, self._cancel_redirect),
            *(self._resubmit, self._redirect_messages, self._suspend_messages, self._resume_messages, self._remove_messages),
            *(self._suspend_queue, self._suspend_queue_for_a_while, self._resume_queue, self._resume_queue, self._retry_queue),
            *(self._pause_for_a_moment, self._looks),
        ]

    def does_something(self) -> None:
        """Whatever comes to mind."""
        self._chance.choice(self._deeds)()

    def lets_all_go(self) -> None:
        """Nothing that was said to wait or to go elsewhere is left of it."""
        life = self._life
        queues = life.scheduler.queues
        life.reactor.until(lambda: life.scheduler.suspensions.known)
        for identity in list(life.scheduler.suspensions.kept):
            assert life.reactor.wait(queues.resume(identity))
        for identity in list(life.scheduler.redirects.queues):
            assert life.reactor.wait(queues.cancel_redirect(identity))
        for message in life.reactor.wait(life.spool.browse(10_000)).messages:
            if message.status is not MessageStatus.NORMAL:
                assert life.reactor.wait(life.scheduler.resume_message(message.id))
        life.outside.suspended.clear()
        life.outside.suspended_queues.clear()

    # ways

    def _other_ways(self) -> None:
        moved = {domain: self._chance.choice(["", *ELSEWHERE]) for domain in DOMAINS if self._chance.random() < 0.5}
        self._tell(f"the ways are others: {moved}")
        self._life.change(Router(moved))

    def _redirect_queue(self) -> None:
        identity, to = self._chance.choice(QUEUES), self._chance.choice(ELSEWHERE)
        self._tell(f"the queue {identity} shall go to {to}")
        self._try(self._life.scheduler.queues.redirect(identity, to, "root"))

    def _cancel_redirect(self) -> None:
        self._try(self._life.scheduler.queues.cancel_redirect(self._chance.choice(QUEUES)))

    def _resubmit(self) -> None:
        identity = self._chance.choice(QUEUES)
        self._tell(f"the queue {identity} shall be routed again")
        self._try(self._life.scheduler.queues.resubmit(identity))

    def _redirect_messages(self) -> None:
        numbers, to = self._some(), self._chance.choice(["", *ELSEWHERE])
        self._tell(f"the messages {self._ids(numbers)} shall go to {to}")
        self._try(self._life.scheduler.messages.redirect(self._ids(numbers), to))

    # many messages

    def _some(self) -> list[int]:
        """Messages as a filter finds them: half of all that were taken."""
        stored = [number for number, mail in self._life.outside.mails.items() if mail.stored]
        return self._chance.sample(stored, (len(stored) + 1) // 2)

    def _ids(self, numbers: list[int]) -> list[int]:
        return [self._life.outside.mails[number].id for number in numbers]

    def _suspend_messages(self) -> None:
        numbers = self._some()

        def suspended(_: int) -> None:
            if self._life.alive:
                self._tell(f"the messages {self._ids(numbers)} are suspended")
                self._life.outside.suspended.update(numbers)

        self._try(self._life.scheduler.messages.suspend(self._ids(numbers)).addCallback(suspended))

    def _resume_messages(self) -> None:
        numbers, life = self._some(), self._life
        self._tell(f"the messages {self._ids(numbers)} are resumed")
        life.outside.suspended.difference_update(numbers)
        life.resuming.update(numbers)
        resuming = life.scheduler.messages.resume(self._ids(numbers))
        resuming.addCallback(lambda _: life.outside.suspended.difference_update(numbers))  # a suspension may have been under way
        self._try(resuming).addCallback(lambda _: life.resuming.subtract(numbers))

    def _remove_messages(self) -> None:
        numbers, with_ndr = self._some()[:3], self._chance.random() < 0.5
        self._life.about_to_remove(numbers, with_ndr)
        removing = self._life.scheduler.messages.remove(self._ids(numbers), with_ndr)
        self._try(removing.addCallback(lambda count: self._life.has_removed(numbers if count == len(numbers) else [])))

    # queues

    def _suspend_queue(self) -> None:
        identity = self._chance.choice(QUEUES)

        def suspended(there: bool) -> None:
            suspension = self._life.scheduler.suspensions.of(identity)
            if there and self._life.alive and suspension is not None and not suspension.until:
                self._tell(f"the queue {identity} is suspended")
                self._life.outside.suspended_queues.add(identity)

        self._try(self._life.scheduler.queues.suspend(identity, "a test").addCallback(suspended))

    def _suspend_queue_for_a_while(self) -> None:
        """It ends by itself, also while the relay is down or the disk fails."""
        identity, until = self._chance.choice(QUEUES), self._life.reactor.seconds() + self._chance.choice([0.5, 30.0, 500.0])
        self._life.outside.suspended_queues.discard(identity)
        self._try(self._life.scheduler.queues.suspend(identity, "for a while", until))

    def _retry_queue(self) -> None:
        self._life.scheduler.queues.retry(self._chance.choice(QUEUES))

    def _looks(self) -> None:
        """At all that there is to see."""
        scheduler, life = self._life.scheduler, self._life
        looking = [scheduler.queues.look(), scheduler.queues.lengths()]
        for identity in QUEUES:
            scheduler.queues.details(identity)
        if not life.spool.healthy:
            return

        def shown(page: MessagePage) -> None:
            assert len(scheduler.messages.places(page.messages)) == len(page.messages)

        looking.append(self._try(life.spool.browse(1000).addCallback(shown)))
        for each in looking:
            each.addErrback(lambda failure: life.outside.wrong.append(failure.getTraceback()))

    def _resume_queue(self) -> None:
        for identity in sorted(self._life.scheduler.suspensions.kept):
            self._life.outside.suspended_queues.discard(identity)
            self._try(self._life.scheduler.queues.resume(identity))

    def _pause_for_a_moment(self) -> None:
        self._life.scheduler.pause()
        self._life.turn(self._chance.choice([0.1, 1.0, 10.0]))
        if self._life.spool.healthy:
            self._life.scheduler.resume()

    def _tell(self, text: str) -> None:
        self._life.outside.tell(self._life.reactor.seconds(), text)

    def _try(self, doing: Deferred[Any]) -> Deferred[Any]:
        return doing.addErrback(lambda failure: failure.trap(SpoolError))
