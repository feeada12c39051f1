"""What the API tells of a change of the configuration as a whole."""

from __future__ import annotations

from twistedrelay.control.documents import Document


class Reload(Document):
    """A configuration that took the place of another one, or would.

    C{changes}: what is different, a line for each thing.  C{needs_restart}: keys that differ and are only read at a start.
    C{committed}: false where it was only asked what would change.
    """

    committed: bool
    changes: list[str]
    needs_restart: list[str]
    warnings: list[str]
