"""The directories of a configuration, and the services that watch them.

Source: Set-TransportService (PickupDirectoryPath, ReplayDirectoryPath).
"""

from __future__ import annotations

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


class Pickup(MultiService):
    """All of them."""

    def __init__(self, config: Config, reactor: Any, spool: ISpool, events: IEventSink, submit: Callable[[Message], None]) -> None:
        super().__init__()
        office = Office(reactor, config.server.fqdn, spool, events, submit)
        rules = readers(config)
        for path, name in directories(config).items():
            per_minute = config.transport.pickup_directory_max_messages_per_minute
            PickupDirectory(office, path, rules[name], per_minute).setServiceParent(self)
