"""A whole audit: the facts, the self-test where it is wanted, all checks.

Blocks for half a minute at most, where others are asked, else for a moment: for a thread or a command.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from twistedrelay.answers.audit.case import Case
from twistedrelay.answers.audit.document import Report, report
from twistedrelay.answers.audit.examine import examine
from twistedrelay.answers.audit.finding import Finding, Severity, command
from twistedrelay.answers.audit.probe import probe
from twistedrelay.answers.audit.tried import trial_findings
from twistedrelay.answers.audit.world import facts
from twistedrelay.config.load import Loaded, load_with_places
from twistedrelay.config.problems import ConfigError, Places
from twistedrelay.config.schema import Config
from twistedrelay.values.usage import Usage


def audit(
    loaded: Loaded,
    now: float,
    *,
    usage: Sequence[Usage] | None = None,
    wants_probe: bool = False,
    wants_hosts: bool = False,
    live: bool = False,
    also: Sequence[Finding] = (),
    ends: set[str] | None = None,
) -> Report:
    """The report.

    @param wants_probe: try the listeners.
    @param wants_hosts: ask the DNS, and try the smart hosts.
    @param also: further findings.
    @param ends: see L{probe}.
    """
    with ThreadPoolExecutor(1) as pool:
        trials = pool.submit(probe, loaded.config, now, set() if ends is None else ends) if wants_probe else None
        known = facts(loaded.config, usage=usage, ask=wants_hosts, now=now)
        tried = list(trial_findings(Case(loaded.config, loaded.places, known), trials.result())) if trials is not None else []
    found = examine(loaded, known, [*tried, *also])
    return report(found, now, live=live, probed=wants_probe, resolved=wants_hosts)


def as_it_runs(config: Config, file: str) -> tuple[Loaded, list[Finding]]:
    """What runs, with the places of its file where the file is still the same; a finding where it is not."""
    if not os.access(file, os.R_OK):  # it was read while privileged
        return Loaded(config, Places()), []
    try:
        loaded = load_with_places(file)
    except ConfigError as error:
        return Loaded(config, Places()), [
            _other(config, f"the file cannot be used any more, and the relay would not start again: {error.problems[0]}")
        ]
    if loaded.config == config:
        return loaded, []
    places = Places()
    for each in loaded.files:
        places.add_file(os.path.abspath(each))
    return Loaded(config, places), [_other(config, f"{file} is not what the relay runs with: it was changed since; reload or restart")]


def _other(config: Config, reason: str) -> Finding:
    return Finding(code="file-differs", severity=Severity.LOW, object=config.server.name, reason=reason, cure=command("diff"))
