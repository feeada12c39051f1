"""Jobs that take several transactions: servers with limits, said or shown."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import inlineCallbacks

from tests.delivery.agent_case import AgentCase
from tests.delivery.peers import BODY, EHLO, Lane, Server, job, route
from twistedrelay.delivery.parts import UNSENT, Cutter, Parts
from twistedrelay.values.envelope import Job, Outcome, OutcomeKind
from twistedrelay.values.reply import Reply

OK = Reply(250, "", "ok")
NO = Reply(550, "5.1.1", "nobody")
FULL = Reply(452, "4.5.3", "full")


def limits(text: bytes) -> bytes:
    return EHLO.replace(b"250 8BITMIME", b"250-8BITMIME\r\n250 LIMITS " + text)


def crowded(most: int, reply: bytes = b"452 4.5.3 too many\r\n") -> Any:
    """A server that takes so many recipients in a transaction."""

    def answer(session: Any) -> bytes:
        return b"250 ok\r\n" if len(session.recipients) < most else reply

    return answer


def outcomes(part: Any, reply: Reply) -> list[Outcome]:
    return [Outcome(recipient, OutcomeKind.DELIVERED, reply) for recipient in part.recipients]


class LimitTests(AgentCase):
    """Against a server."""

    @inlineCallbacks
    def run_at(self, server: Server, *jobs: Any, **more: Any) -> Any:
        self.serve(server)
        lane = Lane(route(self.resolver.list[-1].port, **more), *jobs)
        reply = yield self.agent.run(lane)
        return lane, reply

    @inlineCallbacks
    def test_recipients_in_a_transaction(self) -> Any:
        server = Server(replies={"EHLO": [limits(b"RCPTMAX=2")]})
        lane, _ = yield self.run_at(server, job(*(f"r{number}@b.test" for number in range(5))), job("x@b.test"))
        assert [[name.decode() for name in names] for names, _ in server.messages] == [
            ["r0@b.test", "r1@b.test"],
            ["r2@b.test", "r3@b.test"],
            ["r4@b.test"],
            ["x@b.test"],
        ]
        assert (len(lane.finished), lane.codes) == (2, [250] * 6)
        assert len(server.sessions) == 1

    @inlineCallbacks
    def test_transactions_in_a_session(self) -> Any:
        server = Server(replies={"EHLO": [limits(b"MAILMAX=2")]})
        lane, _ = yield self.run_at(server, job(), job(), job())
        assert (lane.codes, len(server.sessions)) == ([250] * 3, 2)

    @inlineCallbacks
    def test_domains_in_a_session(self) -> Any:
        server = Server(replies={"EHLO": [limits(b"RCPTDOMAINMAX=1")]})
        lane, _ = yield self.run_at(server, job("a@one.test", "b@two.test", "c@one.test"), job("d@one.test"))
        sent = [b" ".join(names) for names, _ in server.messages]
        assert sent[0] == b"a@one.test c@one.test"
        assert sorted(sent) == [b"a@one.test c@one.test", b"b@two.test", b"d@one.test"]
        assert (len(lane.finished), lane.codes) == (2, [250] * 4)
        assert not lane.jobs

    @inlineCallbacks
    def test_too_many_recipients_go_in_the_next_transaction(self) -> Any:
        for reply in (b"452 4.5.3 too many\r\n", b"452 too many\r\n", b"552 too many recipients\r\n", b"552 5.5.3 too many\r\n"):
            server = Server(replies={"RCPT": [crowded(2, reply)]})
            lane, _ = yield self.run_at(server, job(*(f"r{number}@b.test" for number in range(5))))
            self.resolver.list.clear()
            assert [len(names) for names, _ in server.messages] == [2, 2, 1]
            assert (len(lane.finished), lane.codes) == (1, [250] * 5)
            assert server.verbs.count("RCPT") == 5 + 2 + 1, "once it is known how many are too many, no more are said"

    @inlineCallbacks
    def test_those_who_are_refused_are_not_said_again(self) -> Any:
        replies = [b"250 ok\r\n", b"550 5.1.1 no\r\n", b"452 4.5.3 full\r\n", b"250 ok\r\n"]
        server = Server(replies={"RCPT": replies})
        lane, _ = yield self.run_at(server, job("a@b.test", "b@b.test", "c@b.test"))
        assert lane.codes == [250, 550, 250]

    @inlineCallbacks
    def test_nobody_is_taken_at_all(self) -> Any:
        server = Server(replies={"RCPT": [b"452 4.5.3 too many\r\n"]})
        lane, _ = yield self.run_at(server, job("a@b.test", "b@b.test"))
        assert lane.codes == [452, 452]
        assert not any(names for names, _ in server.messages)

    @inlineCallbacks
    def test_a_session_that_ends_between_the_parts(self) -> Any:
        server = Server(replies={"EHLO": [b"250-mx.test\r\n250 LIMITS RCPTMAX=1\r\n"], "MAIL": [b"250 ok\r\n", None]})
        lane, _ = yield self.run_at(server, job("a@b.test", "b@b.test", "c@b.test"))
        assert [(one.reply.code, one.uncertain) for one in lane.outcomes] == [(250, False), (451, False), (451, False)]
        assert len(lane.finished) == 1
        assert not lane.given_back

    @inlineCallbacks
    def test_content_is_the_same_in_each_part(self) -> Any:
        server = Server(replies={"EHLO": [limits(b"RCPTMAX=1")]})
        yield self.run_at(server, job("a@b.test", "b@b.test"))
        assert [content for _, content in server.messages] == [BODY, BODY]


def test_what_was_not_tried_goes_back_as_a_whole() -> None:
    whole = job("a@b.test", "b@b.test", "c@b.test")
    lane = Lane(route())
    parts = Parts(lane)
    first = parts.divide(whole, whole.recipients[:1], whole.recipients[1:], UNSENT)
    assert parts.whole
    assert parts.put_back(first)
    parts.close()
    assert lane.given_back == [whole]
    assert not parts.whole


def test_those_whose_turn_did_not_come_wait_for_the_reason() -> None:
    whole = job("a@b.test", "b@b.test", "c@b.test")
    lane = Lane(route())
    parts = Parts(lane)
    first = parts.divide(whole, whole.recipients[1:2], [whole.recipients[0], whole.recipients[2]], FULL)
    assert parts.done(first, outcomes(first, OK))
    assert [(one.kind, one.reply) for one in lane.outcomes] == [(OutcomeKind.DELIVERED, OK)]
    assert lane.finished == []
    parts.close()
    assert [(one.kind, one.reply) for one in lane.outcomes[1:]] == [(OutcomeKind.DEFERRED, FULL)] * 2
    assert lane.finished == [whole]


def test_who_was_reached_is_told_at_once_and_all_others_together() -> None:
    whole = job("a@b.test", "b@b.test", "c@b.test", "d@b.test")
    people = list(whole.recipients)
    lane = Lane(route())
    parts = Parts(lane)
    first = parts.divide(whole, people[:2], people[2:], UNSENT)
    mixed = [*outcomes(Job(whole.message, people[:1]), OK), Outcome(people[1], OutcomeKind.FAILED, NO)]
    assert parts.done(first, mixed)
    assert [one.recipient for one in lane.outcomes] == people[:1]
    second = parts.next()
    assert second is not None
    assert parts.done(second, outcomes(second, OK))
    assert [one.recipient for one in lane.outcomes] == people
    assert lane.finished == [whole]
    parts.close()
    assert lane.finished == [whole]


def test_other_jobs_are_no_parts() -> None:
    parts = Parts(Lane(route()))
    assert not parts.done(job(), [])
    assert not parts.put_back(job())
    assert parts.next() is None


@given(
    st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1, max_size=12),
    st.integers(0, 5),
    st.integers(0, 3),
)
def test_cutting_loses_nobody(domains: list[str], most: int, domains_most: int) -> None:
    """Session after session, each recipient goes exactly once, and no limit is passed."""
    left = job(*(f"r{number}@{domain}.test" for number, domain in enumerate(domains))).recipients
    everybody, sent = list(left), []
    while left:
        cutter, seen = Cutter(most, domains_most), set()
        while left:
            now, left = cutter.cut(left)
            if not now:
                break
            assert not most or len(now) <= most
            seen |= {recipient.address.domain for recipient in now}
            assert not domains_most or len(seen) <= domains_most
            sent += now
        assert seen, "a new session takes somebody"
    assert sorted(one.index for one in sent) == [one.index for one in everybody]
