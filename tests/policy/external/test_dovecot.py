"""Tests for L{twistedrelay.policy.external.dovecot}: a scripted server, octet by octet."""

from __future__ import annotations

import base64
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from twistedrelay.policy.external import dovecot
from twistedrelay.policy.external.dovecot import DovecotChecker, DovecotClient
from twistedrelay.policy.threads import LoginUnavailable

GREETING = b"VERSION\t1\t2\nMECH\tLOGIN\tplaintext\nMECH\tPLAIN\tplaintext\nSPID\t7\nCUID\t1\nCOOKIE\t00ff\nDONE\n"


class Endpoint:
    """Connections to nobody."""

    def __init__(self) -> None:
        self.protocols: list[Any] = []
        self.refuse = False
        self.attempts = 0

    def connect(self, factory: Any) -> Deferred[Any]:
        self.attempts += 1
        if self.refuse:
            return fail(ConnectionRefusedError())
        protocol = factory.buildProtocol(None)
        protocol.makeConnection(StringTransport())
        self.protocols.append(protocol)
        made: Deferred[Any] = Deferred()
        made.callback(protocol)
        return made


class DovecotTests(SynchronousTestCase):
    """The checker with its client."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.endpoint = Endpoint()
        client = DovecotClient(self.endpoint, self.clock, "/run/dovecot/auth-client")  # type: ignore[arg-type]
        self.checker = DovecotChecker(client, "akkaya.local")

    def ask(self, name: bytes = b"cengiz@akkaya.local", password: bytes = b"geheim") -> Deferred[Any]:
        return self.checker.requestAvatarId(UsernamePassword(name, password))

    def say(self, octets: bytes) -> None:
        """The server speaks, an octet at a time."""
        for index in range(len(octets)):
            self.endpoint.protocols[-1].dataReceived(octets[index : index + 1])

    def sent(self) -> list[bytes]:
        """The lines that the server got since it was last asked."""
        transport = self.endpoint.protocols[-1].transport
        lines = transport.value().split(b"\n")[:-1]
        transport.clear()
        return lines

    def asked(self, name: bytes = b"cengiz@akkaya.local") -> Deferred[Any]:
        """A login that the server has before it, over a connection that is ready."""
        answer = self.ask(name)
        if len(self.endpoint.protocols) == 1 and not self.endpoint.protocols[0].ready.called:
            self.say(GREETING)
        self.assertNoResult(answer)
        return answer

    def test_interface(self) -> None:
        assert verifyObject(ICredentialsChecker, self.checker)

    def test_a_login(self) -> None:
        assert self.endpoint.attempts == 0
        answer = self.ask()
        version, cpid = self.sent()
        assert version == b"VERSION\t1\t1"
        assert 0 < int(cpid.removeprefix(b"CPID\t")) < 2**31
        self.say(GREETING)
        [line] = self.sent()
        response = base64.b64encode(b"\0cengiz@akkaya.local\0geheim")
        assert line == b"AUTH\t1\tPLAIN\tservice=smtp\tsecured\tnologin\tno-penalty\tresp=" + response
        self.say(b"OK\t1\tuser=cengiz@akkaya.local\textra\n")
        assert self.successResultOf(answer) == "cengiz@akkaya.local"
        assert self.clock.getDelayedCalls() == []

    def test_the_session_is_told(self) -> None:
        class Facts:
            peer_text, peer_port, local_text, local_port = "192.0.2.7", 4711, "192.0.2.1", 587

        credentials: Any = UsernamePassword(b"cengiz", b"geheim")
        credentials.facts = Facts()
        self.checker.requestAvatarId(credentials)
        self.say(GREETING)
        assert b"\tlip=192.0.2.1\trip=192.0.2.7\tlport=587\trport=4711\tresp=" in self.sent()[-1]

    def test_users_are_called_as_dovecot_calls_them(self) -> None:
        for told, address in (
            (b"user=Scanner-7", "Scanner-7@akkaya.local"),
            (b"user=x@other.test", "x@other.test"),
            (b"proxy", "a@akkaya.local"),
        ):
            answer = self.asked(b"A")
            number = self.sent()[-1].split(b"\t")[1]
            self.say(b"OK\t" + number + b"\t" + told + b"\n")
            assert self.successResultOf(answer) == address

    def test_answers_in_any_order(self) -> None:
        first, second, third = self.asked(), self.asked(), self.asked()
        self.say(b"OK\t3\tuser=c@akkaya.local\nFAIL\t1\tuser=a\nFAIL\t2\tuser=b\ttemp\n")
        self.failureResultOf(first, UnauthorizedLogin)
        self.failureResultOf(second, LoginUnavailable)
        assert self.successResultOf(third) == "c@akkaya.local"
        assert self.endpoint.attempts == 1

    def test_logins_while_it_connects_share_the_connection(self) -> None:
        answers = [self.ask(), self.ask()]
        self.say(GREETING)
        self.say(b"OK\t1\tuser=a@b.test\nOK\t2\tuser=c@d.test\n")
        assert [self.successResultOf(answer) for answer in answers] == ["a@b.test", "c@d.test"]
        assert self.endpoint.attempts == 1

    def test_refusals_and_trouble(self) -> None:
        for fields, expected in (
            (b"user=a\treason=no such user", UnauthorizedLogin),
            (b"user=a\tuser_disabled", UnauthorizedLogin),
            (b"user=a\tcode=temp_fail", LoginUnavailable),
            (b"user=a\ttemp", LoginUnavailable),
        ):
            answer = self.asked()
            self.say(b"FAIL\t" + self.sent()[-1].split(b"\t")[1] + b"\t" + fields + b"\n")
            self.failureResultOf(answer, expected)

    def test_more_than_a_password_is_trouble(self) -> None:
        answer = self.asked()
        self.say(b"CONT\t1\tY2hhbGxlbmdl\n")
        self.failureResultOf(answer, LoginUnavailable)
        assert self.sent()[-1] == b"CANCEL\t1"

    def test_no_answer_in_time(self) -> None:
        answer = self.asked()
        self.clock.advance(26)
        self.failureResultOf(answer, LoginUnavailable)
        assert self.sent()[-1] == b"CANCEL\t1"
        self.say(b"OK\t1\tuser=late@akkaya.local\n")

    def test_who_gives_up_leaves_nothing_behind(self) -> None:
        answer = self.asked()
        answer.cancel()
        self.failureResultOf(answer)
        assert self.sent()[-1] == b"CANCEL\t1"
        waiting = self.asked()
        self.endpoint.protocols[-1].connectionLost(Failure(ConnectionDone()))
        self.failureResultOf(waiting, LoginUnavailable)
        waiting = self.ask()
        waiting.cancel()
        self.failureResultOf(waiting)
        self.say(GREETING)
        assert self.clock.getDelayedCalls() == []

    def test_a_lost_connection_is_made_again_by_the_next_login(self) -> None:
        answer = self.asked()
        self.endpoint.protocols[-1].connectionLost(Failure(ConnectionDone()))
        self.failureResultOf(answer, LoginUnavailable)
        again = self.ask()
        self.say(GREETING)
        self.say(b"OK\t1\tuser=a@b.test\n")
        assert self.successResultOf(again) == "a@b.test"
        assert self.endpoint.attempts == 2

    def test_back_off(self) -> None:
        self.endpoint.refuse = True
        attempts = []
        for _ in range(200):
            self.failureResultOf(self.ask(), LoginUnavailable)
            attempts.append(self.endpoint.attempts)
            self.clock.advance(0.5)
        assert attempts[:4] == [1, 2, 2, 3]
        assert attempts[-1] <= 10
        self.endpoint.refuse = False
        self.clock.advance(31)
        answer = self.ask()
        self.say(GREETING)
        self.say(b"OK\t1\tuser=a@b.test\n")
        assert self.successResultOf(answer) == "a@b.test"

    def test_a_silent_server(self) -> None:
        answer = self.ask()
        self.clock.advance(5)
        self.failureResultOf(answer, LoginUnavailable)
        assert self.endpoint.protocols[-1].transport.disconnecting
        assert self.clock.getDelayedCalls() == []

    def test_servers_that_are_of_no_use(self) -> None:
        for greeting in (
            b"VERSION\t2\t0\n",
            b"VERSION\n",
            b"VERSION\t1\t1\nMECH\tCRAM-MD5\nDONE\n",
            b"x" * 20000,
        ):
            answer = self.ask()
            self.endpoint.protocols[-1].dataReceived(greeting)
            self.failureResultOf(answer, LoginUnavailable)
            assert self.endpoint.protocols[-1].transport.disconnecting
            self.clock.advance(60)

    def test_only_so_many_wait(self) -> None:
        answers = [self.ask() for _ in range(dovecot._MOST_PENDING)]
        self.failureResultOf(self.ask(), LoginUnavailable)
        self.say(GREETING)
        self.failureResultOf(self.ask(), LoginUnavailable)
        self.say(b"FAIL\t1\tuser=a\n")
        self.failureResultOf(answers[0], UnauthorizedLogin)
        self.assertNoResult(self.ask())

    def test_nothing_is_asked_about_impossible_logins(self) -> None:
        for name, password in ((b"cengiz", b""), (b"", b"x"), (b"a\tb", b"x"), (b"a@other.test", b"x"), (b"\xff", b"x")):
            self.failureResultOf(self.ask(name, password), UnauthorizedLogin)
        assert self.endpoint.attempts == 0
