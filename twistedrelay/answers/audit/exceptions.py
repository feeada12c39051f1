"""Findings that the configuration accepts, C{audit_exceptions}: still shown, but no longer counted.

It decides which exception is for which finding.  One that is over, or that no finding needs any more, is a finding itself.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from twistedrelay.answers.audit.case import Case, Findings
from twistedrelay.answers.audit.finding import Finding, Severity
from twistedrelay.config.schema import AuditException


def with_exceptions(case: Case, findings: Iterable[Finding]) -> Findings:
    """The findings, those that are accepted marked, and what is wrong with the exceptions."""
    exceptions = case.config.audit_exceptions
    used: set[int] = set()
    for finding in findings:
        index = next((index for index, each in enumerate(exceptions) if _is_for(each, finding, case.config.server.name)), None)
        if index is None:
            yield finding
            continue
        used.add(index)
        item = exceptions[index]
        if item.expires is not None and item.expires < case.today:
            yield attrs.evolve(finding, reason=f"{finding.reason} (accepted until {item.expires}, which is over: {item.reason})")
        else:
            until = f" (until {item.expires})" if item.expires is not None else ""
            yield attrs.evolve(finding, accepted=item.reason + until)
    for index, item in enumerate(exceptions):
        if index not in used:
            about = f"{item.code} of {item.object}" if item.object else item.code
            reason = f"the exception for {about} is needed no more: take it out, before it hides something new"
            yield case.finding("exception-unused", Severity.INFO, ("audit_exceptions", index), reason)


def _is_for(item: AuditException, finding: Finding, server: str) -> bool:
    if item.code != finding.code:
        return False
    wanted, found = item.object.casefold(), finding.object.casefold()
    return not wanted or wanted == found or f"{server}\\{item.object}".casefold() == found
