"""The seam between the API and what puts another configuration in the place of the one in use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from twisted.internet.defer import Deferred

from twistedrelay.config.load import Loaded
from twistedrelay.config.schema import Config


class ApplyError(Exception):
    """A sound configuration cannot take the place of the one in use now; C{str()} says why and what to do."""


class Prepared(Protocol):
    """A configuration that was loaded and checked, with all that it needs made and opened; nothing that runs has changed yet.

    Exactly one of L{commit} and L{abort} must follow: until then no other change can be prepared.

    @ivar config: what the relay runs with after L{commit}.
    @ivar loaded: the configuration as it stands in the files, with its places.
    @ivar changes: what becomes different, a line for each.
    @ivar needs_restart: keys that differ but are only read at a start (C{"server.state_directory"}): they stay as they are until then.
    @ivar warnings: what an administrator should know of the new configuration, a line for each.
    """

    @property
    def config(self) -> Config: ...
    @property
    def loaded(self) -> Loaded: ...
    @property
    def changes(self) -> tuple[str, ...]: ...
    @property
    def needs_restart(self) -> tuple[str, ...]: ...
    @property
    def warnings(self) -> tuple[str, ...]: ...

    def commit(self) -> None:
        """Put it in the place of the one in use, at once.  Never fails."""

    def abort(self) -> Deferred[None]:
        """Give back what it took."""


class Applying(Protocol):
    """Puts another configuration in the place of the one in use.

    @ivar file: the configuration's first file.
    """

    @property
    def file(self) -> str: ...

    def prepare(self, overlay: Mapping[str, bytes | None] = ...) -> Deferred[Prepared]:
        """Read the files, and make all that is needed to run with what they hold.  One at a time: others wait for their turn.

        @param overlay: what files would hold, by their absolute paths; None: there would be no such file.
        @return: fails with L{ConfigError<twistedrelay.config.problems.ConfigError>} (all problems), or L{ApplyError}: a port cannot be had,
            too many changes wait, or the relay is ending.
        """

    def reload(self) -> Deferred[Prepared]:
        """Prepare what the files hold now and commit it, and tell the log what came of it; fires and fails as L{prepare}."""
