"""The answer of an audit, typed: what C{relayctl audit --json} prints and C{/v1/audit} gives."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Literal

import attrs
from pydantic import BaseModel, Field

from twistedrelay.answers.audit import finding
from twistedrelay.answers.audit.finding import Severity

Label = Literal["Critical", "High", "Medium", "Low", "Info"]


class AuditFinding(BaseModel):
    """A finding."""

    code: str = Field(description="its kind, as audit_exceptions names it")
    severity: Label
    object: str
    place: str = Field(default="", description="file:line, empty where it is in no file")
    reason: str
    cure: str = Field(default="", description="a command that ends it")
    accepted: str = Field(default="", description="why it is accepted, where an exception says so")


class Report(BaseModel):
    """All findings, the worst first, those that are accepted last."""

    taken_at: datetime.datetime
    live: bool = Field(description="of a running relay, and not only of its file")
    probed: bool = Field(description="the listeners were tried")
    resolved: bool = Field(description="the DNS and the smart hosts were asked")
    findings: list[AuditFinding]


def report(findings: Iterable[finding.Finding], now: float, *, live: bool, probed: bool, resolved: bool) -> Report:
    """The document."""
    found = [AuditFinding.model_validate({**attrs.asdict(each), "severity": each.severity.label}) for each in findings]
    taken_at = datetime.datetime.fromtimestamp(now, datetime.UTC)
    return Report(taken_at=taken_at, live=live, probed=probed, resolved=resolved, findings=found)


def counted(told: Report, least: Severity) -> list[AuditFinding]:
    """Those of a severity or worse that nothing accepts."""
    return [each for each in told.findings if not each.accepted and Severity.of(each.severity) >= least]
