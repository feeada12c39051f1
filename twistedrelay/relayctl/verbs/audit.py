"""C{relayctl audit}: of the running daemon, or of the file where none runs."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from twistedrelay.control.client import NoDaemon, Refused
from twistedrelay.relayctl.output import format_options, print_rows
from twistedrelay.relayctl.session import Failure, Findings, Session, pass_session
from twistedrelay.relayctl.typed import typed

if TYPE_CHECKING:
    from twistedrelay.answers.audit.document import Report

_LABELS = ("Critical", "High", "Medium", "Low", "Info")

_LOOKS: dict[str, dict[str, Any]] = {
    "Critical": {"fg": "red", "bold": True},
    "High": {"fg": "red"},
    "Medium": {"fg": "yellow"},
    "Low": {"fg": "cyan"},
    "Info": {"dim": True},
    "object": {"bold": True},
    "cure": {"fg": "green"},
    "dim": {"dim": True},
}

_COLUMNS = ("severity", "code", "object", "reason", "cure")

#: Columns of the terminal's width that a line of text has at most and at least.
_WIDEST, _NARROWEST = 120, 40


@click.command("audit")
@click.option(
    "--severity", type=click.Choice(_LABELS, case_sensitive=False), default="Info", help="Only findings as bad as this, or worse."
)
@click.option("--probe", is_flag=True, help="Try to relay through the own listeners, as a stranger does.  No mail is sent.")
@click.option("--resolve", is_flag=True, help="Ask the DNS, and try next hops and smart hosts.")
@click.option(
    "--fail-on",
    type=click.Choice((*_LABELS, "never"), case_sensitive=False),
    help="End with 1 where there are findings as bad as this that nothing accepts.  [default: Medium, or what --severity shows of it]",
)
@click.option("--offline", is_flag=True, help="By the file, also where a daemon runs.")
@format_options
@pass_session
@click.pass_context
def command(
    ctx: click.Context,
    session: Session,
    severity: str,
    probe: bool,
    resolve: bool,
    fail_on: str | None,
    offline: bool,
    style: str | None,
) -> None:
    """Find what is dangerous: open relays, clear text, certificates that end, accounts nobody uses, files anybody may change.

    Each finding has a severity, its object, the reason, and the command that cures it.  Asks the daemon, or the file where none runs.  What
    audit_exceptions of the configuration accept is shown as such and does not count.

    \b
      relayctl audit --probe --severity High
    """
    from twistedrelay.answers.audit.document import counted
    from twistedrelay.answers.audit.finding import Severity

    told = (None if offline else _of_daemon(session, probe, resolve)) or _of_file(session, probe, resolve)
    least = Severity.of(severity)
    shown = [each for each in told.findings if Severity.of(each.severity) >= least]
    if style is not None:
        print_rows([each.model_dump(mode="json") for each in shown], _COLUMNS, style)
    else:
        from twistedrelay.answers.audit.text import lines

        width = max(min(shutil.get_terminal_size().columns, _WIDEST), _NARROWEST) if sys.stdout.isatty() else _WIDEST
        shown = [each.model_copy(update={"reason": typed(each.reason), "cure": typed(each.cure)}) for each in shown]
        for line in lines(shown, width, lambda text, look: click.style(text, **_LOOKS[look])):
            click.echo(line)
    bad = Severity.of(fail_on) if fail_on not in (None, "never") else max(Severity.of("Medium"), least)
    ctx.exit(1 if fail_on != "never" and counted(told, bad) else 0)


def _of_daemon(session: Session, probe: bool, resolve: bool) -> Report | None:
    """None where none runs."""
    from twistedrelay.answers.audit.document import Report

    wanted = {name: "true" for name, value in (("probe", probe), ("resolve", resolve)) if value}
    try:
        return Report.model_validate(session.client.get("/v1/audit", wanted))
    except NoDaemon as error:
        if not error.absent:
            click.echo(f"{error} The file answers.", err=True)
        return None
    except Refused as error:
        raise Failure(str(error)) from error


def _of_file(session: Session, probe: bool, resolve: bool) -> Report:
    from twistedrelay.answers.audit.whole import audit
    from twistedrelay.config.load import load_with_places
    from twistedrelay.config.problems import ConfigError

    session.need_file()
    try:
        return audit(load_with_places(session.config_file), time.time(), wants_probe=probe, wants_hosts=resolve)
    except ConfigError as error:
        raise Findings([str(problem) for problem in error.problems]) from error
