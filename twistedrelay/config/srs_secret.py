"""The secrets of SRS: made at the first start that needs one, in a file that only the relay reads.

One secret a line, in any form, at least 16 octets; lines that begin with C{#} are comments.  The first one makes addresses, the others are
still read: to change it, put a new line in front, and take the old one out three weeks later.

Source: L{twistedrelay.values.srs}.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

from twistedrelay.config.problems import ConfigError, Problem
from twistedrelay.config.replace import LockedFile
from twistedrelay.config.schema import Config
from twistedrelay.values.srs import MIN_SECRET

FILE = "srs.secret"  #: in the state directory


def srs_secrets(config: Config, made: Callable[[Path], None] = lambda path: None) -> tuple[bytes, ...]:
    """The secrets, none where no send connector has an C{srs_domain}.  Blocks.

    @param made: called with the file, for who has to own it.
    @raise ConfigError: the file cannot be read or made, or a secret in it is too short.
    """
    names = [name for name, connector in config.send_connectors.items() if connector.srs_domain]
    if not names:
        return ()
    path = Path(config.server.state_directory) / FILE
    try:
        found = _read(path)
        made(path)
    except OSError as error:
        text = f"{path}: {error.strerror}"
    except UnicodeDecodeError:
        text = f"{path} is no text"
    else:
        if min(map(len, found)) >= MIN_SECRET:
            return found
        text = f"a secret in {path} is shorter than {MIN_SECRET} octets"
    raise ConfigError([Problem(("send_connectors", names[0], "srs_domain"), text)])


def kept_secrets(config: Config) -> tuple[bytes, ...] | None:
    """The same without making any; None where there are to be some and they cannot be read."""
    if not any(connector.srs_domain for connector in config.send_connectors.values()):
        return ()
    try:
        text = (Path(config.server.state_directory) / FILE).read_text()
    except (OSError, UnicodeDecodeError):
        return None
    return _in(text) or None


def _in(text: str) -> tuple[bytes, ...]:
    """The secrets of a file."""
    lines = [line.strip() for line in text.splitlines()]
    return tuple(line.encode() for line in lines if line and not line.startswith("#"))


def _read(path: Path) -> tuple[bytes, ...]:
    with LockedFile(str(path)) as file:
        found = _in(file.read())
        if not found:
            secret = secrets.token_hex(32)
            file.write(f"{secret}\n")
            found = (secret.encode(),)
    return found
