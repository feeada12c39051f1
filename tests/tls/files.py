"""Files that change under those who watch them."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

_seconds = itertools.count(1)


def write(path: Path, content: bytes) -> None:
    """A file that is seen to be another one, also where it is as long as before and the clock of the file system has not gone on."""
    path.write_bytes(content)
    moment = time.time_ns() + next(_seconds) * 10**9
    os.utime(path, ns=(moment, moment))
