"""Tests for C{twisted.plugins.twistedrelay_cred}."""

from __future__ import annotations

import io
import pathlib
import subprocess
import sys
from typing import Any

import pytest
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.strcred import AuthOptionMixin, ICheckerFactory, InvalidAuthArgumentString, findCheckerFactory
from twisted.plugin import IPlugin
from twisted.python.usage import Options
from zope.interface.verify import verifyObject


def test_the_plugin_is_found() -> None:
    factory = findCheckerFactory("twistedrelay")
    assert verifyObject(ICheckerFactory, factory)
    assert IPlugin.providedBy(factory)
    assert factory.credentialInterfaces == (IUsernamePassword,)


def test_a_path_is_needed() -> None:
    with pytest.raises(InvalidAuthArgumentString, match="twistedrelay:/path/to/users"):
        findCheckerFactory("twistedrelay").generateChecker(" ")


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
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path / "users")], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "user@akkaya.local\nunknown user or wrong password\n", done.stderr
    assert done.returncode == 0
