"""The secrets of SRS: made at the first start that needs one, in a file that only the relay reads.

One secret a line, in any form, at least 16 octets; lines that begin with C{#} are comments.  The first one makes addresses, the others are
still read: to change it, put a new line in front, and take the old one out three weeks later.

Source: L{twistedrelay.values.srs}.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from twistedrelay.config.replace import LockedFile
from twistedrelay.config.schema import Config
from twistedrelay.values.srs import MIN_SECRET

FILE = "srs.secret"  #: in the state directory


def srs_secrets(config: Config) -> tuple[bytes, ...]:
    """The secrets, none where no send connector has an C{srs_domain}.  Blocks.

    @raise OSError: the file cannot be read or made.
    @raise ValueError: a secret in it is too short.
    """
    if not any(connector.srs_domain for connector in config.send_connectors.values()):
        return ()
    with LockedFile(os.path.join(config.server.state_directory, FILE)) as file:
        lines = [line.strip() for line in file.read().splitlines()]
        found = tuple(line.encode() for line in lines if line and not line.startswith("#"))
        if not found:
            made = secrets.token_hex(32)
            file.write(f"{made}\n")
            return (made.encode(),)
    if min(map(len, found)) < MIN_SECRET:
        raise ValueError(f"a secret in {Path(config.server.state_directory) / FILE} is shorter than {MIN_SECRET} octets")
    return found
