"""The audit of a configuration: all checks, the exceptions, in the order of severity.

Reads files: not on the reactor's thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from twistedrelay.answers.audit.accounts import account_findings
from twistedrelay.answers.audit.case import Case, Check, Facts
from twistedrelay.answers.audit.certificates import certificate_findings
from twistedrelay.answers.audit.clock import clock_findings
from twistedrelay.answers.audit.domains import domain_findings
from twistedrelay.answers.audit.doors import door_findings
from twistedrelay.answers.audit.exceptions import with_exceptions
from twistedrelay.answers.audit.files import file_findings
from twistedrelay.answers.audit.finding import Finding
from twistedrelay.answers.audit.ranges import range_findings
from twistedrelay.answers.audit.used import usage_findings
from twistedrelay.answers.audit.warned import warning_findings
from twistedrelay.answers.audit.ways import way_findings
from twistedrelay.config.load import Loaded

CHECKS: Sequence[Check] = (
    range_findings,
    usage_findings,
    door_findings,
    certificate_findings,
    domain_findings,
    account_findings,
    way_findings,
    file_findings,
    clock_findings,
)


def examine(loaded: Loaded, facts: Facts, also: Iterable[Finding] = ()) -> list[Finding]:
    """All findings, the worst first.

    @param also: those of a self-test, for instance.
    """
    case = Case(loaded.config, loaded.places, facts)
    found = [finding for check in CHECKS for finding in check(case)]
    found += warning_findings(case, loaded)
    found += also
    return sorted(with_exceptions(case, dict.fromkeys(found)), key=lambda finding: (bool(finding.accepted), -finding.severity))
