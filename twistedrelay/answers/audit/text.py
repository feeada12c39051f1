"""An audit as text: by severity, each finding with its place, its reason and its cure."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence

from twistedrelay.answers.audit.document import AuditFinding
from twistedrelay.answers.audit.finding import Severity
from twistedrelay.values.printable import escape

Paint = Callable[[str, str], str]


def lines(findings: Sequence[AuditFinding], width: int, paint: Paint) -> Iterator[str]:
    """The lines.

    @param paint: gives a text the look of C{"Critical"}, ... C{"Info"}, C{"object"}, C{"cure"} or C{"dim"}.
    """
    for severity in reversed(Severity):
        group = [each for each in findings if each.severity == severity.label and not each.accepted]
        if group:
            yield paint(f"{severity.label} ({len(group)})", severity.label)
            for each in group:
                yield from _shown(each, width, paint)
            yield ""
    accepted = [each for each in findings if each.accepted]
    if accepted:
        yield paint(f"Accepted ({len(accepted)})", "dim")
        for each in accepted:
            yield from _shown(each, width, paint)
        yield ""
    yield summary(findings)


def summary(findings: Sequence[AuditFinding]) -> str:
    """How many there are of each."""
    counts = {severity.label: 0 for severity in reversed(Severity)}
    for each in findings:
        if not each.accepted:
            counts[each.severity] += 1
    told = ", ".join(f"{count} {label}" for label, count in counts.items() if count)
    accepted = sum(bool(each.accepted) for each in findings)
    return f"{told or 'No findings'}{f', {accepted} accepted' if accepted else ''}."


def _shown(found: AuditFinding, width: int, paint: Paint) -> Iterator[str]:
    where = f"  {escape(found.place)}" if found.place else ""
    yield f"  {paint(escape(found.object), 'object')}  {found.code}{paint(where, 'dim')}"
    yield from _wrapped(found.reason, width)
    if found.accepted:
        yield from _wrapped(f"accepted: {found.severity}: {found.accepted}", width)
    elif found.cure:
        yield f"    $ {paint(escape(found.cure), 'cure')}"


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(
        escape(text), width, initial_indent="    ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
