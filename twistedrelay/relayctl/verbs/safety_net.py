"""C{relayctl safety-net}."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

import click

from twistedrelay.control.client import ControlClient
from twistedrelay.relayctl.filters import not_empty
from twistedrelay.relayctl.groups import Group
from twistedrelay.relayctl.moments import When
from twistedrelay.relayctl.output import Row, format_options, print_rows, what_if_option
from twistedrelay.relayctl.session import Failure, Session, pass_session
from twistedrelay.relayctl.typed import typed

COLUMNS = ("id", "from_address", "recipients", "size", "date_delivered", "last_remote")
REQUEST_COLUMNS = ("identity", "state", "date_created", "start_time", "end_time", "recipient", "next_hop", "resubmitted", "failed")
REQUEST_SPARE = ("date_created", "failed", "next_hop")

#: Seconds between two looks at a request.
INTERVAL = 0.5

Command = TypeVar("Command", bound=Callable[..., Any])


@click.group("safety-net", cls=Group)
def command() -> None:
    """Delivered messages that are kept for some time, to send them again."""


def _query_options(start_needed: bool) -> Callable[[Command], Command]:
    """Which messages."""

    def decorate(function: Command) -> Command:
        options = (
            click.option("--start", type=When(), required=start_needed, help="Delivered at this time (UTC) or later, or so long ago: 12h."),
            click.option("--end", type=When(), help="Delivered before this time (UTC); by default now."),
            click.option("--recipient", metavar="TEXT", callback=not_empty, help="Only for this address or domain."),
            click.option(
                "--next-hop",
                metavar="TEXT",
                callback=not_empty,
                help="Only what this host (its name or address) or the host of this domain took.",
            ),
        )
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def _query(start: str | None, end: str | None, recipient: str | None, next_hop: str | None) -> dict[str, str]:
    given = {"start": start, "end": end, "recipient": recipient, "next_hop": next_hop}
    return {name: value for name, value in given.items() if value}


@command.command("list")
@_query_options(start_needed=False)
@click.option("--limit", type=click.IntRange(min=1, max=10**12), default=1000, show_default=True, help="Show at most so many.")
@format_options
@pass_session
def list_kept(
    session: Session, start: str | None, end: str | None, recipient: str | None, next_hop: str | None, limit: int, style: str | None
) -> None:
    """List the messages that are kept, in the order of their delivery."""
    with session.daemon() as daemon:
        query = _query(start, end, recipient, next_hop)
        found = list(itertools.islice(daemon.kept(query), limit + 1))
    print_rows(found[:limit], COLUMNS, style, none="No kept message fits." if query else "No message is kept.")
    if len(found) > limit:
        click.echo(f"There are more than {limit}; see more with --limit.", err=True)


@command.command("resubmit")
@_query_options(start_needed=True)
@click.option("--no-wait", is_flag=True, help="Do not wait until all are in the queue.")
@what_if_option
@pass_session
def resubmit(
    session: Session, start: str | None, end: str | None, recipient: str | None, next_hop: str | None, no_wait: bool, what_if: bool
) -> None:
    """Send kept messages again, as new ones (Add-ResubmitRequest).

    \b
      relayctl safety-net resubmit --start 2h --next-hop mailbox.akkaya.local
    """
    query = _query(start, end, recipient, next_hop)
    with session.daemon() as daemon:
        if what_if:
            count = sum(1 for _ in daemon.kept(query))
            click.echo(f"What if: {count} {'message' if count == 1 else 'messages'} would be sent again.")
            return
        request = daemon.resubmit(query)
        identity = request["identity"]
        while request["state"] == "Running" and not no_wait:
            if sys.stderr.isatty():
                click.echo(f"\r{_again(request['resubmitted'])}", nl=False, err=True)
            time.sleep(INTERVAL)
            request = _request(daemon, identity)
    if sys.stderr.isatty():
        click.echo(err=True)
    if request["state"] == "Running":
        click.echo(typed(f"Resubmit request {identity} is under way; see `relayctl safety-net requests`."))
        return
    done = f"Resubmit request {identity} is {request['state'].lower()}: {_again(request['resubmitted'])}"
    if request["state"] != "Completed" or request["failed"]:
        raise Failure(f"{done}, {request['failed']} could not be: {request['last_error'] or 'it was ended'}.")
    click.echo(f"{done}.")


@command.command("requests")
@format_options
@pass_session
def list_requests(session: Session, style: str | None) -> None:
    """List the requests since the daemon's start (Get-ResubmitRequest)."""
    with session.daemon() as daemon:
        print_rows(daemon.resubmit_requests(), REQUEST_COLUMNS, style, REQUEST_SPARE, none="There was no request since the daemon's start.")


@command.command("cancel")
@click.argument("identity", type=int)
@what_if_option
@pass_session
def cancel(session: Session, identity: int, what_if: bool) -> None:
    """End a request that is under way (Remove-ResubmitRequest); what is in the queue again stays there."""
    with session.daemon() as daemon:
        if what_if:
            if not any(each["identity"] == identity and each["state"] == "Running" for each in daemon.resubmit_requests()):
                raise Failure(f"No resubmit request {identity} is under way.", "`relayctl safety-net requests` shows them.")
            click.echo(f"What if: resubmit request {identity} would end.")
            return
        request = daemon.cancel_resubmission(identity)
    click.echo(f"Resubmit request {identity} is ended; {_again(request['resubmitted'])}.")


def _request(daemon: ControlClient, identity: int) -> Row:
    """How far it is."""
    for each in daemon.resubmit_requests():
        if each["identity"] == identity:
            return each
    raise Failure(
        f"The daemon was started anew and knows no resubmit request {identity} any more.",
        "What is in the queue again stays there; see `relayctl message list` and `relayctl safety-net list`.",
    )


def _again(count: int) -> str:
    return f"{count} {'message is' if count == 1 else 'messages are'} in the queue again"
