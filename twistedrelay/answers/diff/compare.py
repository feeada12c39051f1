"""The whole difference of two configurations, but for queued messages, which only a running relay has."""

from __future__ import annotations

from collections.abc import Sequence

from twistedrelay.answers.diff.clients import MAX_RECORDS, Theatre, client_changes
from twistedrelay.answers.diff.document import ClientChange, Difference
from twistedrelay.answers.diff.objects import binding_changes, object_changes
from twistedrelay.config.schema import Config
from twistedrelay.values.usage import Usage

#: The order in which changes of clients are shown.
_FIRST = {"refused": 0, "accepted": 1, "changed": 2}


def compare(old: Config, new: Config, rows: Sequence[Usage], now: float, names: tuple[str, str], *, live: bool = False) -> Difference:
    """What the new one would change.  Blocks: for a thread, where a relay runs.

    @param rows: recorded clients, the latest last or first.
    @param names: what the two are called.
    """
    latest = sorted(rows, key=lambda row: -row.last_seen)[:MAX_RECORDS]
    notes = []
    if len(rows) > len(latest):
        notes.append(f"Only the latest {len(latest)} of {len(rows)} recorded clients were looked at.")
    clients: list[ClientChange] = []
    if latest and old != new:
        theatres = Theatre(old, now), Theatre(new, now)
        clients = [change for change in client_changes(*theatres, latest) if change is not None]
    clients.sort(key=lambda change: (_FIRST[change.effect], change.client))
    return Difference(
        live=live,
        old=names[0],
        new=names[1],
        changes=object_changes(old, new),
        bindings=binding_changes(old, new),
        clients=clients,
        sessions_looked_at=len(latest),
        refused=any(change.effect == "refused" for change in clients),
        notes=notes,
    )
