"""What the verbs work on: the configuration file, and the daemon that runs with it.

It decides how failures read and which exit code they have: each says what is wrong and what to try next.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from twistedrelay import __version__
from twistedrelay.control.client import ON_BEHALF, ControlClient, NoDaemon, Refused
from twistedrelay.relayctl.typed import typed
from twistedrelay.values.printable import escape

if TYPE_CHECKING:
    from twistedrelay.config.schema import Config
    from twistedrelay.config.users import UsersFile

T = TypeVar("T")

DEFAULT_CONFIG = "/etc/twistedrelay/relay.yaml"


class Failure(click.ClickException):
    """Refused or with findings: exit code 1.  C{advice} says what to try."""

    exit_code = 1

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(typed(escape(message)))
        self.advice = typed(advice)

    def format_message(self) -> str:
        """The message and the advice."""
        return f"{self.message}\n{self.advice}" if self.advice else self.message


class DaemonNeeded(Failure):
    """Only a running daemon knows: exit code 3."""

    exit_code = 3


class Findings(click.ClickException):
    """The configuration cannot be used: a line for each problem, exit code 1."""

    exit_code = 1

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(escape(problem) for problem in problems))
        self.advice = typed("The configuration cannot be used; correct it, and see `relayctl check`.")

    def show(self, file: object = None) -> None:
        """The problems, as they are, and the advice."""
        click.echo(self.message, err=True)
        click.echo(self.advice, err=True)


def place_of(finding: Mapping[str, Any]) -> str:
    """Where a daemon found something wrong."""
    return f"{finding['file']}:{finding['line']}" if finding["line"] else str(finding["file"])


def finding_text(finding: Mapping[str, Any]) -> str:
    """What a daemon found wrong with a configuration, as C{relayctl check} would say it."""
    return ": ".join(part for part in (place_of(finding), finding["path"], finding["text"]) if part)


class Session:
    """One call of relayctl."""

    def __init__(self, config_file: str) -> None:
        self.config_file = config_file
        self._told = False

    @functools.cached_property
    def config(self) -> Config:
        """The configuration, from the file."""
        from twistedrelay.config.load import load
        from twistedrelay.config.problems import ConfigError

        self.need_file()
        try:
            return load(self.config_file)
        except ConfigError as error:
            raise Findings([str(problem) for problem in error.problems]) from error

    def need_file(self) -> None:
        """Fail where the configuration file cannot be read: then there is nothing to find in it."""
        try:
            with open(self.config_file, "rb"):
                return
        except FileNotFoundError as error:
            raise Failure(
                f"There is no configuration file {self.config_file}.",
                "Name it with `relayctl --config FILE …` or in the environment variable RELAYCTL_CONFIG.",
            ) from error
        except OSError as error:
            advice = "Run relayctl as root or the relay's user." if isinstance(error, PermissionError) else "Name a file with --config."
            raise Failure(f"{self.config_file} cannot be read: {error.strerror}.", advice) from error

    @functools.cached_property
    def client(self) -> ControlClient:
        """The daemon."""
        sudo = os.environ.get("SUDO_USER", "") if os.geteuid() == 0 else ""
        return ControlClient(self.config.server.control_socket, {ON_BEHALF: sudo} if sudo.isascii() and sudo.isprintable() and sudo else {})

    def other_version(self) -> str:
        """The version of a daemon that has answered and is of another one than this, C{""} where none has."""
        client = vars(self).get("client")
        return client.version if client is not None and client.version != __version__ else ""

    @functools.cached_property
    def users(self) -> UsersFile:
        """The users file."""
        from twistedrelay.config.users import UsersFile

        return UsersFile(self.config.users)

    @contextlib.contextmanager
    def daemon(self) -> Iterator[ControlClient]:
        """The daemon, for verbs that need it."""
        try:
            yield self.client
        except NoDaemon as error:
            start = f"Start it with `twistd -n twistedrelay --config {self.config_file}`, or name the running one's file with --config."
            raise DaemonNeeded(str(error), start if error.absent else "") from error
        except Refused as error:
            if error.findings:
                raise Findings([finding_text(finding) for finding in error.findings]) from error
            raise Failure(str(error)) from error

    def daemon_or_file(self, ask: Callable[[ControlClient], T], read: Callable[[Config], T]) -> T:
        """What the daemon runs with, or where none answers what the file says; that one runs and does not is told.

        @param ask: may raise L{NoDaemon} or L{Refused}.
        """
        try:
            return ask(self.client)
        except NoDaemon as error:
            if not (error.absent or self._told):
                self._told = True
                click.echo(f"{escape(str(error))} The file answers.", err=True)
            return read(self.config)
        except Refused as error:
            raise Failure(str(error)) from error


pass_session = click.make_pass_decorator(Session)
