"""C{relayctl queue}."""

from __future__ import annotations

import itertools
from urllib.parse import quote

import click

from twistedrelay.answers.queues import NO_WAY_OUT
from twistedrelay.config.units import DURATIONS, duration
from twistedrelay.control.client import ControlClient
from twistedrelay.relayctl import completing
from twistedrelay.relayctl.bulk import change_queues, need_one, selection
from twistedrelay.relayctl.filters import not_empty
from twistedrelay.relayctl.groups import Group
from twistedrelay.relayctl.identities import near_queues, one_queue, queues_named
from twistedrelay.relayctl.output import Row, format_options, print_json, print_properties, print_rows
from twistedrelay.relayctl.session import Failure, Session, pass_session
from twistedrelay.relayctl.typed import typed
from twistedrelay.relayctl.watching import watch_option

COLUMNS = ("identity", "delivery_type", "status", "message_count", "next_hop_domain", "next_retry_time", "last_error")
SPARE = ("delivery_type", "next_hop_domain")
LANE_COLUMNS = ("next_hop_connector", "user_name", "require_tls", "tls", "connections", "max_connections", "active", "waiting", "parked")
ERROR_COLUMNS = ("time", "error")


class Span(click.ParamType[int]):
    """A duration, in whole seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The seconds."""
        try:
            seconds = int(duration(str(value)))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if seconds < 1:
            self.fail(f"{value} is too short; allowed: a second or more ({DURATIONS})", param, ctx)
        return seconds


@click.group("queue", cls=Group)
def command() -> None:
    """Queues: the messages for each next hop."""


@command.command("list")
@click.option("--filter", "filter_text", metavar="FILTER", callback=not_empty, help='Only those that fit, such as "MessageCount -gt 100".')
@watch_option
@format_options
@pass_session
def list_queues(session: Session, filter_text: str | None, style: str | None) -> None:
    """List the queues, one per next hop that had mail lately (Get-Queue, Get-QueueDigest)."""
    with session.daemon() as daemon:
        none = "No queue fits." if filter_text else "There is no queue: no mail waits, and none was sent lately."
        print_rows(_fitting(daemon, filter_text), COLUMNS, style, SPARE, none=none)


@command.command("show")
@click.argument("identity", shell_complete=completing.queues)
@format_options
@pass_session
def show(session: Session, identity: str, style: str | None) -> None:
    """Show a queue with all its properties, its ways and its last errors (Get-Queue | Format-List)."""
    with session.daemon() as daemon:
        name = one_queue(daemon, identity, session.config.server.name)
        with queues_named(daemon, name):
            queue = daemon.get(_path(name))
    if style == "json":
        print_json([queue])
        return
    lanes = queue.pop("lanes")
    print_properties(queue, style)
    if style == "csv" or not lanes:
        return
    click.echo()
    print_rows(lanes, LANE_COLUMNS, style)
    errors = [error for lane in lanes for error in lane["errors"]]
    if errors:
        click.echo()
        print_rows(errors, ERROR_COLUMNS, style)


@command.command("suspend")
@selection
@click.option("--reason", metavar="TEXT", default="", help="Why; lists show it.")
@click.option("--for", "seconds", type=Span(), default=None, help="It ends by itself after this time (30m, 2h, 1d).")
@pass_session
def suspend(
    session: Session, identity: str | None, filter_text: str | None, yes: bool, what_if: bool, reason: str, seconds: int | None
) -> None:
    """Send nothing more from a queue; it goes on taking mail (Suspend-Queue).

    \b
      relayctl queue suspend mail.example.org --reason "their migration" --for 4h
    """
    need_one(identity, filter_text)
    with session.daemon() as daemon:
        if identity is None:
            rows = _fitting(daemon, filter_text)
            change_queues(
                rows, "suspended", lambda name: daemon.suspend_queue(name, reason, seconds or 0), COLUMNS, yes=yes, what_if=what_if
            )
            return
        name = one_queue(daemon, identity, session.config.server.name)
        if what_if:
            _exists(daemon.queues(), name)
            click.echo(f"What if: the queue {name} would be suspended.")
            return
        with queues_named(daemon, name):
            until = daemon.suspend_queue(name, reason, seconds or 0)["suspended_until"]
    click.echo(f"The queue {name} is suspended {f'until {until}' if until else 'until it is resumed'}; what is being sent ends.")


@command.command("resume")
@selection
@pass_session
def resume(session: Session, identity: str | None, filter_text: str | None, yes: bool, what_if: bool) -> None:
    """Let a suspended queue go on (Resume-Queue)."""
    need_one(identity, filter_text)
    with session.daemon() as daemon:
        if identity is None:
            rows = [row for row in _fitting(daemon, filter_text) if row["status"] == "Suspended"]
            change_queues(rows, "resumed", daemon.resume_queue, COLUMNS, yes=yes, what_if=what_if)
            return
        name = one_queue(daemon, identity, session.config.server.name)
        if what_if:
            _exists(daemon.queues(), name)
            click.echo(f"What if: the queue {name} would go on.")
            return
        with queues_named(daemon, name):
            daemon.resume_queue(name)
    click.echo(f"The queue {name} goes on.")


@command.command("retry")
@selection
@click.option("--resubmit", is_flag=True, help="All its messages look for their ways anew, at once; what Unreachable needs.")
@pass_session
def retry(session: Session, identity: str | None, filter_text: str | None, yes: bool, what_if: bool, resubmit: bool) -> None:
    """Try the next hop of a queue now that waits for its next attempt (Retry-Queue)."""
    need_one(identity, filter_text)
    query = {"resubmit": "true"} if resubmit else None
    with session.daemon() as daemon:
        if identity is None:
            rows = [row for row in _fitting(daemon, filter_text) if resubmit or row["status"] == "Retry"]
            done = "resubmitted" if resubmit else "tried now"
            change_queues(rows, done, lambda each: daemon.post(_path(each, "retry"), query=query), COLUMNS, yes=yes, what_if=what_if)
            return
        name = one_queue(daemon, identity, session.config.server.name)
        if what_if:
            _exists(daemon.queues(), name, way_out=resubmit)
            tried = f"the messages of the queue {name} would look for their ways anew" if resubmit else _would_be_tried(name)
            click.echo(f"What if: {tried}.")
            return
        with queues_named(daemon, name):
            queue = {} if resubmit or name in NO_WAY_OUT else daemon.get(_path(name))
            daemon.post(_path(name, "retry"), query=query)
    if resubmit:
        click.echo(f"The messages of the queue {name} look for their ways anew.")
    elif queue["status"] == "Retry":
        click.echo(f"The next hop of the queue {name} is tried now.")
    else:
        click.echo(f"The queue {name} does not wait for its next hop: its status is {queue['status']}.")
        if queue["status"] == "Suspended":
            click.echo(typed("Let it go on with `relayctl queue resume`."), err=True)
        elif queue["deferred_message_count"]:
            click.echo("Messages that wait for their own next attempt go at once with --resubmit.", err=True)


@command.command("redirect")
@selection
@click.option("--to", "server", metavar="HOST[:PORT]", help="The other server.")
@click.option("--cancel", is_flag=True, help="Let the queue go its own way again.")
@pass_session
def redirect(
    session: Session, identity: str | None, filter_text: str | None, yes: bool, what_if: bool, server: str | None, cancel: bool
) -> None:
    """Send what is in a queue, and what comes, to another server, until that is cancelled (Redirect-Message).

    \b
      relayctl queue redirect mail.example.org --to relay2.example.org
      relayctl queue redirect mail.example.org --cancel
    """
    need_one(identity, filter_text)
    if (server is None) is not cancel:
        raise click.UsageError("Give either --to or --cancel.")

    def do(daemon: ControlClient, name: str) -> str:
        if server is None:
            daemon.delete(_path(name, "redirect"))
            return ""
        return str(daemon.post(_path(name, "redirect"), query={"to": server})["redirected_to"])

    done = f"redirected to {server}" if server else "no longer redirected"
    with session.daemon() as daemon:
        if identity is None:
            rows = [row for row in _fitting(daemon, filter_text) if server or row["redirected_to"]]
            change_queues(rows, done, lambda each: do(daemon, each), COLUMNS, yes=yes, what_if=what_if)
            return
        name = one_queue(daemon, identity, session.config.server.name)
        if what_if:
            _exists(daemon.queues(), name, way_out=True)
            click.echo(f"What if: the queue {name} would be {done}.")
            return
        with queues_named(daemon, name):
            to = do(daemon, name)
    click.echo(f"The queue {name} is redirected to {to}; what is being sent ends." if to else f"The queue {name} goes its own way again.")


def _path(identity: str, verb: str = "") -> str:
    return f"/v1/queues/{quote(identity, safe='')}" + (f"/{verb}" if verb else "")


def _fitting(daemon: ControlClient, filter_text: str | None) -> list[Row]:
    return list(itertools.chain.from_iterable(daemon.pages("/v1/queues", {"filter": filter_text} if filter_text else None)))


def _would_be_tried(name: str) -> str:
    return f"the next hop of the queue {name} would be tried now"


def _exists(queues: list[Row], identity: str, *, way_out: bool = False) -> None:
    """As the daemon would refuse."""
    if identity in NO_WAY_OUT and not (way_out and identity == "Unreachable"):
        raise Failure(NO_WAY_OUT[identity])
    if not any(queue["identity"].partition("\\")[2] == identity for queue in queues):
        raise Failure(f"There is no queue {identity}; `relayctl queue list` shows them.", near_queues(identity, queues))
