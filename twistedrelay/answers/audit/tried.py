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
        open_ = [outcome for outcome in trial.outcomes if outcome.accepted]
        # Whom no connector takes is turned away by 421, which is an answer.
        unknown = [outcome for outcome in trial.outcomes if trial.connector and not outcome.accepted and not outcome.refused]
        unknown += [outcome for outcome in trial.outcomes if not trial.connector and not outcome.reply]
        why = next((_line(outcome.reply) for outcome in unknown if outcome.reply), trial.error or "no answer in time")
        if len(unknown) == len(trial.outcomes):
            reason = f"the self-test came to nothing at {trial.listener} ({trial.manner}): {why}"
            yield case.finding("probe-failed", Severity.MEDIUM, path, reason, command("status"))
            continue
        relayed = [outcome for outcome in open_ if outcome.attempt.direct]
        if relayed:
            first = relayed[0]
            reason = (
                f"a stranger can relay at {trial.listener}, tried {trial.manner}: RCPT TO:<{first.attempt.recipient}> was answered "
                f"{_line(first.reply)} ({'; '.join(outcome.attempt.what for outcome in relayed)})"
            )
            connector = case.config.receive_connectors.get(trial.connector)
            cure = no_relaying(trial.connector, connector) if connector is not None else ""
            yield case.finding("probe-relayed", Severity.CRITICAL, path, reason, cure)
        traps = [outcome for outcome in open_ if not outcome.attempt.direct]
        if traps and not relayed:
            shown = ", ".join(f"<{outcome.attempt.recipient}>" for outcome in traps)
            reason = f"{trial.listener} takes {shown} as mailboxes of our own domain; the next hop must not relay by them"
            yield case.finding("probe-trap", Severity.INFO, path, reason, command("domain", "list"))
        said = next((_line(outcome.reply) for outcome in trial.outcomes if outcome not in open_ and outcome not in unknown), "")
        refused = len(trial.outcomes) - len(open_) - len(unknown)
        reason = f"{len(trial.outcomes)} ways to relay were tried at {trial.listener} {trial.manner}: {len(relayed)} were open"
        reason += f"; {refused} were refused: {said}" if refused else ""
        reason += f"; of {len(unknown)} it cannot be said: {why}" if unknown else ""
        yield case.finding("probe", Severity.INFO, path, reason)


def _line(reply: str) -> str:
    return reply.splitlines()[0] if reply else ""
