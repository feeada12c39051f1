"""The directories of a configuration, and the services that watch them.

Decides how a missing directory is made: for the relay's user and its group, whose members may send by it, and for nobody else.

Source: Set-TransportService (PickupDirectoryPath, ReplayDirectoryPath).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import attrs
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

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
        self._office = Office(reactor, config.server.fqdn, spool, events, submit, held)
        self._make = make
        self._there: dict[str, PickupDirectory] = {}
        self.make(config)
        self.change(config)

    def make(self, config: Config) -> list[str]:
        """Make the directories that are missing; which they were.  Blocks; L{OSError}, and what C{make} raises, where one cannot be."""
        missing = [path for path in directories(config) if not os.path.isdir(path)]
        for path in missing:
            self._make(path)
            os.chmod(path, MODE)
        return missing

    def change(self, config: Config) -> None:
        """Watch these directories from now on, by these rules.  What is being sent ends first where a directory goes."""
        rules, wanted = readers(config), directories(config)
        office = self._office = attrs.evolve(self._office, fqdn=config.server.fqdn)
        per_minute = config.transport.pickup_directory_max_messages_per_minute
        for path in [path for path in self._there if path not in wanted]:
            stopping: Deferred[None] = maybeDeferred(self._there.pop(path).disownServiceParent)
            stopping.addErrback(self._not_stopped)
        for path, name in wanted.items():
            if path in self._there:
                self._there[path].change(office, rules[name], per_minute)
            else:
                self._there[path] = PickupDirectory(office, path, rules[name], per_minute)
                self._there[path].setServiceParent(self)

    def _not_stopped(self, failure: Failure) -> None:
        self._office.tell("error", f"a directory could not be left: {failure.getErrorMessage()}")
