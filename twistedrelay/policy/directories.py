"""Whether the pickup and replay directories are fit to be trusted: whoever may write there sends to anybody as anybody.

Decides what a daemon does not start with.  Never makes or changes a directory.

Source: Exchange Server, "Pickup directory and Replay directory" (security).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from twistedrelay.config.problems import Problem
from twistedrelay.config.schema import Config

KEYS = ("pickup_directory_path", "replay_directory_path")


def directory_problems(config: Config) -> list[Problem]:
    """What is wrong with the directories, for the loader.  One that is missing is made by the daemon."""
    return list(_problems(config))


def _problems(config: Config) -> Iterator[Problem]:
    pickup, replay = (getattr(config.transport, key) for key in KEYS)
    if pickup and os.path.realpath(pickup) == os.path.realpath(replay):
        yield Problem(("transport", KEYS[1]), "is the pickup directory, too; each needs one of its own")
    for key, path in zip(KEYS, (pickup, replay), strict=True):
        try:
            found = os.stat(path) if path else None
        except OSError:
            continue
        if found is None:
            continue
        if not stat.S_ISDIR(found.st_mode):
            yield Problem(("transport", key), f"{path}: is no directory")
        elif found.st_mode & stat.S_IWOTH:
            yield Problem(("transport", key), f"{path}: everybody may write there, and so relay to anybody; chmod o-w, and use its group")
