"""C{relayctl queue}."""

from __future__ import annotations

import click

from twistedrelay.answers.queues import NO_WAY_OUT
from twistedrelay.config.units import DURATIONS, duration
from twistedrelay.relayctl import completing
from twistedrelay.relayctl.output import format_options, print_rows, what_if_option
from twistedrelay.relayctl.session import Failure, Session, pass_session
from twistedrelay.relayctl.watching import watch_option

COLUMNS = ("identity", "delivery_type", "status", "message_count", "next_hop_domain", "next_retry_time", "last_error")


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


@click.group("queue")
def command() -> None:
    """Queues: the messages for each next hop."""


@command.command("list")
@watch_option
@format_options
@pass_session
def list_queues(session: Session, style: str | None) -> None:
    """List the queues, one per next hop that had mail lately (Get-Queue)."""
    with session.daemon() as daemon:
        print_rows(daemon.queues(), COLUMNS, style)


@command.command("suspend")
@click.argument("identity", shell_complete=completing.queues)
@click.option("--reason", metavar="TEXT", default="", help="Why; lists show it.")
@click.option("--for", "seconds", type=Span(), default=None, help="It ends by itself after this time (30m, 2h, 1d).")
@what_if_option
@pass_session
def suspend(session: Session, identity: str, reason: str, seconds: int | None, what_if: bool) -> None:
    """Send nothing more from a queue; it goes on taking mail (Suspend-Queue)."""
    with session.daemon() as daemon:
        if what_if:
            _exists(daemon.queues(), identity)
            click.echo(f"What if: the queue {identity} would be suspended.")
            return
        until = daemon.suspend_queue(identity, reason, seconds or 0)["suspended_until"]
    click.echo(f"The queue {identity} is suspended {f'until {until}' if until else 'until it is resumed'}; what is being sent ends.")


@command.command("resume")
@click.argument("identity", shell_complete=completing.queues)
@what_if_option
@pass_session
def resume(session: Session, identity: str, what_if: bool) -> None:
    """Let a suspended queue go on (Resume-Queue)."""
    with session.daemon() as daemon:
        if what_if:
            _exists(daemon.queues(), identity)
            click.echo(f"What if: the queue {identity} would go on.")
            return
        daemon.resume_queue(identity)
    click.echo(f"The queue {identity} goes on.")


@command.command("retry")
@click.argument("identity", shell_complete=completing.queues)
@what_if_option
@pass_session
def retry(session: Session, identity: str, what_if: bool) -> None:
    """Try the next hop of a queue now that waits for its next attempt (Retry-Queue)."""
    with session.daemon() as daemon:
        if what_if:
            _exists(daemon.queues(), identity)
            click.echo(f"What if: the next hop of the queue {identity} would be tried now.")
            return
        daemon.retry_queue(identity)
    click.echo(f"The next hop of the queue {identity} is tried now.")


def _exists(queues: list[dict[str, object]], identity: str) -> None:
    """As the daemon would refuse."""
    name = identity.rpartition("\\")[2]
    if name in NO_WAY_OUT:
        raise Failure(NO_WAY_OUT[name])
    if not any(identity in (queue["identity"], str(queue["identity"]).partition("\\")[2]) for queue in queues):
        raise Failure(f"There is no queue {identity}; `relayctl queue list` shows them.")
