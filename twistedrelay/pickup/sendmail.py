"""C{twistedrelay-sendmail}: what programs call that send mail by calling C{sendmail}.

Decides the exit status, which is one of sysexits(3): 0 once the message is in the relay's hands, 75 where it is worth another try.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from twistedrelay.config.load import load
from twistedrelay.config.problems import ConfigError
from twistedrelay.config.schema import Config
from twistedrelay.pickup import bridge
from twistedrelay.pickup.addresses import default_domain
from twistedrelay.pickup.compose import compose, read_message
from twistedrelay.pickup.lines import LetterError
from twistedrelay.pickup.options import USAGE, Options, UsageError, parse
from twistedrelay.pickup.submit import SubmitError, connector, submit

NO_CONNECTOR = 36 * 1024 * 1024  #: octets of a message where there is no receive connector to say it


class _Stop(Exception):
    """The end; C{str()} is for the person, where there is one."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


def run(name: str, arguments: Sequence[str]) -> int:
    """Do what a command line says; the exit status."""
    try:
        options = parse(name, arguments, os.environ)
        _check_rights()
        return _do(options)
    except UsageError as error:
        return _complain(f"{error}\n{USAGE}", os.EX_USAGE)
    except (SubmitError, _Stop) as error:
        return _complain(str(error), error.status)
    except LetterError as error:
        return _complain(str(error), os.EX_DATAERR)


def _check_rights() -> None:
    """With the rights of somebody else than who calls it, this is no command: the caller names the configuration, and so the files."""
    if (os.getuid(), os.getgid()) != (os.geteuid(), os.getegid()):
        raise _Stop("it must be neither setuid nor setgid", os.EX_NOPERM)


def _do(options: Options) -> int:
    if options.mode == "help":
        print(USAGE, end="")
        return os.EX_OK
    if options.mode == "nothing":  # the relay has no aliases, and runs its queue by itself
        return os.EX_OK
    if options.mode == "queue":
        raise _Stop(f"the queue is shown by: relayctl --config {options.config} message list", os.EX_UNAVAILABLE)
    if options.mode == "send" and not options.recipients and not options.from_headers:
        raise UsageError("nobody to send it to: give addresses, or -t")
    config = _config(options.config)
    if sys.stdin is None or (options.mode == "smtp" and sys.stdout is None):
        raise _Stop("standard input or standard output is closed", os.EX_USAGE)
    if options.mode == "smtp":
        return bridge.carry(connector(config), sys.stdin.fileno(), sys.stdout.buffer)
    limit = max((each.max_message_size for each in config.receive_connectors.values()), default=NO_CONNECTOR)
    text = read_message(sys.stdin.buffer, options.ignore_dots, limit)
    submit(compose(text, options, default_domain(config)), config)
    return os.EX_OK


def _config(path: str) -> Config:
    try:
        return load(path)
    except ConfigError as error:
        raise _Stop(str(error), os.EX_CONFIG) from None


def _complain(text: str, status: int) -> int:
    with suppress(OSError):
        print(f"sendmail: {text.rstrip()}", file=sys.stderr)
    return status


def main() -> None:
    """The entry point."""
    sys.exit(run(sys.argv[0], sys.argv[1:]))
