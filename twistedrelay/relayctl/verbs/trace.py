"""C{relayctl trace}."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from twistedrelay.relayctl import completing
from twistedrelay.relayctl.filters import not_empty
from twistedrelay.relayctl.session import DaemonNeeded, Failure, Session, pass_session
from twistedrelay.values.netrange import IPRange
from twistedrelay.values.printable import escape


def _range(ctx: click.Context, parameter: click.Parameter, given: str | None) -> str | None:
    try:
        return given if given is None else str(IPRange.parse(given))
    except ValueError as error:
        raise click.BadParameter(f"{error}.", ctx, parameter) from None


@click.command("trace")
@click.option("--from", "client", metavar="RANGE", callback=_range, help="Of this client: an IP address, or a range of them.")
@click.option(
    "--connector", metavar="NAME", callback=not_empty, shell_complete=completing.connectors, help="By this receive or send connector."
)
@click.option("--sender", metavar="ADDRESS", callback=not_empty, help="Of this sender, or of this domain's; <> for reports.")
@click.option("--recipient", metavar="ADDRESS", callback=not_empty, help="To this recipient, or to this domain's.")
@click.option("--user", metavar="NAME", callback=not_empty, help="Of this login.")
@click.option("--session", "number", metavar="ID", callback=not_empty, shell_complete=completing.sessions, help="Of this session.")
@click.option("--count", metavar="N", type=click.IntRange(1), help="End after so many records.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an object on each line.")
@pass_session
def command(session: Session, /, count: int | None, as_json: bool, number: str | None, **filters: str | None) -> None:
    """Watch sessions and messages while they happen, with every line of their dialogues.  Ends by Ctrl-C.

    The content of messages is never shown, and no password.  Of sessions that are under way already only the events are shown.

    \b
      relayctl trace --from 192.168.1.55
    """
    given = {name: value for name, value in {**filters, "session": number}.items() if value}
    with session.daemon() as daemon:
        records = daemon.stream("/v1/trace", given)
        try:
            for seen, record in enumerate(records, 1):
                if as_json or record["event"] != "end":
                    click.echo(json.dumps(record) if as_json else _line(record))
                if record["event"] == "end":
                    raise Failure("The daemon ends.", "`relayctl trace` can be started again when it runs.")
                if seen == count:
                    return
            raise DaemonNeeded("The daemon is gone, without a word.", "See its log.")
        except KeyboardInterrupt:
            return
        finally:
            _close(records)


def _close(records: Iterator[dict[str, Any]]) -> None:
    close = getattr(records, "close", None)
    if close is not None:
        close()


def _line(record: dict[str, Any]) -> str:
    event = record["event"]
    if event == "dropped":
        return f"({record['count']} records are missing here: they came faster than this could take them)"
    when = record["time"][11:23]
    number = (record["session"] or "")[-6:]
    return escape(f"{when} {number:>6} {record['line']}")
