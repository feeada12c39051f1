"""Tests for L{twistedrelay.delivery.callahead} and L{twistedrelay.delivery.probe}: a next hop is asked, and nothing is ever sent to it."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from twisted.internet import reactor as installed
from twisted.internet.defer import CancelledError, Deferred, DeferredList, inlineCallbacks

from tests.delivery.agent_case import AUTHORITY, AgentCase
from tests.delivery.peers import Resolver, Server, ServerCreator, creators
from twistedrelay.delivery import callahead as callahead_module
from twistedrelay.delivery import probe as probe_module
from twistedrelay.delivery.callahead import CONNECTIONS, CallAhead, call_ahead
from twistedrelay.delivery.probe import CallAheadFailed, verdict
from twistedrelay.values.address import parse_address
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Target

reactor: Any = installed
FEATURES = b"250-mx.test\r\n250-SMTPUTF8\r\n250-8BITMIME\r\n250 PIPELINING\r\n"


@pytest.mark.parametrize(
    ("reply", "exists"),
    [
        (Reply(250, "2.1.5", "ok"), True),
        (Reply(251, "", "will forward"), True),
        (Reply(550, "5.1.1", "User unknown"), False),
        (Reply(550, "5.1.10", "RecipientNotFound"), False),
        (Reply(550, "5.4.1", "Recipient address rejected: Access denied"), False),
        (Reply(550, "5.2.1", "Mailbox disabled"), False),
        (Reply(550, "", "No such user"), False),
        (Reply(551, "", "User not local"), False),
        (Reply(553, "", "mailbox name not allowed"), False),
        (Reply(550, "5.0.0", "no"), False),
        (Reply(550, "5.7.1", "Client host rejected"), None),
        (Reply(550, "5.7.54", "Unable to relay"), None),
        (Reply(550, "5.1.8", "Sender address rejected"), None),
        (Reply(554, "", "Transaction failed"), None),
        (Reply(552, "5.2.2", "Mailbox full"), None),
        (Reply(503, "5.5.1", "Bad sequence"), None),
        (Reply(450, "4.1.1", "Greylisted"), None),
        (Reply(452, "4.5.3", "Too many recipients"), None),
        (Reply(421, "4.3.2", "Bye"), None),
    ],
)
def test_what_a_reply_says_about_the_recipient(reply: Reply, exists: bool | None) -> None:
    assert verdict(reply) is exists


@attrs.frozen
class Hop:
    """A next hop of the configuration."""

    kind: str = "smtp"
    host: str = "mx.test"
    port: int = 25
    path: str = ""


def refusing(session: Any) -> bytes:
    """Knows nobody but those that begin with an a."""
    return b"250 2.1.5 ok\r\n" if session.server.commands[-1].startswith(b"RCPT TO:<a") else b"550 5.1.1 User unknown\r\n"


class CallAheadTests(AgentCase):
    """Against the scripted server."""

    def make(self, server: Server, hop: Hop | None = None) -> CallAhead:
        self.serve(server)
        made = call_ahead(self.paced, self.resolver, creators(AUTHORITY), "relay.test")(hop or Hop())
        self.addCleanup(made.stop)
        return made

    def ask(self, made: CallAhead, text: str = "a@x.org") -> Deferred[bool | None]:
        return made.ask(parse_address(text, utf8=True))

    @inlineCallbacks
    def test_one_connection_and_never_a_message(self) -> Any:
        server = Server(replies={"RCPT": [refusing]})
        made = self.make(server)
        for text, exists in (("a@x.org", True), ("b@x.org", False), ("ab@x.org", True)):
            assert (yield self.ask(made, text)) is exists
        assert len(server.sessions) == 1
        assert server.verbs == ["EHLO", *(["MAIL", "RCPT", "RSET"] * 3)]
        assert server.commands[:3] == [b"EHLO relay.test", b"MAIL FROM:<>", b"RCPT TO:<a@x.org>"]
        assert server.messages == []
        made.stop()
        yield self.until(lambda: server.closed)
        assert server.verbs[-1] == "QUIT"

    @inlineCallbacks
    def test_lmtp(self) -> Any:
        server = Server(lmtp=True)
        made = self.make(server, Hop("lmtp"))
        assert (yield self.ask(made))
        assert server.verbs[0] == "LHLO"

    @inlineCallbacks
    def test_a_unix_socket(self) -> Any:
        server = Server(lmtp=True)
        path = f"{self.directory()}/s"
        port = reactor.listenUNIX(path, server)
        self.addCleanup(self.close, port, server)
        made = call_ahead(self.paced, Resolver(), creators(AUTHORITY), "relay.test")(Hop("lmtp", "", 0, path))
        self.addCleanup(made.stop)
        assert (yield self.ask(made))

    @inlineCallbacks
    def test_a_few_at_a_time(self) -> Any:
        server = Server(replies={"RCPT": [b""]})
        made = self.make(server)
        asked = [self.ask(made, f"a{number}@x.org") for number in range(CONNECTIONS * 3)]
        yield self.until(lambda: server.verbs.count("RCPT") == CONNECTIONS)
        server.script.replies["RCPT"] = [b"250 ok\r\n"]
        for session in list(server.sessions):
            session.release(b"250 ok\r\n")
        answers = yield DeferredList(asked)
        assert {answer for _, answer in answers} == {True}
        assert len(server.sessions) == CONNECTIONS

    @inlineCallbacks
    def test_tls_where_it_is_offered(self) -> Any:
        server = Server(replies={"EHLO": [b"250-mx.test\r\n250 STARTTLS\r\n"]}, tls=ServerCreator(AUTHORITY, "mx.test"))
        made = self.make(server)
        assert (yield self.ask(made))
        assert server.sessions[0].secure
        assert server.verbs == ["EHLO", "STARTTLS", "EHLO", "MAIL", "RCPT", "RSET"]

    @inlineCallbacks
    def test_clear_text_where_the_handshake_fails(self) -> Any:
        server = Server(
            replies={"EHLO": [b"250-mx.test\r\n250 STARTTLS\r\n"], "STARTTLS": [lambda session: b"220 go on\r\nnot TLS at all"]}
        )
        made = self.make(server)
        server.script.replies["STARTTLS"] = [b"220 no TLS behind it\r\n"]
        first = self.ask(made)
        yield self.until(lambda: server.verbs.count("STARTTLS"))
        server.sessions[0].transport.abortConnection()
        assert (yield first)
        assert server.verbs.count("STARTTLS") == 1

    @inlineCallbacks
    def test_a_kept_connection_that_went_stale(self) -> Any:
        server = Server()
        made = self.make(server)
        assert (yield self.ask(made))
        server.script.replies["MAIL"] = [None, b"250 ok\r\n"]
        assert (yield self.ask(made))
        assert len(server.sessions) == 2

    @inlineCallbacks
    def test_a_kept_connection_that_the_server_ends(self) -> Any:
        server = Server()
        made = self.make(server)
        assert (yield self.ask(made))
        server.sessions[0].transport.write(b"421 4.4.2 idle\r\n")
        yield self.until(lambda: not made._idle)
        assert (yield self.ask(made))
        assert len(server.sessions) == 2

    @inlineCallbacks
    def test_a_connection_is_kept_for_a_while(self) -> Any:
        patch: Any = self.patch
        patch(probe_module, "IDLE", 0.01)
        server = Server()
        made = self.make(server)
        assert (yield self.ask(made))
        yield self.until(lambda: server.closed)
        assert (server.verbs[-1], made._idle) == ("QUIT", [])

    @inlineCallbacks
    def test_where_it_cannot_tell(self) -> Any:
        for verb, reply in (
            ("MAIL", b"550 5.7.1 go away\r\n"),
            ("RCPT", b"450 4.7.1 greylisted\r\n"),
            ("RCPT", b"550 5.7.1 no relaying\r\n"),
        ):
            server = Server(replies={verb: [reply]})
            self.resolver.list.clear()
            made = self.make(server)
            assert (yield self.ask(made)) is None

    @inlineCallbacks
    def test_addresses_beyond_ascii(self) -> Any:
        server = Server()
        made = self.make(server)
        assert (yield self.ask(made, "aü@x.org")) is False
        assert server.verbs == ["EHLO"]
        assert (yield self.ask(made, "a@b\u00fccher.example"))
        assert server.commands[1:3] == [b"MAIL FROM:<>", b"RCPT TO:<a@xn--bcher-kva.example>"]
        server.script.replies["EHLO"] = [FEATURES]
        made.stop()
        self.resolver.list.clear()
        made = self.make(other := Server(replies={"EHLO": [FEATURES]}))
        assert (yield self.ask(made, "aü@x.org"))
        assert other.commands[1:3] == [b"MAIL FROM:<> SMTPUTF8", "RCPT TO:<aü@x.org>".encode()]

    @inlineCallbacks
    def test_a_server_that_is_not_there_is_left_alone_for_a_moment(self) -> Any:
        self.resolver.list.append(Target("mx.test", "127.0.0.1", 1))
        made = call_ahead(self.paced, self.resolver, creators(AUTHORITY), "relay.test")(Hop())
        yield self.assertFailure(self.ask(made), CallAheadFailed)
        server = Server()
        self.serve(server)
        yield self.assertFailure(self.ask(made), CallAheadFailed)
        assert server.sessions == []
        made._down = (0.0, "")
        assert (yield self.ask(made))  # the first address still fails, the second answers
        made.stop()
        self.resolver.error = OSError("no DNS")
        made = call_ahead(self.paced, self.resolver, creators(AUTHORITY), "relay.test")(Hop())
        failure = yield self.assertFailure(self.ask(made), CallAheadFailed)
        assert str(failure) == "no DNS"

    @inlineCallbacks
    def test_a_server_that_does_not_greet_is_left_alone_likewise(self) -> Any:
        self.patch(callahead_module, "GREETING_TIMEOUT", 0.1)
        silent = Server(replies={"banner": [b""]})
        made = self.make(silent)
        failure = yield self.assertFailure(self.ask(made), CallAheadFailed)
        assert str(failure) == "it does not greet"
        yield self.assertFailure(self.ask(made), CallAheadFailed)
        assert len(silent.sessions) == 1
        made._down = (0.0, "")
        self.serve(Server())
        assert (yield self.ask(made))  # at the second address
        yield self.until(lambda: silent.closed)

    @inlineCallbacks
    def test_sessions_that_fail(self) -> Any:
        for replies in (
            {"banner": [b"554 not you\r\n"]},
            {"banner": [b"what\r\n"]},
            {"EHLO": [None]},
            {"RCPT": [None]},
            {"RCPT": [b"?!\r\n"]},
        ):
            self.resolver.list.clear()
            made = self.make(Server(replies=replies))
            yield self.assertFailure(self.ask(made), CallAheadFailed)

    @inlineCallbacks
    def test_who_cancels_leaves_nothing_behind(self) -> Any:
        for verb in ("banner", "EHLO", "MAIL", "RCPT", "RSET"):
            server = Server(replies={verb: [b""]})
            self.resolver.list.clear()
            made = self.make(server)
            asked = self.ask(made)
            yield self.until(lambda server=server: any(session.held for session in server.sessions))
            asked.cancel()
            yield self.assertFailure(asked, CancelledError)
            yield self.until(lambda server=server: server.closed)
            assert (made._idle, made._turns.tokens) == ([], CONNECTIONS)
