"""C{relayctl message}."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from typing import Any

import click

from twistedrelay.answers.queues import queue_name
from twistedrelay.control.client import ControlClient
from twistedrelay.relayctl import completing
from twistedrelay.relayctl.bulk import COLUMNS as BULK_COLUMNS
from twistedrelay.relayctl.bulk import LISTED, agreed, change_messages, chosen_messages, need_one, selection, tell
from twistedrelay.relayctl.exporting import export_to, force_option, message_file, refuse_existing
from twistedrelay.relayctl.filters import not_empty
from twistedrelay.relayctl.groups import Group
from twistedrelay.relayctl.identities import is_pattern, message_filter, messages, one_message, quoted
from twistedrelay.relayctl.output import Row, format_options, print_json, print_properties, print_rows, what_if_option
from twistedrelay.relayctl.session import Session, pass_session
from twistedrelay.relayctl.streaming import stream_rows
from twistedrelay.relayctl.timeline import span
from twistedrelay.relayctl.watching import watch_option

COLUMNS = ("identity", "from_address", "recipients", "status", "size", "date_received", "last_error")
SPARE = ("date_received", "size")
RECIPIENT_COLUMNS = ("address", "status", "queue", "attempts", "next_retry_time", "last_remote", "last_error")
RECIPIENT_SPARE = ("last_remote", "attempts")


class ResultSize(click.ParamType[int]):
    """How many, or C{unlimited} (0)."""

    name = "number"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number."""
        text = str(value)
        if text.lower() == "unlimited":
            return 0
        if not (text.isascii() and text.isdigit() and 0 < len(text) <= 12 and int(text)):
            self.fail(f"{text!r} is no size of a result; allowed: a number, or unlimited.", param, ctx)
        return int(text)


LATENCY_COLUMNS = ("component", "began", "latency", "queue", "recipients", "detail")
LATENCY_SPARE = ("recipients", "queue")


@click.group("message", cls=Group)
def command() -> None:
    """Messages in the queue."""


@command.command("list")
@click.argument("identity", required=False, shell_complete=completing.messages)
@click.option(
    "--filter",
    "filter_text",
    metavar="FILTER",
    callback=not_empty,
    help="Only those that fit, such as \"Status -eq 'Retry' -and Size -gt 1MB\".",
)
@click.option(
    "--queue", metavar="QUEUE", callback=not_empty, help="Only those in a queue; * and ? are wildcards.", shell_complete=completing.queues
)
@watch_option
@click.option("--from", "sender", metavar="TEXT", callback=not_empty, help="Only with this text in the sender's address.")
@click.option("--to", "recipient", metavar="TEXT", callback=not_empty, help="Only with this text in a recipient's address.")
@click.option(
    "--result-size", "--limit", "limit", type=ResultSize(), default=1000, show_default=True, help="Show at most so many, or unlimited."
)
@click.option("--newest-first", is_flag=True, help="Begin with those that came last.")
@click.option("--include-recipient-info", is_flag=True, help="With each recipient's state (in JSON).")
@format_options
@pass_session
def list_messages(
    session: Session,
    identity: str | None,
    filter_text: str | None,
    queue: str | None,
    sender: str | None,
    recipient: str | None,
    limit: int,
    newest_first: bool,
    include_recipient_info: bool,
    style: str | None,
) -> None:
    """List the messages in the queue, the oldest first (Get-Message).

    IDENTITY is ID, QUEUE\\ID or QUEUE\\*, with the server's name in front or without it.
    """
    if identity is not None and (filter_text or queue):
        raise click.UsageError("Give either an IDENTITY, or --filter and --queue.")
    parts = [f"({filter_text})"] if filter_text else []
    parts += [message_filter(identity, session.config.server.name)] if identity is not None else []
    named = queue_name(queue or "", session.config.server.name)
    parts += [f"Queue {'-like' if is_pattern(named) else '-eq'} {quoted(named)}"] if queue else []
    parts += [f"FromAddress -like {quoted(f'*{sender}*')}"] if sender else []
    parts += [f"Recipients -like {quoted(f'*{recipient}*')}"] if recipient else []
    query = {"sort": "-date_received"} if newest_first else {}
    query |= {"include_recipient_info": "true"} if include_recipient_info else {}
    more: list[Row] = []
    with session.daemon() as daemon:
        text = filter_text if filter_text and len(parts) == 1 else " -and ".join(parts)
        found: Iterator[Row] = messages(daemon, text, **query)
        none = "No message fits." if parts else "No message waits."
        stream_rows(itertools.islice(found, limit) if limit else found, COLUMNS, style, SPARE, none=none)
        more = list(itertools.islice(found, 1)) if limit else []
    if more:
        click.echo(f"There are more than {limit}; see more with --result-size.", err=True)


@command.command("show")
@click.argument("identity", shell_complete=completing.messages)
@format_options
@pass_session
def show(session: Session, identity: str, style: str | None) -> None:
    """Show a message with its recipients, their states and last errors, and where its time went."""
    with session.daemon() as daemon:
        message = daemon.message(one_message(daemon, identity, session.config.server.name), latency=True)
    if style == "json":
        print_json([message])
        return
    recipients, latency = message.pop("recipient_info"), message.pop("component_latency")
    if style == "csv":
        print_rows(recipients, RECIPIENT_COLUMNS, style)
        return
    print_properties(message, style)
    click.echo()
    print_rows(recipients, RECIPIENT_COLUMNS, style, RECIPIENT_SPARE)
    if latency:
        click.echo()
        print_rows([_time_told(row) for row in latency], LATENCY_COLUMNS, style, LATENCY_SPARE)


def _time_told(row: Row) -> Row:
    """A span of a message's time, for people."""
    return {**row, "latency": span(row["seconds"]) + (" so far" if row["pending"] else "")}


@command.command("remove")
@selection
@click.option("--without-ndr", is_flag=True, help="Do not tell the sender.")
@pass_session
def remove(session: Session, identity: str | None, filter_text: str | None, yes: bool, what_if: bool, without_ndr: bool) -> None:
    """Remove a message from the queue; its sender gets a report (Remove-Message).

    \b
      relayctl message remove 42
      relayctl message remove --filter "Queue -like '*.example.org'" --what-if
    """
    need_one(identity, filter_text)
    told = "its sender is not told" if without_ndr else "its sender is told"
    with session.daemon() as daemon:
        if identity is None:
            told = "their senders are not told" if without_ndr else "their senders are told"
            _change_all(daemon, filter_text, "remove", f"removed; {told}", yes, what_if, with_ndr=not without_ndr)
            return
        number = one_message(daemon, identity, session.config.server.name)
        if what_if:
            message = daemon.message(number)
            click.echo(f"What if: message {number} from {message['from_address']} would be removed; {told}.")
            return
        daemon.remove(number, not without_ndr)
    click.echo(f"Message {number} is removed; {told}.")


@command.command("suspend")
@selection
@pass_session
def suspend(session: Session, identity: str | None, filter_text: str | None, yes: bool, what_if: bool) -> None:
    """Do not send a message until it is resumed; a transaction in progress ends first (Suspend-Message)."""
    need_one(identity, filter_text)
    with session.daemon() as daemon:
        if identity is None:
            _change_all(daemon, filter_text, "suspend", "suspended", yes, what_if)
            return
        number = one_message(daemon, identity, session.config.server.name)
        if what_if:
            click.echo(f"What if: message {number} from {daemon.message(number)['from_address']} would be suspended.")
            return
        daemon.suspend_message(number)
    click.echo(f"Message {number} is suspended.")


@command.command("resume")
@selection
@pass_session
def resume(session: Session, identity: str | None, filter_text: str | None, yes: bool, what_if: bool) -> None:
    """Let a suspended or poison message go on, at once (Resume-Message)."""
    need_one(identity, filter_text)
    with session.daemon() as daemon:
        if identity is None:
            _change_all(daemon, filter_text, "resume", "resumed", yes, what_if)
            return
        number = one_message(daemon, identity, session.config.server.name)
        if what_if:
            click.echo(f"What if: message {number} from {daemon.message(number)['from_address']} would go on.")
            return
        daemon.resume_message(number)
    click.echo(f"Message {number} goes on.")


@command.command("redirect")
@selection
@click.option("--to", "server", metavar="HOST[:PORT]", help="The other server.")
@click.option("--cancel", is_flag=True, help="Let the message go its own way again.")
@pass_session
def redirect(
    session: Session, identity: str | None, filter_text: str | None, yes: bool, what_if: bool, server: str | None, cancel: bool
) -> None:
    """Send a message to another server instead of its next hops, at once (Redirect-Message); for a whole queue see `queue redirect`."""
    need_one(identity, filter_text)
    if (server is None) is not cancel:
        raise click.UsageError("Give either --to or --cancel.")
    action, more = ("cancel-redirect", {}) if server is None else ("redirect", {"to": server})
    done = f"redirected to {server}" if server else "no longer redirected"
    with session.daemon() as daemon:
        if identity is None:
            _change_all(daemon, filter_text, action, done, yes, what_if, **more)
            return
        number = one_message(daemon, identity, session.config.server.name)
        message = daemon.message(number)
        if what_if:
            click.echo(f"What if: message {number} from {message['from_address']} would be {done}.")
            return
        change_messages(daemon, [number], action, **more)
    click.echo(f"Message {number} is {done}.")


@command.command("export")
@click.argument("identities", metavar="[IDENTITY]...", nargs=-1, shell_complete=completing.messages)
@click.option("--filter", "filter_text", metavar="FILTER", callback=not_empty, help="All that fit.")
@click.option(
    "--output",
    metavar="DIRECTORY",
    type=click.Path(readable=False),
    default=".",
    show_default=True,
    help="Where the files go: ID.eml; - is standard output.",
)
@click.option("--content-only", is_flag=True, help="Without X-Sender and X-Receiver in front, which the replay directory needs.")
@force_option
@what_if_option
@pass_session
def export(
    session: Session, identities: tuple[str, ...], filter_text: str | None, output: str, content_only: bool, force: bool, what_if: bool
) -> None:
    """Write messages to files, whatever their state (Export-Message).  The files can be given to the replay directory.

    \b
      relayctl message export 42 43 --output /var/tmp/mail
    """
    if bool(identities) == (filter_text is not None):
        raise click.UsageError("Give either IDENTITIES or --filter.")
    place = {".": "this directory", "-": "standard output"}.get(output, output)
    with session.daemon() as daemon:
        if filter_text is not None:
            ids = [row["id"] for row in messages(daemon, filter_text)]
        else:
            ids = [one_message(daemon, identity, session.config.server.name) for identity in identities]
        ids = list(dict.fromkeys(ids))
        if output != "-" and not force:
            refuse_existing(message_file(output, number) for number in ids)
        if what_if:
            click.echo(f"What if: {len(ids)} message{'' if len(ids) == 1 else 's'} would be written to {place}.")
            return
        label, hidden = "export", len(ids) <= LISTED or output == "-" or not sys.stderr.isatty()
        with click.progressbar(ids, label=label, file=sys.stderr, hidden=hidden) as bar:
            for number in bar:
                export_to(daemon, number, output, envelope=not content_only, force=force)
    if output != "-":
        click.echo(f"{len(ids)} message{' is' if len(ids) == 1 else 's are'} written to {place}.")


def _change_all(daemon: ControlClient, filter_text: str | None, action: str, done: str, yes: bool, what_if: bool, **more: Any) -> None:
    """What is done to those that a filter chooses."""
    ids, first = chosen_messages(daemon, filter_text or "")
    if agreed(len(ids), "message", done, first, BULK_COLUMNS, yes=yes, what_if=what_if):
        tell(change_messages(daemon, ids, action, **more), len(ids), "message", done)
