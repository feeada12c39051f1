"""How a connection is made: whom it reaches, from where, as whom, for how long."""

from __future__ import annotations

import socket
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, inlineCallbacks, succeed
from zope.interface import implementer

from tests.delivery.agent_case import AUTHORITY, AgentCase, reactor
from tests.delivery.peers import Lane, Memory, Resolver, Server, ServerCreator, job, route
from tests.network import free_port
from twistedrelay.delivery import connector
from twistedrelay.delivery.reach import Race
from twistedrelay.delivery.session import LIMITS
from twistedrelay.interfaces import ILogins, LoginError
from twistedrelay.values.events import Connectivity
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Login, Target, TLSPolicy
from twistedrelay.wire.client_values import Credentials, Stage


class Heard(Resolver):
    """Hears which hosts failed and which worked."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[tuple[str, str]] = []

    def failed(self, target: Target) -> None:
        self.said.append(("failed", target.host))

    def worked(self, target: Target) -> None:
        self.said.append(("worked", target.host))


@implementer(ILogins)
class Tokens:
    """Gives one secret after the other."""

    def __init__(self, *secrets: str, again: bool = True) -> None:
        self.secrets = list(secrets)
        self.again = again
        self.refusals: list[str] = []

    def credentials(self, login: Login) -> Deferred[Any]:
        if not self.secrets:
            return fail(LoginError(Reply(454, "4.7.0", "The token endpoint does not answer")))
        return succeed(Credentials(login.username, self.secrets.pop(0), requires_tls=False))

    def refused(self, login: Login, credentials: Any) -> bool:
        self.refusals.append(credentials.password)
        return self.again


class WayTests(AgentCase):
    """Against servers."""

    def setUp(self) -> None:
        super().setUp()
        self.resolver = self.heard = Heard()
        self.agent = self.make_agent()

    def nobody(self) -> int:
        """A port on which nobody listens, and nobody else can while the test runs: it is taken, and has no queue."""
        taken = socket.socket()
        self.addCleanup(taken.close)
        taken.bind(("127.0.0.1", 0))
        number: int = taken.getsockname()[1]
        return number

    @inlineCallbacks
    def run_at(self, server: Server, *jobs: Any, **more: Any) -> Any:
        self.serve(server)
        lane = Lane(route(self.resolver.list[-1].port, **more), *(jobs or (job(),)))
        reply = yield self.agent.run(lane)
        return lane, reply

    @inlineCallbacks
    def test_what_failed_and_what_worked_is_remembered(self) -> Any:
        self.resolver.list.append(Target("dead.test", "127.0.0.1", self.nobody()))
        self.serve(Server(replies={"banner": [b"554 no\r\n"]}), "refuses.test")
        lane, _ = yield self.run_at(Server())
        assert lane.codes == [250]
        assert self.heard.said == [("failed", "dead.test"), ("failed", "refuses.test"), ("worked", "mx.test")]

    @inlineCallbacks
    def test_the_connectivity_log_names_the_sessions_of_the_send_log(self) -> Any:
        """Those that came about, and those that did not."""
        said: dict[str, list[str]] = {}

        def dialogue(session: str, connector: str, remote: str) -> Any:
            said[session] = [remote.split()[0]]
            return lambda direction, text: said[session].append(direction)

        self.agent = self.make_agent(dialogues=dialogue)
        self.resolver.list.append(Target("dead.test", "127.0.0.1", self.nobody()))
        self.serve(Server(replies={"banner": [b"554 no\r\n"]}), "refuses.test")
        yield self.run_at(Server())
        yield self.agent.stop(1)
        told = [(event.what, event.remote.split()[0], event.session) for event in self.events.all if isinstance(event, Connectivity)]
        assert [(what, remote) for what, remote, _ in told] == [
            ("failed", "dead.test"),
            ("failed", "refuses.test"),
            ("connected", "mx.test"),
            ("closed", "mx.test"),
        ]
        assert all(said[session][0] == remote for _, remote, session in told)
        assert [said[session][1] for _, _, session in told] == ["-", "+", "+", "+"]

    @inlineCallbacks
    def test_another_connection_is_made_where_it_is_to_be_logged(self) -> Any:
        server = Server()
        way = self.serve(server)
        for logged, sessions in ((False, 1), (False, 1), (True, 2), (True, 2), (False, 3)):
            yield self.agent.run(Lane(attrs.evolve(way, logged=logged), job()))
            assert len(server.sessions) == sessions

    @inlineCallbacks
    def test_another_address_of_a_silent_host(self) -> Any:
        """It is not waited for until the first one gives up: a full queue of connections, as a dead address looks."""
        number = free_port()  # of both addresses
        silent = socket.create_server(("127.0.0.1", number), backlog=0)
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", number))
        self.patch(connector, "Race", lambda clock, attempts: Race(clock, attempts, 0.05))
        self.resolver.list = [Target("mx.test", "127.0.0.1", number), Target("mx.test", "::1", number)]
        listener = reactor.listenTCP(number, second := Server(), interface="::1")
        self.addCleanup(self.close, listener, second)
        lane = Lane(route(number), job())
        yield self.agent.run(lane)
        assert lane.codes == [250]
        assert len(second.sessions) == 1
        assert self.heard.said == [("worked", "mx.test")]
        for one in (silent, *fillers):
            one.close()

    @inlineCallbacks
    def test_there_is_one_time_budget(self) -> Any:
        self.patch(connector, "BUDGET", 0.0)
        self.serve(Server(replies={"banner": [b"421 4.3.2 busy\r\n"]}))
        unused = Server()
        lane, reply = yield self.run_at(unused)
        assert reply == Reply(421, "4.3.2", "busy")
        assert (lane.outcomes, unused.sessions) == ([], [])

    @inlineCallbacks
    def test_source_address(self) -> Any:
        server = Server()
        yield self.run_at(server, sources=("127.0.0.7", "::1"))
        assert server.sessions[0].transport.getPeer().host == "127.0.0.7"

    @inlineCallbacks
    def test_a_source_address_that_is_not_ours(self) -> Any:
        lane, reply = yield self.run_at(Server(), sources=("192.0.2.1",))
        assert (reply.code, reply.enhanced) == (451, "4.4.1")
        assert not lane.outcomes

    @inlineCallbacks
    def test_force_helo(self) -> Any:
        server = Server()
        lane, _ = yield self.run_at(server, force_helo=True)
        assert lane.codes == [250]
        assert (server.verbs[0], "EHLO" in server.verbs) == ("HELO", False)

    @inlineCallbacks
    def test_a_session_may_not_stand_still_longer_than_its_route_says(self) -> Any:
        server = Server(replies={"MAIL": [b""]})
        lane, _ = yield self.run_at(server, idle_timeout=0.05)
        assert lane.outcomes[0].reply.text == "Timed out while waiting for MAIL"
        assert LIMITS[Stage.MAIL] == 300.0

    @inlineCallbacks
    def test_any_number_of_messages_in_a_connection(self) -> Any:
        server = Server()
        lane, _ = yield self.run_at(server, *(job() for _ in range(5)), max_messages_per_connection=0)
        assert (lane.codes, len(server.sessions)) == ([250] * 5, 1)

    @inlineCallbacks
    def test_what_a_host_must_prove_counts(self) -> Any:
        """Its policy asks for more than the route: no clear text, and nobody with another's certificate."""
        port = yield self.listening(Server(tls=ServerCreator(AUTHORITY, "other.test"), replies={"EHLO": [b"250-x\r\n250 STARTTLS\r\n"]}))
        self.resolver.list = [Target("mx.test", "127.0.0.1", port, tls=TLSPolicy("domain", source="mta-sts"))]
        reply = yield self.agent.run(lane := Lane(route(port), job()))
        assert (reply.is_transient, lane.outcomes) == (True, [])

    @inlineCallbacks
    def test_no_policy_is_met_in_clear_text(self) -> Any:
        for policy in (TLSPolicy("encrypt"), TLSPolicy("dane", source="dane"), TLSPolicy("domain", source="mta-sts")):
            server = Server(replies={"EHLO": [b"250-x\r\n250 PIPELINING\r\n"]})
            port = yield self.listening(server)
            self.resolver.list = [Target("mx.test", "127.0.0.1", port, tls=policy)]
            reply = yield self.agent.run(Lane(route(port), job()))
            assert (reply.code, server.verbs) == (451, ["EHLO"])

    @inlineCallbacks
    def test_implicit_tls_that_fails_is_no_reason_for_clear_text(self) -> Any:
        server = Server(replies={"banner": [b"220 clear\r\n"]})
        lane, reply = yield self.run_at(server, implicit_tls=True, tls=TLSPolicy("may"))
        assert (reply.is_transient, lane.outcomes, len(server.sessions)) == (True, [], 1)

    @inlineCallbacks
    def test_implicit_tls_without_anything_to_prove(self) -> Any:
        lane, _ = yield self.run_at(
            Server(tls=ServerCreator(AUTHORITY, "mx.test"), implicit=True), implicit_tls=True, tls=TLSPolicy("none")
        )
        assert lane.codes == [250]
        assert lane.outcomes[0].tls

    @inlineCallbacks
    def test_credentials_that_were_refused_are_asked_for_once_more(self) -> Any:
        for secrets, again, replies, codes in (
            (("old", "new"), True, [b"535 5.7.8 no\r\n", b"235 ok\r\n"], [250]),
            (("old", "older"), True, [b"535 5.7.8 no\r\n"], []),
            (("old",), True, [b"535 5.7.8 no\r\n"], []),
            (("old", "unused"), False, [b"535 5.7.8 no\r\n"], []),
        ):
            logins = Tokens(*secrets, again=again)
            self.agent = self.make_agent(logins=logins)
            self.resolver.list.clear()
            self.heard.said.clear()
            server = Server(replies={"EHLO": [b"250-x\r\n250 AUTH PLAIN\r\n"], "AUTH": replies})
            lane, reply = yield self.run_at(server, login=Login("user"))
            assert lane.codes == codes
            assert logins.refusals == ["old"]
            assert reply is None if codes else reply.code == 454
            assert not any(what == "failed" for what, _ in self.heard.said), "the host is not to blame"

    @inlineCallbacks
    def test_a_large_message_over_tls_that_is_cut_ends(self) -> Any:
        server = Server(tls=ServerCreator(AUTHORITY, "mx.test"), replies={"EHLO": [b"250-x\r\n250-PIPELINING\r\n250 STARTTLS\r\n"]})
        self.serve(server)
        lane = Lane(route(self.resolver.list[-1].port), job(content=Memory(b"x" * 70 + b"\r\n", *[b"y" * 70 + b"\r\n"] * 300_000)))
        finished = self.agent.run(lane)
        yield self.until(lambda: server.sessions and server.sessions[0].content is not None)
        server.sessions[0].transport.abortConnection()
        yield finished
        assert [(one.reply.code, one.uncertain) for one in lane.outcomes] == [(451, False)]

    @inlineCallbacks
    def listening(self, server: Server) -> Any:
        self.serve(server)
        yield None
        return self.resolver.list[-1].port
