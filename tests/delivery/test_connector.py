"""Which address is tried, TLS at each level, logins."""

from __future__ import annotations

import os
from typing import Any

import trustme
from twisted.internet.defer import inlineCallbacks

from tests.delivery.agent_case import AUTHORITY, AgentCase, reactor
from tests.delivery.peers import Disk, Lane, Memory, Server, ServerCreator, job, route
from twistedrelay.delivery.session import LIMITS
from twistedrelay.interfaces import ResolutionError
from twistedrelay.values.events import Connectivity
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Login, Target, TLSPolicy
from twistedrelay.wire.client_values import Stage


class TargetTests(AgentCase):
    """Which address is tried, and what is said when none does."""

    @inlineCallbacks
    def test_next_target_after_a_refused_connection_and_a_bad_banner(self) -> Any:
        self.resolver.list.append(Target("dead.test", "127.0.0.1", 1))
        self.serve(Server(replies={"banner": [b"554 no\r\n"]}))
        self.serve(Server(replies={"banner": [b"421 busy\r\n"]}))
        good = Server()
        lane = Lane(self.serve(good), job())
        assert (yield self.agent.run(lane)) is None
        assert (lane.codes, len(good.messages)) == ([250], 1)
        assert self.events.connectivity == ["failed", "failed", "failed", "connected"]

    @inlineCallbacks
    def test_all_failed_prefers_4xx(self) -> Any:
        self.serve(Server(replies={"banner": [b"554 no\r\n"]}))
        lane = Lane(self.serve(Server(replies={"banner": [b"421 4.3.2 busy\r\n"]})), job())
        assert (yield self.agent.run(lane)) == Reply(421, "4.3.2", "busy")
        assert len(lane.jobs) == 1

    @inlineCallbacks
    def test_a_refused_session_does_not_return_the_mail_that_waits(self) -> Any:
        lane = Lane(self.serve(Server(replies={"banner": [b"554 5.3.2 no\r\n"]})), job())
        assert (yield self.agent.run(lane)) == Reply(451, "4.4.0", "The next hop refuses the session: 554 5.3.2 no")
        assert len(lane.jobs) == 1

    @inlineCallbacks
    def test_nobody_listens(self) -> Any:
        self.resolver.list.append(Target("dead.test", "127.0.0.1", 1))
        reply = yield self.agent.run(Lane(route(), job()))
        assert (reply.code, reply.enhanced) == (451, "4.4.1")
        assert "dead.test [127.0.0.1]:1" in reply.text

    @inlineCallbacks
    def test_no_address(self) -> Any:
        assert (yield self.agent.run(Lane(route(), job()))).is_transient

    @inlineCallbacks
    def test_resolution_fails(self) -> Any:
        self.resolver.error = ResolutionError(Reply(556, "5.1.10", "Null MX"))
        assert (yield self.agent.run(Lane(route(), job()))) == Reply(556, "5.1.10", "Null MX")

    @inlineCallbacks
    def test_a_resolver_that_breaks_is_a_4xx(self) -> Any:
        self.resolver.error = ZeroDivisionError("oops")
        assert (yield self.agent.run(Lane(route(), job()))).is_transient


class TLSTests(AgentCase):
    """STARTTLS and implicit TLS at each level."""

    OFFER = b"250-mx.test\r\n250-PIPELINING\r\n250 STARTTLS\r\n"

    def tls_server(self, name: str = "mx.test", authority: trustme.CA = AUTHORITY, **more: Any) -> Server:
        return Server(tls=ServerCreator(authority, name), **{"replies": {"EHLO": [self.OFFER]}, **more})

    @inlineCallbacks
    def run_at(self, server: Server, **more: Any) -> Any:
        self.serve(server)
        lane = Lane(route(self.resolver.list[-1].port, **more), job())
        reply = yield self.agent.run(lane)
        return lane, reply

    @inlineCallbacks
    def test_opportunistic(self) -> Any:
        lane, _ = yield self.run_at(self.tls_server(authority=trustme.CA()))
        assert lane.codes == [250]
        assert lane.outcomes[0].tls.startswith("TLSv1.")

    @inlineCallbacks
    def test_never(self) -> Any:
        server = self.tls_server()
        lane, _ = yield self.run_at(server, tls=TLSPolicy("none"))
        assert (lane.codes, lane.outcomes[0].tls) == ([250], "")
        assert "STARTTLS" not in server.verbs

    @inlineCallbacks
    def test_verified(self) -> Any:
        lane, _ = yield self.run_at(self.tls_server(), tls=TLSPolicy("domain"))
        assert lane.codes == [250]

    @inlineCallbacks
    def test_large_content_over_tls(self) -> Any:
        data = b"x" * 70 + b"\r\n"
        server = self.tls_server()
        self.serve(server)
        way = route(self.resolver.list[0].port)
        lane = Lane(way, job(content=Disk(reactor, data * 40000)), job(), job(content=Memory(data * 20000)), job())
        yield self.agent.run(lane)
        assert lane.codes == [250] * 4
        assert server.messages[0][1] == data * 40000
        assert len(server.sessions) == 1

    @inlineCallbacks
    def test_wrong_name_or_issuer_waits(self) -> Any:
        for server in (self.tls_server("other.test"), self.tls_server(authority=trustme.CA())):
            self.resolver.list.clear()
            lane, reply = yield self.run_at(server, tls=TLSPolicy("domain"))
            assert reply.is_transient
            assert (lane.outcomes, server.messages, len(server.sessions)) == ([], [], 1)
            assert server.verbs == ["EHLO", "STARTTLS"]

    @inlineCallbacks
    def test_failed_handshake_is_tried_once_in_clear_text_where_it_may(self) -> Any:
        """A.2.22: optional TLS that fails does not stop mail."""
        self.agent = self.make_agent(limits={**LIMITS, Stage.HANDSHAKE: 0.1})
        server = Server(replies={"EHLO": [self.OFFER], "STARTTLS": [b"220 ready\r\n"]})  # and then no TLS
        lane, _ = yield self.run_at(server)
        assert (lane.codes, len(server.sessions)) == ([250], 2)

    @inlineCallbacks
    def test_failed_handshake_waits_where_it_must(self) -> Any:
        self.agent = self.make_agent(limits={**LIMITS, Stage.HANDSHAKE: 0.1})
        server = Server(replies={"EHLO": [self.OFFER], "STARTTLS": [b"220 ready\r\n"]})
        lane, reply = yield self.run_at(server, tls=TLSPolicy("encrypt"))
        assert reply.is_transient
        assert (lane.outcomes, len(server.sessions)) == ([], 1)

    @inlineCallbacks
    def test_response_injection_is_no_reason_for_clear_text(self) -> Any:
        """T2: what a man in the middle puts behind the 220 ends the session."""
        server = self.tls_server(replies={"EHLO": [self.OFFER], "STARTTLS": [b"220 go\r\n250-evil\r\n250 AUTH PLAIN\r\n"]})
        lane, reply = yield self.run_at(server)
        assert "injection" in reply.text
        assert (lane.outcomes, len(server.sessions), server.verbs) == ([], 1, ["EHLO", "STARTTLS"])

    @inlineCallbacks
    def test_implicit(self) -> Any:
        server = self.tls_server(implicit=True)
        lane, _ = yield self.run_at(server, implicit_tls=True, tls=TLSPolicy("domain"))
        assert lane.codes == [250]
        assert "STARTTLS" not in server.verbs
        assert lane.outcomes[0].tls

    @inlineCallbacks
    def test_implicit_never_falls_back(self) -> Any:
        server = Server()
        self.agent = self.make_agent(limits={**LIMITS, Stage.BANNER: 0.1})
        _, reply = yield self.run_at(server, implicit_tls=True)
        assert reply.is_transient
        assert len(server.sessions) == 1


class LoginTests(AgentCase):
    """Logins at smart hosts."""

    OFFER = b"250-mx.test\r\n250-PIPELINING\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n"

    def login(self, requires_tls: bool = True) -> Login:
        path = os.path.join(self.directory(), "password")
        with open(path, "w", encoding="utf-8") as file:
            file.write("secret\nsecond line\n")
        return Login("user", path, requires_tls)

    @inlineCallbacks
    def test_over_tls(self) -> Any:
        server = Server(tls=ServerCreator(AUTHORITY, "mx.test"), replies={"EHLO": [self.OFFER]})
        self.serve(server)
        lane = Lane(route(self.resolver.list[0].port, login=self.login(), tls=TLSPolicy("domain")), job())
        yield self.agent.run(lane)
        assert lane.codes == [250]
        assert b"AUTH PLAIN AHVzZXIAc2VjcmV0" in server.commands

    @inlineCallbacks
    def test_never_in_clear_text(self) -> Any:
        server = Server(replies={"EHLO": [b"250-mx\r\n250 AUTH PLAIN\r\n"]})
        self.serve(server)
        reply = yield self.agent.run(Lane(route(login=self.login()), job()))
        assert (reply.code, server.verbs) == (454, ["EHLO"])

    @inlineCallbacks
    def test_refused_login_waits_and_tries_no_other_host(self) -> Any:
        refusal = {"EHLO": [b"250-mx\r\n250 AUTH PLAIN\r\n"], "AUTH": [b"535 5.7.8 no\r\n"]}
        first, second = Server(replies=refusal), Server(replies=refusal)
        self.serve(first)
        self.serve(second)
        reply = yield self.agent.run(Lane(route(login=self.login(requires_tls=False)), job()))
        assert (reply.code, reply.text) == (454, "Login refused by the server: 535 5.7.8 no")
        assert (len(first.sessions), len(second.sessions)) == (1, 0)
        assert "secret" not in repr(self.events.all)

    @inlineCallbacks
    def test_password_file_that_is_missing(self) -> Any:
        self.serve(Server())
        reply = yield self.agent.run(Lane(route(login=Login("user", "/nonexistent")), job()))
        assert reply.code == 454
        [told] = [event for event in self.events.all if isinstance(event, Connectivity)]
        assert (told.what, told.detail) == ("failed", str(reply))

    @inlineCallbacks
    def test_a_dns_that_does_not_answer_is_in_the_log(self) -> Any:
        self.resolver.error = ResolutionError(Reply(451, "4.4.3", "The DNS gave no answer about x"))
        reply = yield self.agent.run(Lane(route(), job()))
        [told] = [event for event in self.events.all if isinstance(event, Connectivity)]
        assert (told.what, told.detail) == ("failed", str(reply))
