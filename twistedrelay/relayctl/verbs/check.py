"""C{relayctl check}."""

from __future__ import annotations

import click

from twistedrelay.relayctl.output import format_options, print_rows
from twistedrelay.relayctl.session import Session, pass_session
from twistedrelay.values.printable import escape


@click.command("check")
@format_options
@pass_session
@click.pass_context
def command(ctx: click.Context, session: Session, style: str | None) -> None:
    """Check the configuration file, as the daemon does at its start.

    Prints one finding per line, `file:line: path: what is wrong`, and ends with 1 where there are any.
    """
    from twistedrelay.answers.check import check
    from twistedrelay.config.problems import path_text

    session.need_file()
    findings = check(session.config_file)
    if style is not None:
        rows = [{"file": found.file, "line": found.line, "path": path_text(found.path), "text": found.text} for found in findings]
        print_rows(rows, ("file", "line", "path", "text"), style)
    elif findings:
        for found in findings:
            click.echo(escape(str(found)))
        if not any(found.blocks for found in findings):
            click.echo("A daemon starts with it: these are warnings.", err=True)
    else:
        click.echo(f"{session.config_file}: no findings.")
    ctx.exit(1 if findings else 0)
