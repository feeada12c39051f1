"""Several who want to know what is said in a session, as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from zope.interface import implementer

from twistedrelay.interfaces import IProtocolLog


@implementer(IProtocolLog)
class Tracers:
    """Tells all of them, in their order."""

    def __init__(self, logs: Iterable[IProtocolLog]) -> None:
        self._logs = tuple(logs)

    def tracer(self, session: str, may_change: bool = False) -> Callable[[str, str], None] | None:
        """See L{IProtocolLog}."""
        found = [trace for log in self._logs if (trace := log.tracer(session, may_change)) is not None]
        return all_of(found)


def all_of(found: list[Callable[[str, str], None]]) -> Callable[[str, str], None] | None:
    """One that tells several; None where there is none."""
    if len(found) < 2:
        return found[0] if found else None

    def tell(direction: str, text: str) -> None:
        for trace in found:
            trace(direction, text)

    return tell
