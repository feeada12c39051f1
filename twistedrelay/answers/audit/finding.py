"""A finding of the audit: what is dangerous, where, why, and the command that cures it."""

from __future__ import annotations

import enum
import shlex

import attrs

from twistedrelay.answers.audit.codes import CODES


class Severity(enum.IntEnum):
    """How bad it is: C{CRITICAL} is being abused or about to be, C{HIGH} waits for its day, C{INFO} is only good to know."""

    INFO = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    @property
    def label(self) -> str:
        """C{"High"}."""
        return self.name.capitalize()

    @classmethod
    def of(cls, label: str) -> Severity:
        """From its label, in any case.  L{ValueError} where there is none."""
        try:
            return cls[label.upper()]
        except KeyError:
            raise ValueError(f"{label!r} is no severity; allowed: {', '.join(each.label for each in reversed(cls))}") from None


@attrs.frozen(slots=True, kw_only=True)
class Finding:
    """One finding.

    @ivar code: its kind, one of L{CODES}.
    @ivar object: what it is about: C{SERVER\\IP_Relay}, a domain, a user, a file.
    @ivar place: C{file:line}, or nothing.
    @ivar reason: what is wrong and what may come of it, for an administrator.
    @ivar cure: a command that ends it, or nothing where it takes more than one.
    @ivar accepted: why it is accepted, where an exception says so.
    """

    code: str = attrs.field(validator=attrs.validators.in_(CODES))
    severity: Severity
    object: str
    reason: str
    cure: str = ""
    place: str = ""
    accepted: str = ""

    def __str__(self) -> str:
        return f"{self.severity.label}: {self.object}: {self.reason}"


def command(*words: object) -> str:
    """A command line of relayctl."""
    return shlex.join(["relayctl", *map(str, words)])
