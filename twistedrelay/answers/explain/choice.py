"""Why a receive connector won over the others at a door.

The choice is L{ConnectorTable<twistedrelay.policy.connector.ConnectorTable>}'s; this only says in words what spoke for each connector.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator

from twistedrelay.answers.connectors import identity
from twistedrelay.answers.explain.document import Candidate
from twistedrelay.answers.explain.question import Door
from twistedrelay.config.problems import Path
from twistedrelay.config.schema import Config, RemoteRange
from twistedrelay.policy.connector import Choice, ConnectorTable
from twistedrelay.values.netrange import IPAddress, IPRange, parse_ip

#: C{file:line} of a path of the configuration.
Placed = Callable[[Path], str]

SECTION = "receive_connectors"


def candidates(
    config: Config, table: ConnectorTable, door: Door, client: IPAddress, today: datetime.date, place: Placed
) -> list[Candidate]:
    """All connectors with a binding on this port, the chosen one first, then those that would come after it."""
    found: dict[str, Candidate] = {}
    winner: tuple[IPAddress, Choice] | None = None
    for address, choice in table.candidates(door.binding, door.local, client):
        if winner is None and choice.is_good(today):
            winner = address, choice
            reason = _won(choice, door, address)
            found[choice.name] = _candidate(config, choice.name, True, reason, place, choice.entry)
        elif choice.name not in found:
            reason = _expired(choice.entry) if not choice.is_good(today) else _lost(choice, address, winner)
            found[choice.name] = _candidate(config, choice.name, False, reason, place, choice.entry)
    for name, reason in _others(config, door, client):
        if name not in found:
            found[name] = _candidate(config, name, False, reason, place)
    return sorted(found.values(), key=lambda one: not one.chosen)


def _candidate(config: Config, name: str, chosen: bool, reason: str, place: Placed, entry: RemoteRange | None = None) -> Candidate:
    path: Path = (SECTION, name)
    if entry is not None:
        ranges = config.receive_connectors[name].remote_ip_ranges
        path = (*path, "remote_ip_ranges", next(index for index, other in enumerate(ranges) if other is entry))
    return Candidate(
        name=name,
        identity=identity(config, name),
        chosen=chosen,
        reason=reason,
        remote_ip_range=str(entry.range) if entry is not None else "",
        owner=entry.owner if entry is not None else "",
        expires=entry.expires if entry is not None else None,
        place=place(path),
    )


def _won(choice: Choice, door: Door, address: IPAddress) -> str:
    owner = f", owner {choice.entry.owner}" if choice.entry.owner else ""
    reason = f"its range {choice.entry.range} ({_count(choice.entry.range)}{owner}) is the smallest that holds the client"
    if int(address) and str(address) != door.binding.host:
        reason += f"; it is bound to {address} itself, which comes before the wildcard"
    return reason


def _lost(choice: Choice, address: IPAddress, winner: tuple[IPAddress, Choice] | None) -> str:
    assert winner is not None
    if winner[0] != address:
        return f"it is bound to the wildcard, and {winner[1].name} to {winner[0]} itself"
    mine, other = choice.entry.range, winner[1].entry.range
    if mine.size == other.size:
        return f"its range {mine} is as large as {other}, and comes later"
    return f"its range {mine} ({_count(mine)}) is larger than {other} ({_count(other)})"


def _expired(entry: RemoteRange) -> str:
    owner = f" of {entry.owner}" if entry.owner else ""
    return f"its range {entry.range}{owner} holds the client, but expired after {entry.expires}"


def _others(config: Config, door: Door, client: IPAddress) -> Iterator[tuple[str, str]]:
    """Connectors with this port whose ranges were not looked at, or do not hold the client."""
    for name, connector in config.receive_connectors.items():
        here = [parse_ip(binding.host) for binding in connector.bindings if binding.port == door.binding.port]
        if not here:
            continue
        if not connector.enabled:
            yield name, "it is disabled"
        elif all(address.version != client.version for address in here):
            yield name, f"it has no binding for IPv{client.version} on this port"
        elif all(int(address) and address != door.local for address in here):
            yield name, f"it is bound to {', '.join(str(address) for address in here)}"
        else:
            yield name, "none of its ranges holds the client"


def _count(one: IPRange) -> str:
    if one.size == 1:
        return "1 address"
    if one.size <= 1 << 32:
        return f"{one.size:,} addresses"
    power = one.size.bit_length() - 1
    return f"2^{power} addresses" if one.size == 1 << power else f"about 2^{power} addresses"
