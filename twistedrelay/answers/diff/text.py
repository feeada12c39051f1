"""A difference as people read it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from twistedrelay.answers.diff.document import Change, ClientChange, Difference, Requeue
from twistedrelay.answers.explain.text import Paint, plain, section
from twistedrelay.values.printable import escape

_SIGNS = {"added": "+", "removed": "-", "changed": "~", "opened": "+", "closed": "-"}
_COLOURS = {"added": "good", "removed": "bad", "opened": "good", "closed": "bad"}

#: Clients, and examples, that a person reads.
MAX_CLIENTS = 200


def report(found: Difference, name: Callable[[str], str], paint: Paint = plain) -> Iterator[str]:
    """The lines.

    @param name: how a parameter is called.
    """
    yield escape(f"{found.old} -> {found.new}")
    if not (found.changes or found.bindings):
        yield "Nothing changes."
    yield from section("Objects", _objects(found.changes, name, paint), paint)
    bindings = (
        _painted(f"{_SIGNS[one.kind]} {one.binding} is {one.kind} ({', '.join(one.connectors)})", one.kind, paint) for one in found.bindings
    )
    yield from section("Bindings", bindings, paint)
    yield from section("Queued messages that take another way", (line for one in found.requeued for line in _requeue(one, paint)), paint)
    shown = found.clients[:MAX_CLIENTS]
    yield from section("Clients that get another answer", (line for one in shown for line in _client(one, paint)), paint)
    if len(found.clients) > len(shown):
        yield f"  and {len(found.clients) - len(shown)} more; --csv and --json have them all"
    yield ""
    yield _summary(found, paint)
    yield from (escape(note) for note in found.notes)


def _summary(found: Difference, paint: Paint) -> str:
    looked = f"{found.sessions_looked_at} recorded clients"
    if found.live:
        looked += f" and {found.messages_looked_at} queued messages"
    if found.refused:
        return paint(f"{' '.join(_losses(found))} (Looked at: {looked}.)", "bad")
    if not found.sessions_looked_at and not found.messages_looked_at:
        return "There were no recorded clients and no queued messages to look at."
    return paint(f"Nothing would be refused that is accepted today ({looked} looked at).", "good")


def _losses(found: Difference) -> Iterator[str]:
    """What would be worse than today; each is a reason for exit status 1."""
    if refused := sum(one.effect == "refused" for one in found.clients):
        yield f"{refused} recorded clients would be refused something that is accepted today."
    if returned := sum(one.recipients for one in found.requeued if one.returned):
        yield f"Mail waiting for {returned} recipients would be returned to its senders."
    if stranded := sum(one.recipients for one in found.requeued if one.stranded):
        yield f"Mail waiting for {stranded} recipients would have no route any more."


def _painted(text: str, kind: str, paint: Paint) -> str:
    colour = _COLOURS.get(kind)
    return escape(text) if colour is None else paint(escape(text), colour)


def _objects(changes: Iterable[Change], name: Callable[[str], str], paint: Paint) -> Iterator[str]:
    for change in changes:
        where = f"{change.object} {change.identity}".rstrip()
        if change.kind == "changed":
            yield escape(f"~ {where} {name(change.parameter)}: {_value(change.old)} -> {_value(change.new)}")
        else:
            value = change.new if change.kind == "added" else change.old
            shown = "; ".join(f"{name(key)}={_value(item)}" for key, item in value.items())
            yield _painted(f"{_SIGNS[change.kind]} {where}  {shown}".rstrip(), change.kind, paint)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return "{" + ", ".join(_value(item) for item in value) + "}"
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return "nothing" if value in (None, "") else str(value)


def _requeue(one: Requeue, paint: Paint) -> Iterator[str]:
    line = escape(f"{one.messages} messages ({one.recipients} recipients): {one.old} -> {one.new}")
    if one.returned:
        line = paint(f"{line}, returned to their senders", "bad")
    elif one.stranded:
        line = paint(f"{line}, no route any more", "bad")
    yield line
    yield escape(f"  such as {', '.join(one.examples)}")


def _client(one: ClientChange, paint: Paint) -> Iterator[str]:
    who = [one.client, f"to {one.local}"]
    if one.helo:
        who.append(f"({one.helo})")
    if one.user:
        who.append(f"as {one.user}")
    if one.sender_domain:
        who.append(f"from {one.sender_domain}")
    who.append(f"with {one.tls}" if one.tls else "in clear text")
    line = escape(f"{one.effect}: {' '.join(who)}; {one.messages} messages, last seen {one.last_seen:%Y-%m-%d}")
    yield paint(line, "bad") if one.effect == "refused" else line
    for what in one.what:
        yield escape(f"  {what}")
