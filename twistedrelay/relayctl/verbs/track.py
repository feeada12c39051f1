"""C{relayctl track}."""

from __future__ import annotations

import datetime
import itertools
import math
import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import IO, Any
from urllib.parse import quote

import click

from twistedrelay.answers.tracking import NUMBERS, page_from_files, query_of, story_from_files
from twistedrelay.answers.tracking_log import heading, lines
from twistedrelay.relayctl import completing
from twistedrelay.relayctl.exporting import NewFiles, force_option
from twistedrelay.relayctl.filters import given_filters
from twistedrelay.relayctl.moments import When
from twistedrelay.relayctl.output import format_options, print_rows
from twistedrelay.relayctl.session import Failure, Session, pass_session
from twistedrelay.relayctl.timeline import timeline
from twistedrelay.values.printable import escape

COLUMNS = ("timestamp", "event_id", "internal_message_id", "sender", "recipients", "connector_id", "recipient_status", "message_subject")
SPARE = ("message_subject", "connector_id")

#: Events asked for at a time.
PAGE = 1000

#: A log file of an export to a directory is not longer than Exchange's.
MAX_LOG = 10 * 1024 * 1024

Event = dict[str, Any]


class Limit(click.ParamType[float]):
    """How many: a number, or C{unlimited}."""

    name = "number"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Infinity for C{unlimited}."""
        text = str(value).lower()
        if text == "unlimited":
            return math.inf
        if not (text.isascii() and text.isdigit() and int(text[:12]) > 0 and len(text) <= 12):
            self.fail(f"{value!r} is no number; write how many, or unlimited.", param, ctx)
        return int(text)


def _kinds(ctx: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> str:
    wanted = [name.upper() for text in given for name in text.split(",") if name]
    for name in wanted:
        if name not in NUMBERS:
            raise click.BadParameter(f"{name!r} is none; there are {', '.join(NUMBERS)}.", ctx, parameter)
    return ",".join(wanted)


@click.command("track")
@click.argument("message", required=False)
@click.option("--start", type=When(), help="Events of this time (UTC) or later, or so long ago: 2h, today, yesterday.")
@click.option("--end", type=When(), help="Events before this time.")
@click.option("--sender", metavar="ADDRESS", help="Of this sender, or of this domain's; <> for reports.")
@click.option("--recipient", "--recipients", metavar="ADDRESS", help="To this recipient, or to this domain's.")
@click.option("--subject", metavar="TEXT", help="With this in their subject.")
@click.option("--message-id", metavar="ID", help="With this Message-ID.")
@click.option("--id", "internal_message_id", metavar="NUMBER", help="Of this number in the queue (InternalMessageId).")
@click.option("--connector", metavar="NAME", shell_complete=completing.connectors, help="That came or went by this connector.")
@click.option("--client", metavar="RANGE", help="From this IP address, or from this range.")
@click.option("--user", metavar="NAME", help="From this login.")
@click.option("--session", "of_session", metavar="ID", help="That came by this session.")
@click.option("--event", "event_id", metavar="EVENT", multiple=True, callback=_kinds, help="Only these events, such as FAIL,DEFER.")
@click.option("--reply", metavar="TEXT", help="With this in the reply of the next hop.")
@click.option("--limit", type=Limit(), default=1000, show_default=True, help="At most so many events, or unlimited.")
@click.option("--oldest-first", is_flag=True, help="The oldest first; by default the newest.")
@click.option(
    "--export",
    metavar="FILE",
    type=click.Path(readable=False),
    help="Write them as an Exchange message tracking log, oldest first: a file, - or a directory.",
)
@force_option
@format_options
@pass_session
def command(
    session: Session,
    /,
    message: str | None,
    start: str | None,
    end: str | None,
    limit: float,
    oldest_first: bool,
    export: str | None,
    force: bool,
    style: str | None,
    of_session: str | None,
    event_id: str,
    **filters: str | None,
) -> None:
    """Find events of messages' lives (Get-MessageTrackingLog), or with a MESSAGE (its number or Message-ID) show its whole story.

    \b
      relayctl track --sender scanner@akkaya.local --start yesterday
      relayctl track --event FAIL,DEFER --start 2h --csv
      relayctl track 4711
    """
    given = given_filters({**filters, "session": of_session, "event_id": event_id or None})
    if message is not None:
        if given or start or end or export:
            raise click.UsageError("A MESSAGE has one story: filters, times and --export go without it.")
        if not message.strip():
            raise click.UsageError("MESSAGE is empty: give its number or its Message-ID.")
        _story(session, message.strip(), style)
        return
    try:
        query_of(given, 0.0, math.inf)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    span = {name: value for name, value in (("start", start), ("end", end)) if value}
    if force and export is None:
        raise click.UsageError("--force goes with --export.")
    if export is not None:
        most = math.inf if _default(limit) else limit
        _export(export, _limited(_events(session, {**given, **span}, "oldest", set()), most), force)
        return
    told: set[str] = set()
    found = list(_limited(_events(session, {**given, **span}, "oldest" if oldest_first else "newest", told), limit + 1))
    if told and not found:
        raise Failure("Nothing was found, but not everything could be read.", "Run relayctl as root or the relay's user.")
    shown = found[: len(found) if limit == math.inf else int(limit)]
    print_rows([_row(event, style) for event in shown], COLUMNS, style, SPARE, none="No event fits.")
    if len(found) > limit:
        click.echo(f"There are more than {limit}; see more with --limit, or fewer with filters.", err=True)


def _default(limit: float) -> bool:
    source = click.get_current_context().get_parameter_source("limit")
    return source is click.core.ParameterSource.DEFAULT


def _limited(events: Iterator[Event], limit: float) -> Iterator[Event]:
    return events if limit == math.inf else itertools.islice(events, int(limit))


def _row(event: Event, style: str | None) -> Event:
    """In a table, what fits: one reply for all who got it."""
    if style is not None:
        return event
    return {**event, "recipient_status": next(iter(event["recipient_status"]), "")}


def _events(session: Session, given: dict[str, str], order: str, told: set[str]) -> Iterator[Event]:
    """The events that are looked for, of the daemon or (without one) of its files.

    @param told: gets what could not be read.
    """
    times = {name: datetime.datetime.fromisoformat(given[name]).timestamp() for name in ("start", "end") if name in given}
    query = query_of(given, times.get("start", 0.0), times.get("end", math.inf))
    after = ""
    while True:
        asked = {**given, "order": order, "limit": str(PAGE), **({"after": after} if after else {})}
        page: dict[str, Any] = session.daemon_or_file(
            lambda client, asked=asked: client.get("/v1/tracking", asked),  # type: ignore[misc]
            lambda config, after=after: page_from_files(config, query, PAGE, after, order == "newest"),  # type: ignore[misc]
        )
        yield from page["events"]
        _tell(page["problems"], told)
        after = page["next"]
        if not after:
            return


def _tell(problems: list[str], told: set[str]) -> None:
    for problem in problems:
        if problem not in told:
            told.add(problem)
            click.echo(escape(problem), err=True)


def _story(session: Session, message: str, style: str | None) -> None:
    # With its brackets it is a part of a path whatever is in it.
    wanted = message if message.isdigit() or message.startswith("<") else f"<{message}>"
    page: dict[str, Any] = session.daemon_or_file(
        lambda client: client.get(f"/v1/tracking/messages/{quote(wanted, safe='')}"),
        lambda config: story_from_files(config, wanted),
    )
    _tell(page["problems"], set())
    if not page["events"]:
        raise Failure(f"Nothing is known of the message {message}.", "It is older than tracking_max_age, or see `relayctl track`.")
    if style is not None:
        print_rows(page["events"], COLUMNS, style)
        return
    for line in timeline(page["events"]):
        click.echo(line)


def _export(target: str, events: Iterator[Event], force: bool) -> None:
    if target == "-":
        _write(sys.stdout.write, events)
        return
    try:
        with NewFiles(force=force) as new:
            if os.path.isdir(target):
                count, files = _write_days(new, target, events)
            else:
                file, files = new.begin(target), 0
                count = _write(lambda text: file.write(text.encode()), events)
    except OSError as error:
        raise Failure(f"{target} cannot be written: {error.strerror}.") from error
    place = f"{files} {'file' if files == 1 else 'files'} in {target}" if files else target
    click.echo(f"{_counted(count)} in {place}.", err=True)


def _counted(count: int) -> str:
    return "1 event is" if count == 1 else f"{count} events are"


def _write(write: Callable[[str], object], events: Iterator[Event]) -> int:
    first = next(events, None)
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    write(heading(now if first is None else first["timestamp"]))
    count = 0
    rest = itertools.chain([first] if first is not None else [], events)
    while some := list(itertools.islice(rest, PAGE)):
        write(lines(some))
        count += len(some)
    return count


def _write_days(new: NewFiles, directory: str, events: Iterator[Event]) -> tuple[int, int]:
    """As Exchange has them: a file for each day, and another one when it is full."""
    count = files = 0
    day, number, size = "", 0, 0
    file: IO[bytes] | None = None
    for event in events:
        text = lines([event]).encode()
        if file is None or event["timestamp"][:10] != day or size + len(text) > MAX_LOG:
            number = number + 1 if event["timestamp"][:10] == day else 1
            day = event["timestamp"][:10]
            name = f"MSGTRK{day.replace('-', '')}"
            if number == 1:  # whoever reads the directory adds up all that it has of a day
                new.replace(os.path.join(directory, each) for each in os.listdir(directory) if re.fullmatch(rf"{name}-\d+\.LOG", each))
            file = new.begin(os.path.join(directory, f"{name}-{number}.LOG"))
            begin = heading(event["timestamp"]).encode()
            file.write(begin)
            size, files = len(begin), files + 1
        file.write(text)
        size += len(text)
        count += 1
    return count, files
