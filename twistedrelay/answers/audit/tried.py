"""What came of the self-test, as findings."""

from __future__ import annotations

from collections.abc import Iterable

from twistedrelay.answers.audit.case import Case, Findings
from twistedrelay.answers.audit.finding import Severity, command
from twistedrelay.answers.audit.probe import Trial
from twistedrelay.answers.audit.ranges import no_relaying
from twistedrelay.config.problems import Path


def trial_findings(case: Case, trials: Iterable[Trial]) -> Findings:
    """For each listener what let a stranger relay, and at least how it was tried."""
    for trial in trials:
        path: Path = ("receive_connectors", trial.connector) if trial.connector else ()
        if trial.error:
            reason = f"the self-test could not reach {trial.listener} ({trial.manner}): {trial.error}"
            yield case.finding("probe-failed", Severity.MEDIUM, path, reason, command("status"))
            continue
        relayed = [outcome for outcome in trial.outcomes if outcome.accepted and outcome.attempt.direct]
        if relayed:
            first = relayed[0]
            reason = (
                f"a stranger can relay at {trial.listener}, tried {trial.manner}: RCPT TO:<{first.attempt.recipient}> was answered "
                f"{_line(first.reply)} ({'; '.join(outcome.attempt.what for outcome in relayed)})"
            )
            connector = case.config.receive_connectors.get(trial.connector)
            cure = no_relaying(trial.connector, connector) if connector is not None else ""
            yield case.finding("probe-relayed", Severity.CRITICAL, path, reason, cure)
        traps = [outcome for outcome in trial.outcomes if outcome.accepted and not outcome.attempt.direct]
        if traps and not relayed:
            shown = ", ".join(f"<{outcome.attempt.recipient}>" for outcome in traps)
            reason = f"{trial.listener} takes {shown} as mailboxes of our own domain; the next hop must not relay by them"
            yield case.finding("probe-trap", Severity.INFO, path, reason, command("domain", "list"))
        silent = sum(not outcome.reply for outcome in trial.outcomes)
        said = next((_line(outcome.reply) for outcome in trial.outcomes if outcome.reply and not outcome.accepted), "")
        reason = f"{len(trial.outcomes)} ways to relay were tried at {trial.listener} {trial.manner}: {len(relayed)} were open"
        reason += f"; the others were refused: {said}" if said else ""
        reason += f"; {silent} were not answered in time" if silent else ""
        yield case.finding("probe", Severity.INFO, path, reason)


def _line(reply: str) -> str:
    return reply.splitlines()[0] if reply else ""
