"""An answer as a story for people: what was decided, in the order in which it happens, with the reason beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from twistedrelay.answers.explain import document
from twistedrelay.values.printable import escape

#: A text in a colour: C{good}, C{bad}, C{dim} or C{title}.
Paint = Callable[[str, str], str]

Cells = Sequence[str]

#: Extensions that nobody misses.
_RARE = ("FUTURERELEASE", "MT-PRIORITY", "REQUIRETLS")

_LIMITS_SHOWN = (
    "max_inbound_connection",
    "max_inbound_connection_per_source",
    "max_inbound_connection_percentage_per_source",
    "message_rate_limit",
    "max_message_size",
    "max_recipients_per_message",
)


def plain(text: str, colour: str) -> str:
    """No colours."""
    return text


def story(told: document.Explanation, paint: Paint = plain) -> Iterator[str]:
    """The lines."""
    question = told.question
    through = f" through {question.through}" if question.through else ""
    asked = "the running relay was asked" if told.live else "by the file; no daemon was asked"
    yield f"From {question.client}{through} to {told.binding} ({asked})"
    yield paint(escape(told.summary), "good" if told.accepted else "bad")
    yield from section("Receive connector", _connectors(told.candidates, paint), paint)
    if told.at_connect is not None:
        yield from section("Rights at connect", _rights(told.at_connect), paint)
    if told.after_login is not None:
        yield from section("Rights after AUTH, in place of those", _rights(told.after_login), paint)
    yield from section("Dialogue", _dialogue(told.dialogue, paint), paint)
    yield from section("Not offered in EHLO", _not_offered(told.extensions), paint)
    for route in told.routes:
        yield from section(f"Route of {escape(route.recipient)}", _route(route, paint), paint)
    yield from section("Limits", _limits(told.limits, told.live, paint), paint)
    yield from section("Notes", [escape(note) for note in told.notes], paint)


def section(title: str, lines: Iterable[str], paint: Paint) -> Iterator[str]:
    """A title with its lines; nothing where there are none."""
    found = list(lines)
    if found:
        yield ""
        yield paint(title, "title")
        yield from (f"  {line}" for line in found)


def _aligned(rows: Iterable[Cells]) -> list[str]:
    """Columns, the last one as long as it likes."""
    found = [[escape(cell) for cell in row] for row in rows]
    widths = [max(len(row[index]) for row in found) for index in range(len(found[0]) - 1)] if found else []
    return ["  ".join([f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)] + [row[-1]]).rstrip() for row in found]


def _in_place(reason: str, place: str) -> str:
    return f"{reason}  [{place}]" if reason and place else reason


def _connectors(candidates: Sequence[document.Candidate], paint: Paint) -> Iterator[str]:
    lines = _aligned(("*" if one.chosen else " ", one.name, _in_place(one.reason, one.place)) for one in candidates)
    for one, line in zip(candidates, lines, strict=True):
        yield paint(line, "good") if one.chosen else line


def _rights(rights: document.Rights) -> Iterator[str]:
    yield escape(f"{rights.principal}: {rights.reason}")
    yield from _aligned((right.name, _in_place(", ".join(right.sources), right.place)) for right in rights.rights)
    if not rights.rights:
        yield "no rights at all"


def _dialogue(steps: Sequence[document.Exchange], paint: Paint) -> Iterator[str]:
    for step in steps:
        yield escape(f"C: {step.command}")
        delay = f"  (after {step.delay_seconds:g} s)" if step.delay_seconds else ""
        lines = step.reply.split("\n") if step.reply else ["(nothing; the connection is closed)" if not step.accepted else "(agreed)"]
        for number, line in enumerate(lines):
            shown = escape(f"S: {line}") + (delay if number == len(lines) - 1 else "")
            yield shown if step.accepted else paint(shown, "bad")
        if step.reason:
            yield paint("   " + escape(_in_place(step.reason, step.place)), "dim")


def _not_offered(extensions: Sequence[document.Extension]) -> list[str]:
    return _aligned((one.keyword, _in_place(one.reason, one.place)) for one in extensions if not one.offered and one.keyword not in _RARE)


def _route(route: document.Route, paint: Paint) -> Iterator[str]:
    if route.action != "send":
        said = "it would be returned to its sender" if route.action == "return" else "it would wait"
        yield paint(escape(f"{said}: {route.reason}"), "bad")
    elif not route.send_connector:
        yield escape(_in_place(route.reason, route.place))
    lines = _aligned(("*" if one.chosen else " ", one.name, _in_place(one.reason, one.place)) for one in route.candidates)
    for one, line in zip(route.candidates, lines, strict=True):
        yield paint(line, "good") if one.chosen else line
    yield from _aligned((name, value) for name, value in _facts(route) if value)


def _facts(route: document.Route) -> Iterator[tuple[str, str]]:
    if not route.next_hop:
        return
    yield "next hop", f"{route.next_hop} ({route.delivery_type})"
    if route.mx_domain:
        yield "hosts", f"by MX of {route.mx_domain}" if route.targets is None else ", ".join(route.targets)
    elif route.targets:
        yield "hosts", ", ".join(route.targets)
    yield "DNS", route.resolution
    yield "TLS", route.tls
    yield "login", f"{route.login}, its secret: {route.login_source}" if route.login else ""
    yield "MAIL FROM", f"<{route.envelope_sender}>"
    yield "RCPT TO", f"<{route.envelope_recipient}>"
    yield "EHLO", route.helo if not route.delivery_type.startswith("Maildir") else ""
    yield "from", ", ".join(route.source_addresses)
    if route.queue is not None:
        yield "queue", _queue(route.queue)


def _queue(queue: document.QueueState) -> str:
    said = f"{queue.identity} is {queue.status}, {queue.message_count} messages"
    if queue.suspended:
        said += f"; suspended: {queue.suspended}"
    if queue.redirected_to:
        said += f"; redirected to {queue.redirected_to}"
    if queue.next_retry_time is not None:
        said += f"; next try {queue.next_retry_time:%Y-%m-%dT%H:%M:%SZ}"
    return f"{said}; {queue.last_error}" if queue.last_error else said


def _limits(limits: Sequence[document.Limit], live: bool, paint: Paint) -> Iterator[str]:
    """The usual ones, and those that are reached."""
    shown = [one for one in limits if one.reached or one.name in _LIMITS_SHOWN or (live and one.current not in ("", "0 now"))]
    for one, line in zip(shown, _aligned((one.name, one.value, one.current) for one in shown), strict=True):
        yield paint(f"{line}  reached", "bad") if one.reached else line
