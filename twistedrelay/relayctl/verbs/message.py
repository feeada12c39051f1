"""C{relayctl message}."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import click

from twistedrelay.control.client import ControlClient
from twistedrelay.relayctl import completing
from twistedrelay.relayctl.output import Row, format_options, print_json, print_properties, print_rows, what_if_option
from twistedrelay.relayctl.session import Session, pass_session
from twistedrelay.relayctl.watching import watch_option

COLUMNS = ("identity", "from_address", "recipients", "status", "size", "date_received", "last_error")
RECIPIENT_COLUMNS = ("address", "status", "attempts", "next_retry_time", "last_remote", "last_error")


class MessageId(click.ParamType[int]):
    """C{42}, or C{SERVER\\42} as lists show it."""

    name = "id"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number."""
        digits = str(value).rpartition("\\")[2]
        if not (digits.isascii() and digits.isdigit() and 0 < len(digits) <= 19):
            self.fail(f"{value!r} is no message id; `relayctl message list` shows them.", param, ctx)
        return int(digits)


@click.group("message")
def command() -> None:
    """Messages in the queue."""


def _matching(daemon: ControlClient, sender: str, recipient: str) -> Iterator[Row]:
    for message in daemon.messages():
        if sender and sender not in message["from_address"].lower():
            continue
        if recipient and not any(recipient in address.lower() for address in _addresses(daemon, message)):
            continue
        yield message


def _addresses(daemon: ControlClient, message: Row) -> list[str]:
    """All recipients of a message: a list names only the first."""
    if message["recipient_count"] == len(message["recipients"]):
        return list(message["recipients"])
    return [of["address"] for of in daemon.message(message["id"])["recipient_info"]]


@command.command("list")
@watch_option
@click.option("--from", "sender", metavar="TEXT", default="", help="Only with this text in the sender's address.")
@click.option("--to", "recipient", metavar="TEXT", default="", help="Only with this text in a recipient's address.")
@click.option("--limit", type=click.IntRange(min=1), default=1000, show_default=True, help="Show at most so many.")
@format_options
@pass_session
def list_messages(session: Session, sender: str, recipient: str, limit: int, style: str | None) -> None:
    """List the messages in the queue, the oldest first (Get-Message)."""
    with session.daemon() as daemon:
        found = list(itertools.islice(_matching(daemon, sender.lower(), recipient.lower()), limit + 1))
    print_rows(found[:limit], COLUMNS, style)
    if len(found) > limit:
        click.echo(f"There are more than {limit}; see more with --limit.", err=True)


@command.command("show")
@click.argument("id", type=MessageId(), shell_complete=completing.messages)
@format_options
@pass_session
def show(session: Session, id: int, style: str | None) -> None:
    """Show a message with its recipients, their states and last errors."""
    with session.daemon() as daemon:
        message = daemon.message(id)
    if style == "json":
        print_json([message])
        return
    recipients = message.pop("recipient_info")
    if style == "csv":
        print_rows(recipients, RECIPIENT_COLUMNS, style)
        return
    print_properties(message, style)
    click.echo()
    print_rows(recipients, RECIPIENT_COLUMNS, style)


@command.command("remove")
@click.argument("id", type=MessageId(), shell_complete=completing.messages)
@click.option("--without-ndr", is_flag=True, help="Do not tell the sender.")
@what_if_option
@pass_session
def remove(session: Session, id: int, without_ndr: bool, what_if: bool) -> None:
    """Remove a message from the queue; its sender gets a report (Remove-Message)."""
    told = "its sender is not told" if without_ndr else "its sender is told"
    with session.daemon() as daemon:
        if what_if:
            message = daemon.message(id)
            click.echo(f"What if: message {id} from {message['from_address']} would be removed; {told}.")
            return
        daemon.remove(id, not without_ndr)
    click.echo(f"Message {id} is removed; {told}.")


@command.command("suspend")
@click.argument("id", type=MessageId(), shell_complete=completing.messages)
@what_if_option
@pass_session
def suspend(session: Session, id: int, what_if: bool) -> None:
    """Do not send a message until it is resumed; a transaction in progress ends first (Suspend-Message)."""
    with session.daemon() as daemon:
        if what_if:
            click.echo(f"What if: message {id} from {daemon.message(id)['from_address']} would be suspended.")
            return
        daemon.suspend_message(id)
    click.echo(f"Message {id} is suspended.")


@command.command("resume")
@click.argument("id", type=MessageId(), shell_complete=completing.messages)
@what_if_option
@pass_session
def resume(session: Session, id: int, what_if: bool) -> None:
    """Let a suspended or poison message go on, at once (Resume-Message)."""
    with session.daemon() as daemon:
        if what_if:
            click.echo(f"What if: message {id} from {daemon.message(id)['from_address']} would go on.")
            return
        daemon.resume_message(id)
    click.echo(f"Message {id} goes on.")
