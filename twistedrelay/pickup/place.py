"""The directories of a configuration, and the services that watch them.

Decides how a missing directory is made: for the relay's user and its group, whose members may send by it, and for nobody else.

Source: Set-TransportService (PickupDirectoryPath, ReplayDirectoryPath).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.application.service import MultiService

from twistedrelay.config.schema import Config
from twistedrelay.interfaces import IEventSink, ISpool
from twistedrelay.pickup.directory import Office, PickupDirectory
from twistedrelay.pickup.letter import readers
from twistedrelay.values.envelope import Message


def directories(config: Config) -> dict[str, str]:
    """The directories that are on: their names by their paths."""
    paths = {config.transport.pickup_directory_path: "Pickup", config.transport.replay_directory_path: "Replay"}
    return {path: name for path, name in paths.items() if path}


#: Files get the directory's group, so that the relay can read what others put there.
MODE = 0o2770


class Pickup(MultiService):
    """All of them."""

    def __init__(
        self,
        config: Config,
        reactor: Any,
        spool: ISpool,
        events: IEventSink,
        submit: Callable[[Message], None],
        make: Callable[[str], None],
        held: Callable[[], bool] = lambda: False,
    ) -> None:
        """
        @param make: makes a directory that is missing for the relay's user.
        @param held: whether nothing may be taken now, since resources run short.
        """
        super().__init__()
        office = Office(reactor, config.server.fqdn, spool, events, submit, held)
        rules = readers(config)
        for path, name in directories(config).items():
            if not os.path.isdir(path):
                make(path)
                os.chmod(path, MODE)
            per_minute = config.transport.pickup_directory_max_messages_per_minute
            PickupDirectory(office, path, rules[name], per_minute).setServiceParent(self)
