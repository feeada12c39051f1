"""What the record of clients says about the ranges: which nobody uses, and which addresses stand for more than one device.

Nothing is said of a time before the record began.

Source: the source article on relaying by address.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from twistedrelay.answers.audit.case import Case, Findings
from twistedrelay.answers.audit.finding import Severity, command
from twistedrelay.answers.audit.openness import relays_for_all
from twistedrelay.answers.audit.ranges import take_out
from twistedrelay.config.problems import Path
from twistedrelay.config.schema import RemoteRange
from twistedrelay.values.netrange import IPAddress, parse_ip
from twistedrelay.values.usage import Usage

_DAY = 86400.0

#: Days without a client after which a range is looked at.
UNUSED = 90

#: HELO names, or sender domains, of one address that make it look like more than one device.
MANY = 5


def usage_findings(case: Case) -> Findings:
    """Nothing where there is no record."""
    rows = [(parsed, row) for row in case.facts.usage or () if (parsed := _address(row.client)) is not None]
    if not rows:
        return
    old = min(row.first_seen for _, row in rows) <= case.facts.now - UNUSED * _DAY
    for name, connector in case.enabled:
        mine = [(address, row) for address, row in rows if row.connector == name]
        for index, entry in enumerate(connector.remote_ip_ranges):
            path: Path = ("receive_connectors", name, "remote_ip_ranges", index)
            if not case.places.written(path):  # all addresses, by default
                continue
            within = [(address, row) for address, row in mine if entry.range.contains(address)]
            if old and all(row.last_seen <= case.facts.now - UNUSED * _DAY for _, row in within):
                reason = f"nobody has used the range {entry.range} for {UNUSED} days: what is not used should not be open"
                yield case.finding("range-unused", Severity.LOW, path, reason, take_out(case, name, entry))
            if relays_for_all(connector) and not entry.shared:
                yield from _crowds(case, name, path, entry, within)


def _crowds(case: Case, name: str, path: Path, entry: RemoteRange, rows: Sequence[tuple[IPAddress, Usage]]) -> Findings:
    by_client: dict[IPAddress, list[Usage]] = {}
    for address, row in rows:
        by_client.setdefault(address, []).append(row)
    for address, usages in by_client.items():
        helos = {row.helo.lower() for row in usages if row.helo}
        senders = {row.sender_domain for row in usages if row.sender_domain}
        if len(helos) < MANY and len(senders) < MANY:
            continue
        told = f"{len(helos)} HELO names ({_few(helos)}) and {len(senders)} sender domains ({_few(senders)})"
        demand = "" if entry.owner else "; write the range's owner, and shared: true, or demand a login"
        severity = Severity.INFO if entry.owner else Severity.MEDIUM
        reason = f"{address} relays without a login and was seen with {told}: it stands for many clients, or for a relay{demand}"
        cure = command("ledger") if entry.owner else take_out(case, name, entry)
        yield case.finding("relay-many-clients", severity, path, reason, cure)


def _few(names: Iterable[str]) -> str:
    found = sorted(names)
    return ", ".join(found[:3]) + (", …" if len(found) > 3 else "") if found else "none"


def _address(text: str) -> IPAddress | None:
    try:
        return parse_ip(text)
    except ValueError:
        return None
