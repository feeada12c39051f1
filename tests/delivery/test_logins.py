"""Secrets at the moment of a login: by file, and by a token endpoint over HTTPS; a refused token and the next one."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from typing import Any

import trustme
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.threads import deferToThread

from tests.delivery.agent_case import AUTHORITY, AgentCase, reactor
from tests.delivery.peers import Lane, Server, ServerCreator, job, route
from tests.end_to_end.authority import server_context
from tests.end_to_end.tokenserver import TokenServer
from twistedrelay.config import replace
from twistedrelay.delivery import tokenendpoint
from twistedrelay.delivery.logins import Logins
from twistedrelay.delivery.tokenendpoint import TokenEndpoint
from twistedrelay.interfaces import LoginError
from twistedrelay.values.oauth import LONGEST_ANSWER, OAuthError
from twistedrelay.values.route import Login, TLSPolicy, TokenSource
from twistedrelay.wire.client_values import Credentials


class TokenCase(AgentCase):
    """A token endpoint."""

    def setUp(self) -> None:
        super().setUp()
        self.tokens = TokenServer(server_context(AUTHORITY, "localhost"))
        self.tokens.__enter__()
        self.addCleanup(lambda: deferToThread(self.tokens.__exit__))
        self.reports: list[str] = []
        self.logins = Logins(reactor, replace, self.reports.append)

    def login(self, **more: Any) -> Login:
        directory = self.directory()
        for name, octets in (("refresh", self.tokens.grant().encode()), ("ca.pem", AUTHORITY.cert_pem.bytes())):
            with open(os.path.join(directory, name), "wb") as file:
                file.write(octets)
        files = {"refresh_token_file": os.path.join(directory, "refresh"), "ca_file": os.path.join(directory, "ca.pem")}
        given = {"token_url": self.tokens.url(), "client_id": "relay-app", "grant_type": "refresh_token", **files, **more}
        return Login("relay@example.org", tokens=TokenSource(**given))


class LoginsTests(TokenCase):
    """What C{credentials} gives."""

    @inlineCallbacks
    def test_a_token(self) -> Any:
        login = self.login()
        found = yield self.logins.credentials(login)
        assert (found.username, found.password, found.requires_tls) == ("relay@example.org", "", True)
        assert self.tokens.is_good(found.token)
        assert (yield self.logins.credentials(login)) == found
        assert len(self.tokens.requests) == 1

    @inlineCallbacks
    def test_an_endpoint_that_nobody_vouches_for(self) -> Any:
        error = yield self.assertFailure(self.logins.credentials(self.login(ca_file="")), LoginError)
        assert error.reply.code == 454
        assert "certificate verify failed" in error.reply.text
        assert self.tokens.requests == []

    @inlineCallbacks
    def test_a_missing_password(self) -> Any:
        error = yield self.assertFailure(self.logins.credentials(Login("u", "/nonexistent")), LoginError)
        assert str(error.reply) == "454 4.7.0 No password for the smart host: /nonexistent cannot be read: No such file or directory"

    def test_a_refused_password_is_not_tried_again(self) -> None:
        assert not self.logins.refused(Login("u", "f"), Credentials("u", "p"))


class EndpointTests(TokenCase):
    """Requests by HTTPS."""

    def post(self, pem: bytes = AUTHORITY.cert_pem.bytes(), url: str = "") -> Deferred[Any]:
        return Deferred.fromCoroutine(TokenEndpoint(reactor).post(url or self.tokens.url(), b"grant_type=x", pem))

    @inlineCallbacks
    def test_an_answer(self) -> Any:
        status, _ = yield self.post()
        assert status == 400

    @inlineCallbacks
    def test_an_endless_answer(self) -> Any:
        self.tokens.answers.append((200, b"x" * (LONGEST_ANSWER * 2)))
        error = yield self.assertFailure(self.post(), OAuthError)
        assert "longer than" in str(error)

    @inlineCallbacks
    def test_no_answer(self) -> Any:
        patch: Any = self.patch
        self.tokens.answering.clear()
        self.addCleanup(self.tokens.answering.set)
        for timeout in (0.0, 0.001, 0.01, 0.1):  # whatever it is at by then
            patch(tokenendpoint, "TIMEOUT", timeout)
            error = yield self.assertFailure(self.post(), OAuthError)
            assert "no answer within" in str(error)

    @inlineCallbacks
    def test_nobody_there(self) -> Any:
        error = yield self.assertFailure(self.post(url="https://localhost:1/"), OAuthError)
        assert "cannot be connected to" in str(error)

    @inlineCallbacks
    def test_no_certificates(self) -> Any:
        for pem in (b"nothing", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
            error = yield self.assertFailure(self.post(pem), OAuthError)
            assert "no certificate" in str(error)

    @inlineCallbacks
    def test_another_authority(self) -> Any:
        error = yield self.assertFailure(self.post(trustme.CA().cert_pem.bytes()), OAuthError)
        assert "certificate verify failed" in str(error)


class RetryTests(TokenCase):
    """A server that refuses a token."""

    OFFER = b"250-mx.test\r\n250-AUTH XOAUTH2\r\n250 STARTTLS\r\n"
    REFUSAL = b"334 " + base64.b64encode(b'{"status":"401"}') + b"\r\n"

    def setUp(self) -> None:
        super().setUp()
        self.given = self.login()

    @inlineCallbacks
    def run_with(self, *answers: bytes, others: Sequence[Server] = ()) -> Any:
        """A run at a server with these answers to AUTH."""
        self.agent = self.make_agent(logins=self.logins)
        replies = {"EHLO": [self.OFFER], "AUTH": list(answers), "": [b"535 5.7.3 Authentication unsuccessful\r\n"]}
        server = Server(tls=ServerCreator(AUTHORITY, "mx.test"), replies=replies)
        for each in (server, *others):
            self.serve(each)
        lane = Lane(route(self.resolver.list[0].port, login=self.given, tls=TLSPolicy("domain")), job())
        reply = yield self.agent.run(lane)
        return server, lane, reply

    @inlineCallbacks
    def test_one_more_try_with_a_new_token(self) -> Any:
        server, lane, reply = yield self.run_with(self.REFUSAL, b"235 ok\r\n")
        assert (reply, lane.codes, len(server.sessions), len(self.tokens.requests)) == (None, [250], 2, 2)
        said = [command for command in server.commands if command.startswith(b"AUTH")]
        assert len(set(said)) == 2

    @inlineCallbacks
    def test_a_grant_that_is_gone_and_no_other_host(self) -> Any:
        other = Server(tls=ServerCreator(AUTHORITY, "mx.test"), replies={"EHLO": [self.OFFER]})
        yield self.logins.credentials(self.given)
        self.tokens.refresh_tokens.clear()
        server, lane, reply = yield self.run_with(self.REFUSAL, others=[other])
        assert (lane.outcomes, len(server.sessions), other.sessions) == ([], 1, [])
        assert str(reply).startswith("454 4.7.0 The grant for the smart host is not valid any more; run: relayctl send-connector authorize")

    @inlineCallbacks
    def test_and_not_more_than_one(self) -> Any:
        server, lane, reply = yield self.run_with(self.REFUSAL)
        assert (lane.outcomes, len(server.sessions), len(self.tokens.requests)) == ([], 2, 2)
        assert str(reply) == "454 4.7.0 Login refused by the server: 535 5.7.3 Authentication unsuccessful (401)"
        again = yield self.agent.run(lane)
        assert (again, len(server.sessions), len(self.tokens.requests)) == (reply, 3, 2)
        assert not any(token in repr(self.events.all) for token in self.tokens.access_tokens)
