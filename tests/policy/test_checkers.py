"""Tests for L{twistedrelay.policy.checkers}."""

from __future__ import annotations

import pathlib
import tempfile
from typing import Any

import pytest
from twisted.cred.checkers import ANONYMOUS, ICredentialsChecker, InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import IUsernamePassword, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.wire.test_scram import verifier
from twistedrelay.config.schema import Config
from twistedrelay.interfaces import IRelaySession, IUsers
from twistedrelay.policy.checkers import (
    AnonymousChecker,
    ChainingChecker,
    UsersChecker,
    checker_problems,
    make_portal,
)
from twistedrelay.policy.credentials import RemoteHost, password_credentials
from twistedrelay.policy.realm import SessionFacts
from twistedrelay.policy.threads import LoginUnavailable
from twistedrelay.values.netrange import parse_ip

PEER = parse_ip("192.168.1.30")


class User:
    """An account, as the users file gives it."""

    address = "user@akkaya.local"
    send_as = ("info@akkaya.local",)


@implementer(IUsers)
class Users:
    """A users file with one account."""

    def verify(self, name: str, password: str) -> Deferred[Any]:
        return succeed(User if (name, password) == ("user", "pässword") else None)

    def find(self, name: str) -> Deferred[Any]:
        return succeed(User if name == "user" else None)

    def scram(self, name: str) -> Deferred[Any]:
        return succeed((User, verifier()) if name == "user" else (None, verifier("of nobody")))


@implementer(ICredentialsChecker)
class Broken:
    """A checker whose backend is down."""

    credentialInterfaces = (IUsernamePassword,)

    def requestAvatarId(self, credentials: Any) -> Any:
        raise OSError("the directory is down")


@implementer(ICredentialsChecker)
class Silent:
    """A checker that never answers."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self) -> None:
        self.cancelled = False

    def requestAvatarId(self, credentials: Any) -> Any:
        return Deferred(lambda _: setattr(self, "cancelled", True))


def memory(**accounts: str) -> InMemoryUsernamePasswordDatabaseDontUse:
    checker = InMemoryUsernamePasswordDatabaseDontUse()
    for name, password in accounts.items():
        checker.addUser(name.encode(), password.encode())
    return checker


def config(**keys: Any) -> Config:
    connector = {
        "bindings": ["0.0.0.0:587"],
        "remote_ip_ranges": ["0.0.0.0/0"],
        "permission_groups": ["ExchangeUsers"],
        "fqdn": "relay.akkaya.local",
    }
    server = {"name": "EXCSERVER", "fqdn": "relay.akkaya.local", "state_directory": "/var/lib/twistedrelay"}
    return Config.model_validate({"server": server, "receive_connectors": {"Client Frontend": connector}, **keys})


def facts() -> SessionFacts:
    connector = config().receive_connectors["Client Frontend"]
    return SessionFacts("0123456789abcdef", "Client Frontend", connector, PEER, 50000, parse_ip("192.168.1.5"), 587)


class CheckerTests(SynchronousTestCase):
    """Each checker alone."""

    def test_interfaces(self) -> None:
        for checker in (AnonymousChecker(), UsersChecker(Users()), ChainingChecker([Broken()], Clock())):
            assert verifyObject(ICredentialsChecker, checker)

    def test_anonymous(self) -> None:
        assert AnonymousChecker().requestAvatarId(RemoteHost(PEER)) is ANONYMOUS

    def test_user(self) -> None:
        found = self.successResultOf(UsersChecker(Users()).requestAvatarId(password_credentials("", "user", "pässword")))
        assert found == "user@akkaya.local"
        assert found.user is User

    def test_wrong_password(self) -> None:
        for credentials in (
            password_credentials("", "user", "x"),
            UsernamePassword(b"user", b"p\xe4ssword"),
            UsernamePassword(b"\xff", b""),
        ):
            self.failureResultOf(UsersChecker(Users()).requestAvatarId(credentials), UnauthorizedLogin)

    def test_nobody_acts_as_another(self) -> None:
        assert password_credentials("USER", "user", "x").username == b"user"
        with pytest.raises(UnauthorizedLogin):
            password_credentials("boss", "user", "x")


class ChainingTests(SynchronousTestCase):
    """Several checkers as one."""

    def ask(self, *checkers: Any, name: str = "a", password: str = "x", clock: Clock | None = None) -> Deferred[Any]:
        chain = ChainingChecker(checkers, clock or Clock())
        return chain.requestAvatarId(UsernamePassword(name.encode(), password.encode()))

    def test_the_first_that_says_yes(self) -> None:
        assert self.successResultOf(self.ask(AnonymousChecker(), memory(b="y"), memory(a="x"), Broken())) == b"a"

    def test_all_say_no(self) -> None:
        self.failureResultOf(self.ask(memory(a="y"), memory(b="x")), UnauthorizedLogin)
        self.failureResultOf(self.ask(AnonymousChecker()), UnauthorizedLogin)

    def test_the_reasons_reach_the_log(self) -> None:
        """Each once; a checker that gives none adds nothing."""

        def refusing(reason: str) -> Any:
            checker = memory()
            checker.requestAvatarId = lambda credentials: fail(UnauthorizedLogin(*filter(None, [reason])))
            return checker

        failure = self.failureResultOf(self.ask(refusing("wrong"), refusing(""), refusing("closed"), refusing("wrong")), UnauthorizedLogin)
        assert failure.getErrorMessage() == "wrong; closed"
        failure = self.failureResultOf(self.ask(refusing("")), UnauthorizedLogin)
        assert failure.getErrorMessage() == "no checker accepts the login"

    def test_a_broken_one_does_not_hide_a_yes(self) -> None:
        assert self.successResultOf(self.ask(Broken(), memory(a="x"))) == b"a"
        assert len(self.flushLoggedErrors()) == 0

    def test_a_broken_one_makes_a_no_temporary(self) -> None:
        for checkers in ((Broken(), memory(b="y")), (memory(b="y"), Broken())):
            failure = self.failureResultOf(self.ask(*checkers, password="my secret"), LoginUnavailable)
            assert failure.value.reply.code == 454

    def test_a_silent_one_is_not_waited_for_for_ever(self) -> None:
        clock, silent = Clock(), Silent()
        answer = self.ask(silent, memory(b="y"), clock=clock)
        self.assertNoResult(answer)
        clock.advance(30)
        self.failureResultOf(answer, LoginUnavailable)
        assert silent.cancelled
        answer = self.ask(Silent(), memory(a="x"), clock=clock)
        clock.advance(30)
        assert self.successResultOf(answer) == b"a"
        assert clock.getDelayedCalls() == []

    def test_interfaces_are_those_of_all(self) -> None:
        chain = ChainingChecker([AnonymousChecker(), Broken(), memory()], Clock())
        assert len(chain.credentialInterfaces) == len(set(chain.credentialInterfaces))
        assert IUsernamePassword in chain.credentialInterfaces


class PortalTests(SynchronousTestCase):
    """Every session logs in through the portal."""

    def test_anonymous_then_user(self) -> None:
        portal = make_portal(config(), Users(), clock=Clock())
        _, session, _ = self.successResultOf(portal.login(RemoteHost(PEER), facts(), IRelaySession))
        assert (session.principal, session.may_submit) == ("Anonymous Logon", False)
        _, session, _ = self.successResultOf(portal.login(password_credentials("", "user", "pässword"), facts(), IRelaySession))
        assert (session.principal, session.may_submit, session.user) == ("user@akkaya.local", True, User)
        assert ("info", "akkaya.local") in session.own_addresses
        self.failureResultOf(portal.login(password_credentials("", "user", "wrong"), facts(), IRelaySession), UnauthorizedLogin)

    def test_strcred_checkers_of_the_configuration(self) -> None:
        path = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory())) / "accounts"
        path.write_text("scanner@akkaya.local:geheim\n")
        portal = make_portal(config(credential_checkers=[f"file:{path}"]), Users(), clock=Clock())
        login = portal.login(password_credentials("", "scanner@akkaya.local", "geheim"), facts(), IRelaySession)
        _, session, _ = self.successResultOf(login)
        assert session.principal == "scanner@akkaya.local"
        assert session.own_addresses == {("scanner", "akkaya.local")}

    def test_extra_checkers(self) -> None:
        portal = make_portal(config(), Users(), [memory(a="x")], clock=Clock())
        _, session, _ = self.successResultOf(portal.login(UsernamePassword(b"a", b"x"), facts(), IRelaySession))
        assert session.login == "a"

    def test_unusable_descriptions_are_told_by_place_and_without_their_argument(self) -> None:
        wrong = config(credential_checkers=["file:/etc/passwd", "nonsense:my-secret", "twistedrelay", "anonymous"])
        problems = checker_problems(wrong)
        assert [problem.path for problem in problems] == [("credential_checkers", place) for place in (1, 2, 3)]
        assert "there is no credential checker 'nonsense'; installed: " in problems[0].text
        assert "path of a users file is required" in problems[1].text
        assert "cannot check a user name and password" in problems[2].text
        assert "my-secret" not in problems[0].text
        with pytest.raises(ValueError, match="nonsense"):
            make_portal(wrong, Users(), clock=Clock())
        assert checker_problems(config()) == []
