"""Tests for C{twisted.plugins.twistedrelay_cred}."""

from __future__ import annotations

import io
import pathlib
import subprocess
import sys
from typing import Any

import pytest
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.strcred import AuthOptionMixin, ICheckerFactory, InvalidAuthArgumentString, findCheckerFactory, makeChecker
from twisted.plugin import IPlugin
from twisted.python.usage import Options
from zope.interface.verify import verifyObject

from tests.network import PATIENCE
from twistedrelay.policy.checkers import configured_checkers


def test_the_plugin_is_found() -> None:
    factory = findCheckerFactory("twistedrelay")
    assert verifyObject(ICheckerFactory, factory)
    assert IPlugin.providedBy(factory)
    assert factory.credentialInterfaces == (IUsernamePassword,)


def test_a_path_is_needed() -> None:
    with pytest.raises(InvalidAuthArgumentString, match="twistedrelay:/path/to/users"):
        findCheckerFactory("twistedrelay").generateChecker(" ")


@pytest.mark.parametrize("name", ["twistedrelay", "dovecot", "pam", "ldap"])
def test_each_is_found_and_explains_itself(name: str) -> None:
    factory = findCheckerFactory(name)
    assert verifyObject(ICheckerFactory, factory)
    assert IPlugin.providedBy(factory)
    assert factory.credentialInterfaces == (IUsernamePassword,)
    assert factory.authHelp.endswith("\n")
    assert factory.argStringFormat


@pytest.mark.parametrize(
    ("description", "said"),
    [
        ("dovecot", "dovecot:/run/dovecot/auth-client"),
        ("dovecot:auth-client", "no absolute path"),
        ("dovecot:/run/x:domain=a b", "no domain name"),
        ("dovecot:/run/x:service=a/b", "no name"),
        ("pam", "pam:SERVICE"),
        ("pam:../x", "no name"),
        ("pam:smtp:realm=x", "the option 'realm' is unknown"),
        ("ldap", "ldap:/etc/twistedrelay/ldap.yaml"),
        ("ldap:ldap.yaml", "no absolute path"),
    ],
)
def test_bad_arguments_say_what_is_allowed(description: str, said: str) -> None:
    with pytest.raises(InvalidAuthArgumentString, match=said):
        makeChecker(description)


def test_making_a_checker_connects_to_nothing() -> None:
    checker = makeChecker("dovecot:/nonexistent/auth-client:domain=akkaya.local:service=submission")
    assert checker.domain == "akkaya.local"


def test_the_problems_of_a_checkers_own_file_are_told_with_their_lines(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("ldap")
    file = tmp_path / "ldap.yaml"
    file.write_text("urls: [ldaps://a]\nbind: x\n")
    _, problems = configured_checkers([f"ldap:{file}"])
    assert (problems[0].file, problems[0].line, problems[0].path) == (str(file), 2, ("bind",))


def test_any_twisted_server_lists_it() -> None:
    class ServerOptions(Options, AuthOptionMixin):
        supportedInterfaces = (IUsernamePassword,)
        authOutput: Any = io.StringIO()

    with pytest.raises(SystemExit):
        ServerOptions().parseOptions(["--help-auth"])
    assert "twistedrelay" in ServerOptions.authOutput.getvalue()
    with pytest.raises(SystemExit):
        ServerOptions().parseOptions(["--help-auth-type", "twistedrelay"])
    assert "The path of a users file." in ServerOptions.authOutput.getvalue()


PROGRAM = """
import sys
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import makeChecker
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twistedrelay.config.users import UsersFile

async def main(reactor):
    checker = makeChecker("twistedrelay:" + sys.argv[1])
    print(await checker.requestAvatarId(UsernamePassword(b"User@akkaya.local", b"geheim")))
    try:
        await checker.requestAvatarId(UsernamePassword(b"user@akkaya.local", b"falsch"))
    except UnauthorizedLogin as error:
        print(error)

UsersFile(sys.argv[1]).add("user@akkaya.local", "geheim")
react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
"""


def test_another_server_can_use_a_users_file_and_still_stops(tmp_path: pathlib.Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "users")], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert done.stdout == "user@akkaya.local\nthe users file has no such user and password\n", done.stderr
    assert done.returncode == 0
