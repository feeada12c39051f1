"""Changes of many objects that a filter chooses: what would be done, whether it is meant, how far it is.

What is changed is what was listed when it was agreed to: objects that begin to fit meanwhile stay as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from twistedrelay.control.client import ControlClient
from twistedrelay.relayctl import completing
from twistedrelay.relayctl.filters import not_empty
from twistedrelay.relayctl.identities import messages
from twistedrelay.relayctl.output import Row, print_rows, what_if_option
from twistedrelay.relayctl.session import Failure

BATCH = 200  #: messages changed by one request
LISTED = 20  #: objects shown before a change
COLUMNS = ("identity", "from_address", "recipients", "status", "size", "date_received")
SPARE = ("delivery_type", "next_hop_domain", "date_received", "size")  #: of queues and messages

Command = TypeVar("Command", bound=Callable[..., Any])


def selection(command: Command) -> Command:
    """C{[IDENTITY]}, C{--filter}, C{--yes} and C{--what-if}."""
    command = what_if_option(command)
    command = click.option("--yes", is_flag=True, help="Do not ask; needed with --filter where there is no terminal.")(command)
    command = click.option(
        "--filter", "filter_text", metavar="FILTER", callback=not_empty, help="All that fit, such as \"Status -eq 'Retry'\"."
    )(command)
    return click.argument("identity", required=False, shell_complete=completing.identities)(command)


def need_one(identity: str | None, filter_text: str | None) -> None:
    """Either of them."""
    if (identity is None) == (filter_text is None):
        raise click.UsageError("Give either an IDENTITY or --filter.")


def chosen_messages(daemon: ControlClient, text: str) -> tuple[list[int], list[Row]]:
    """The ids of the messages that fit, and the first of them whole."""
    ids: list[int] = []
    first: list[Row] = []
    for row in messages(daemon, text):
        ids.append(row["id"])
        if len(first) < LISTED:
            first.append(row)
    return ids, first


def agreed(count: int, kind: str, done: str, first: Sequence[Row], columns: Sequence[str], *, yes: bool, what_if: bool) -> bool:
    """Whether to go on; says what would be done, or asks.

    @param kind: what they are, one of them: C{message}.
    @param done: what is done to them: C{suspended}.
    """
    what = f"{count} {kind}{'' if count == 1 else 's'}"
    if not count:
        click.echo(f"No {kind} fits.")
        return False
    if what_if or not yes:
        print_rows(first, columns, None, [column for column in SPARE if column in columns])
        if count > len(first):
            click.echo(f"… and {count - len(first)} more.")
    if what_if:
        click.echo(f"What if: {what} would be {done}.")
        return False
    if yes:
        return True
    if not sys.stdin.isatty():
        raise click.UsageError(f"{what} would be {done}: say --yes to do it, or --what-if to see them.")
    return click.confirm(f"{what} will be {done}. Go on?", err=True)


def change_messages(daemon: ControlClient, ids: Sequence[int], action: str, **more: Any) -> int:
    """Do it, in batches; to how many it was done.  Where it ends before its time, by Ctrl-C as well, it says how far it came."""
    changed = 0
    batch: list[int] = []
    try:
        with click.progressbar(length=len(ids), label=action, file=sys.stderr, hidden=len(ids) <= BATCH or not sys.stderr.isatty()) as bar:
            for start in range(0, len(ids), BATCH):
                batch = list(ids[start : start + BATCH])
                changed += daemon.post("/v1/messages/changes", {"action": action, "ids": batch, **more})["changed"]
                bar.update(len(batch))
    except BaseException:
        if len(ids) > 1:
            click.echo(f"It was done to {changed} of {len(ids)} messages, and perhaps to some of the next {len(batch)}.", err=True)
        raise
    return changed


def tell(changed: int, asked: int, kind: str, done: str) -> None:
    """What was done."""
    click.echo(f"{changed} {kind}{' is' if changed == 1 else 's are'} {done}.")
    if changed < asked:
        click.echo(f"{asked - changed} left the queue meanwhile, or were so before.", err=True)


def change_queues(rows: Sequence[Row], done: str, do: Callable[[str], object], columns: Sequence[str], *, yes: bool, what_if: bool) -> None:
    """Do something to each of several queues; what is refused is told, and the others are done.

    @param do: given an identity.
    """
    if not agreed(len(rows), "queue", done, rows[:LISTED], columns, yes=yes, what_if=what_if):
        return
    from twistedrelay.control.client import Refused

    failed = 0
    with click.progressbar(length=len(rows), label="queues", file=sys.stderr, hidden=len(rows) <= LISTED or not sys.stderr.isatty()) as bar:
        for row in rows:
            try:
                do(row["identity"])
            except Refused as error:
                failed += 1
                click.echo(f"{row['identity']}: {error}", err=True)
            bar.update(1)
    tell(len(rows) - failed, len(rows) - failed, "queue", done)
    if failed:
        raise Failure(f"{failed} of {len(rows)} queues were refused.")
