"""The whole difference of two configurations, but for queued messages, which only a running relay has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile

from twistedrelay.answers.diff.clients import MAX_RECORDS, Theatre, client_changes
from twistedrelay.answers.diff.document import ClientChange, Difference
from twistedrelay.answers.diff.objects import binding_changes, object_changes
from twistedrelay.config.schema import Config
from twistedrelay.values.usage import Usage

#: The order in which changes of clients are shown.
_FIRST = {"refused": 0, "accepted": 1, "changed": 2}


def compare(
    old: Config,
    new: Config,
    rows: Sequence[Usage],
    now: float,
    names: tuple[str, str],
    *,
    live: bool = False,
    patient: Callable[[], bool] = lambda: True,
) -> Difference:
    """What the new one would change.  Blocks: for a thread, where a relay runs.

    @param rows: recorded clients, the latest last or first.
    @param names: what the two are called.
    @param patient: asked again and again whether there is time for another client.
    """
    latest = sorted(rows, key=lambda row: -row.last_seen)[:MAX_RECORDS]
    looked_at = len(latest)
    clients: list[ClientChange] = []
    if latest and old != new:
        theatres = Theatre(old, now), Theatre(new, now)
        looked = list(takewhile(lambda _: patient(), client_changes(*theatres, latest)))
        looked_at, clients = len(looked), [change for change in looked if change is not None]
    notes = []
    if len(rows) > looked_at:
        notes.append(f"Only the latest {looked_at} of {len(rows)} recorded clients were looked at.")
    clients.sort(key=lambda change: (_FIRST[change.effect], change.client))
    return Difference(
        live=live,
        old=names[0],
        new=names[1],
        changes=object_changes(old, new),
        bindings=binding_changes(old, new),
        clients=clients,
        sessions_looked_at=looked_at,
        refused=any(change.effect == "refused" for change in clients),
        notes=notes,
    )
