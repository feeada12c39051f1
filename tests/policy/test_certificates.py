"""Who the holder of a client certificate is."""

from __future__ import annotations

from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from twistedrelay.policy.certificates import CertificateChecker
from twistedrelay.policy.credentials import NamedCertificate


class User:
    """An account."""

    address = "User@own.example"
    send_as = ()


class Users:
    """A users file with one account."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def find(self, name: str) -> Deferred[Any]:
        self.asked.append(name)
        return succeed(User if name.lower() in ("user@own.example", "user", "own\\user") else None)


class CertificateTests(SynchronousTestCase):
    """See the module."""

    def setUp(self) -> None:
        self.users = Users()
        self.checker = CertificateChecker(self.users)  # type: ignore[arg-type]

    def ask(self, *names: str, wanted: bytes = b"", principals: tuple[str, ...] = ()) -> Any:
        return self.checker.requestAvatarId(NamedCertificate(names, wanted, frozenset(principals)))

    def test_interface(self) -> None:
        assert verifyObject(ICredentialsChecker, self.checker)

    def test_a_user_by_any_name_of_the_certificate(self) -> None:
        found = self.successResultOf(self.ask("other@own.example", "user@own.example"))
        assert (found, found.user) == ("User@own.example", User)

    def test_a_name_with_rights_of_its_own(self) -> None:
        found = self.successResultOf(self.ask("Machine@own.example", principals=("machine@own.example",)))
        assert (found, found.user) == ("Machine@own.example", None)

    def test_a_host_that_is_called_as_a_user_is_not_that_user(self) -> None:
        for name in ("user", "OWN\\user"):
            self.failureResultOf(self.ask(name), UnauthorizedLogin)
            self.failureResultOf(self.ask(name, wanted=name.encode()), UnauthorizedLogin)

    def test_a_stranger(self) -> None:
        failure = self.failureResultOf(self.ask("stranger@own.example", principals=("machine@own.example",)), UnauthorizedLogin)
        said = "the certificate's stranger@own.example is neither in the users file nor in the connector's extended_rights"
        assert failure.getErrorMessage() == said
        failure = self.failureResultOf(self.ask("Stranger@own.example", "b@own.example", wanted=b"stranger@own.example"), UnauthorizedLogin)
        assert failure.getErrorMessage() == said
        self.failureResultOf(self.ask(), UnauthorizedLogin)

    def test_who_it_wants_to_be_must_be_in_the_certificate(self) -> None:
        assert self.successResultOf(self.ask("user@own.example", wanted=b"USER@own.example")) == "User@own.example"
        failure = self.failureResultOf(self.ask("a@own.example", wanted=b"user@own.example"), UnauthorizedLogin)
        assert failure.getErrorMessage() == "the certificate is for a@own.example, not for user@own.example"
        assert "user@own.example" not in self.users.asked[1:]

    def test_many_names_are_not_all_looked_up(self) -> None:
        self.failureResultOf(self.ask(*(f"a{number}@own.example" for number in range(1000))), UnauthorizedLogin)
        assert len(self.users.asked) <= 20
