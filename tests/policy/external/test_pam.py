"""Tests for L{twistedrelay.policy.external.pam}; the real PAM is in C{tests/end_to_end/test_credential_checkers.py}."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, succeed
from zope.interface.verify import verifyObject

pytest.importorskip("pam")
from twistedrelay.policy.external import pam
from twistedrelay.policy.external.pam import PamChecker, check_login
from twistedrelay.policy.threads import LoginUnavailable


class FakePam:
    """PAM as C{python-pam} shows it, with a result to come."""

    result = 0
    calls: list[Any] = []  # noqa: RUF012 - one for all, as the library's own

    def __init__(self) -> None:
        self.code, self.reason = 0, "told"
        self.pam_set_item: Callable[..., int] = lambda handle, item, value: self.calls.append((item, value)) or 0
        self.pam_authenticate: Callable[[Any, int], int] = FakePam.pam_authenticate

    @staticmethod
    def pam_authenticate(handle: Any, flags: int) -> int:
        FakePam.calls.append(flags)
        return FakePam.result

    def authenticate(self, user: str, password: str, service: str, resetcreds: bool) -> bool:
        self.calls.append((user, service, resetcreds))
        self.code = self.pam_authenticate(None, 0)
        return self.code == 0


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakePam]:
    """PAM that says yes."""
    monkeypatch.setattr(pam, "PamAuthenticator", FakePam)
    monkeypatch.setattr(FakePam, "calls", [])
    monkeypatch.setattr(FakePam, "result", 0)
    return FakePam


class Now:
    """Threads that are done at once."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def run(self, check: Any, *arguments: Any) -> Deferred[None]:
        self.asked.append(arguments)
        return succeed(None)


def test_where_from_and_no_accounts_without_a_password(fake: type[FakePam]) -> None:
    check_login("smtp", "cengiz", "geheim", "192.0.2.7")
    assert fake.calls == [("cengiz", "smtp", False), (4, b"192.0.2.7"), 1]
    fake.calls.clear()
    check_login("smtp", "cengiz", "geheim")
    assert fake.calls == [("cengiz", "smtp", False), 1]


@pytest.mark.parametrize("code", [6, 7, 8, 10, 11, 12, 13, 27])
def test_a_no(fake: type[FakePam], code: int) -> None:
    fake.result = code
    with pytest.raises(UnauthorizedLogin, match="PAM: "):
        check_login("smtp", "cengiz", "geheim")


@pytest.mark.parametrize("code", [1, 3, 4, 5, 9, 19, 26, 28])
def test_trouble_is_no_no(fake: type[FakePam], code: int) -> None:
    fake.result = code
    with pytest.raises(LoginUnavailable, match="'smtp': told"):
        check_login("smtp", "cengiz", "geheim")


def result_of(answer: Deferred[Any]) -> Any:
    got: list[Any] = []
    answer.addBoth(got.append)
    return got[0]


@pytest.mark.parametrize(
    ("domain", "name", "user", "address"),
    [
        ("akkaya.local", b"Cengiz", "cengiz", "cengiz@akkaya.local"),
        ("akkaya.local", b"cengiz@AKKAYA.local", "cengiz", "cengiz@akkaya.local"),
        ("", b"Cengiz@akkaya.local", "cengiz@akkaya.local", "cengiz@akkaya.local"),
        ("", b"cengiz", "cengiz", "cengiz"),
    ],
)
def test_names(domain: str, name: bytes, user: str, address: str) -> None:
    threads = Now()
    checker = PamChecker(threads, "smtp", domain)  # type: ignore[arg-type]
    assert verifyObject(ICredentialsChecker, checker)
    assert result_of(checker.requestAvatarId(UsernamePassword(name, b"geheim"))) == address
    assert threads.asked == [("smtp", user, "geheim", "")]


def test_the_session_is_told() -> None:
    class Facts:
        peer_text = "192.0.2.7"

    threads = Now()
    credentials: Any = UsernamePassword(b"a@b.test", b"x")
    credentials.facts = Facts()
    PamChecker(threads, "smtp").requestAvatarId(credentials)  # type: ignore[arg-type]
    assert threads.asked == [("smtp", "a@b.test", "x", "192.0.2.7")]


@pytest.mark.parametrize(
    ("name", "password"), [(b"cengiz", b""), (b"-l", b"x"), (b"../cengiz", b"x"), (b"a\0b", b"x"), (b"a@other.test", b"x")]
)
def test_nothing_is_asked_about_impossible_logins(name: bytes, password: bytes) -> None:
    threads = Now()
    found = result_of(PamChecker(threads, "smtp", "akkaya.local").requestAvatarId(UsernamePassword(name, password)))  # type: ignore[arg-type]
    assert found.check(UnauthorizedLogin)
    assert threads.asked == []
