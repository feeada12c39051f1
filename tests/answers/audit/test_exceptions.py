"""Findings that are accepted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.answers.audit.audited import NOW, found, loaded, of, relaying
from twistedrelay.answers.audit.document import counted, report
from twistedrelay.answers.audit.finding import Severity
from twistedrelay.config.problems import ConfigError

WIDE = {"code": "relay-wide", "object": "IP_Relay", "reason": "the lab, ticket 4711"}


def given(*exceptions: dict[str, Any]) -> dict[str, Any]:
    return {**relaying("10.0.0.0/8"), "audit_exceptions": list(exceptions)}


@pytest.mark.parametrize("name", ["IP_Relay", "EXCSERVER\\IP_Relay", "excserver\\ip_relay", ""])
def test_accepted_findings_are_shown_and_not_counted(tmp_path: Path, name: str) -> None:
    findings = found(tmp_path, given({**WIDE, "object": name}))
    [finding] = of(findings, "relay-wide")
    assert finding.accepted == "the lab, ticket 4711"
    assert findings[-1] is finding  # after all others
    told = report(findings, NOW, live=False, probed=False, resolved=False)
    assert not counted(told, Severity.HIGH)
    assert "exception-unused" not in [each.code for each in findings]


@pytest.mark.parametrize("wrong", [{"object": "Other"}, {"code": "open-relay"}])
def test_other_findings_are_not_accepted(tmp_path: Path, wrong: dict[str, str]) -> None:
    findings = found(tmp_path, given({**WIDE, **wrong}))
    assert not of(findings, "relay-wide")[0].accepted
    assert of(findings, "exception-unused")[0].severity is Severity.INFO


def test_an_exception_ends(tmp_path: Path) -> None:
    [finding] = of(found(tmp_path, given({**WIDE, "expires": "2020-01-01"})), "relay-wide")
    assert not finding.accepted
    assert "accepted until 2020-01-01, which is over: the lab" in finding.reason
    [finding] = of(found(tmp_path, given({**WIDE, "expires": "2999-01-01"})), "relay-wide")
    assert finding.accepted == "the lab, ticket 4711 (until 2999-01-01)"


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ({"code": "relay-wide"}, "reason"),
        ({"code": "relay-wide", "reason": " "}, "audit_exceptions[0].reason: is empty; allowed: why it is accepted"),
        ({"code": "", "reason": "x"}, "audit_exceptions[0].code: is empty"),
        ({"code": "x", "reason": "x", "objekt": "y"}, "unknown key 'objekt'; did you mean 'object'?"),
        ({"code": "x", "reason": "x", "expires": "soon"}, "expires"),
    ],
)
def test_exceptions_that_are_none(tmp_path: Path, item: dict[str, str], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, given(item))
    assert text in str(caught.value)
