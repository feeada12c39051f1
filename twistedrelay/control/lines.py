"""Where the configuration that a relay runs with stands in its files, to say which line decided.

It decides whether lines can be said at all: only while the files hold what the relay runs with.  The files are read again for it, and once
for each configuration: to keep the lines of all keys from the start on would cost memory that hardly anybody makes use of.
"""

from __future__ import annotations

from twistedrelay.answers.audit.whole import as_it_runs
from twistedrelay.answers.explain.choice import Placed
from twistedrelay.answers.explain.explainer import nowhere
from twistedrelay.config.schema import Config


class FileLines:
    """See the module."""

    def __init__(self) -> None:
        self._known: tuple[Config, Placed] | None = None

    def of(self, config: Config, file: str) -> Placed:
        """C{file:line} of each path of a configuration, C{""} where that is not known.  Blocks.

        @param file: its first file.
        """
        known = self._known
        if known is None or known[0] is not config:
            loaded, differs = as_it_runs(config, file)
            places = loaded.places
            known = config, nowhere if differs else lambda path: str(places.find(path) or "")
            if not differs:
                self._known = known
        return known[1]
