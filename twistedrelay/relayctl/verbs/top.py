"""C{relayctl top}."""

from __future__ import annotations

import contextlib
import select
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from twistedrelay.control.client import ControlClient, NoDaemon, Refused
from twistedrelay.relayctl.names import pascal, shown
from twistedrelay.relayctl.output import print_rows
from twistedrelay.relayctl.session import Session, pass_session
from twistedrelay.relayctl.tables import GAP, shared_out, width_of
from twistedrelay.values.printable import escape

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType

QUEUES = ("identity", "status", "message_count", "incoming_rate", "outgoing_rate", "last_error")
SESSIONS = ("session", "connector", "peer", "helo", "user", "tls", "messages", "state")

#: Those that a narrow terminal does without, in this order, and what others have at least.
SPARE = ("incoming_rate", "tls", "user", "messages", "helo", "outgoing_rate", "last_error")
WIDTHS = {"identity": 24, "last_error": 16, "connector": 16, "peer": 21, "helo": 16, "user": 16}

#: What is counted and shown as a rate.
_RATES = ("sessions", "received", "recipients_delivered", "recipients_deferred", "recipients_failed", "commands_refused")

Row = dict[str, Any]


class _Look:
    """One look at the relay."""

    def __init__(self, daemon: ControlClient, before: _Look | None = None) -> None:
        self.at = time.monotonic()
        self.status: Row = daemon.status()
        self.queues: list[Row] = sorted(daemon.queues(), key=lambda row: -int(row["message_count"]))
        self.sessions: list[Row] = daemon.get("/v1/sessions")
        self._before = None if before is None else (before.at, before.status["totals"])  # not the look itself, which knows another one

    @property
    def summary(self) -> str:
        """The relay in two lines."""
        status = self.status
        spool = "" if status["spool_healthy"] else "  THE SPOOL IS SICK"
        first = (
            f"{status['server']} {status['version']}  up {_span(status['uptime_seconds'])}  sessions {status['sessions']}  "
            f"messages {status['message_count']}  queues {status['queue_count']}{spool}"
        )
        return first + "\n" + "  ".join(self._counted(name) for name in _RATES)

    def _counted(self, name: str) -> str:
        total = self.status["totals"][name]
        words = "sessions begun" if name == "sessions" else name.removeprefix("recipients_").replace("_", " ")
        if self._before is None or self.at <= self._before[0]:
            return f"{words} {total}"
        at, totals = self._before
        rate = max(0, total - totals[name]) / (self.at - at)
        return f"{words} {total} ({rate:.1f}/s)"


def _span(seconds: int) -> str:
    days, rest = divmod(seconds, 86400)
    text = f"{rest // 3600}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days} d {text}" if days else text


@click.command("top")
@click.option("--interval", type=click.FloatRange(0.2, 3600.0), default=2.0, show_default=True, help="Seconds between two looks.")
@pass_session
def command(session: Session, interval: float) -> None:
    """Watch queues and sessions, the fullest queues first.  Ends by q or Ctrl-C; off a terminal it looks once."""
    with session.daemon() as daemon:
        look = _Look(daemon)
        if not sys.stdout.isatty():
            click.echo(look.summary + "\n")
            print_rows(look.queues, QUEUES, None)
            click.echo()
            print_rows(look.sessions, SESSIONS, None)
            return
        with contextlib.suppress(KeyboardInterrupt):
            _live(daemon, look, interval)


def _live(daemon: ControlClient, look: _Look, interval: float) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with _keys(), Live(_Drawn(look), console=Console(highlight=False), screen=True, auto_refresh=False) as live:
        while not _quit_within(interval):
            try:
                look = _Look(daemon, look)
            except (NoDaemon, Refused) as error:  # for a moment, perhaps: it was there
                live.update(Text(escape(str(error)), style="bold red"), refresh=True)
                continue
            live.update(_Drawn(look), refresh=True)


class _Drawn:
    """A look, as much of it as there is room for."""

    def __init__(self, look: _Look) -> None:
        self._look = look

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        from rich.text import Text

        look = self._look
        summary = Text(look.summary, style="" if look.status["spool_healthy"] else "bold red")
        left = console.size.height - len(summary.wrap(console, options.max_width)) - 4  # two titles, two empty lines
        of_queues = max(left // 2, left - len(look.sessions))
        yield summary
        yield ""
        yield _table(look.queues, QUEUES, options.max_width, of_queues)
        yield ""
        yield _table(look.sessions, SESSIONS, options.max_width, left - min(of_queues, len(look.queues)))


def _table(rows: list[Row], columns: tuple[str, ...], width: int, height: int) -> RenderableType:
    """The first rows, a line for each; the last line says where there are more."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    first = rows[: height if len(rows) <= height else max(height - 1, 0)]
    cells = {column: [_cell(column, row) for row in first] for column in columns}
    wanted = {column: max(map(width_of, (pascal(column), *texts))) for column, texts in cells.items()}
    needed = {column: max(len(pascal(column)), min(most, WIDTHS.get(column, most))) for column, most in wanted.items()}
    for column in SPARE:
        if sum(needed.values()) + GAP * (len(needed) - 1) > width:
            needed.pop(column, None)
    if (over := sum(needed.values()) + GAP * (len(needed) - 1) - width) > 0:
        widest = max(needed, key=needed.__getitem__)
        needed[widest] = max(len(pascal(widest)), needed[widest] - over)
    widths = shared_out(list(needed.values()), [wanted[column] for column in needed], width - GAP * (len(needed) - 1))
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for column, of_column in zip(needed, widths, strict=True):
        table.add_column(pascal(column), no_wrap=True, overflow="ellipsis", width=of_column)
    for place, row in enumerate(first):
        style = {"Retry": "yellow", "Suspended": "cyan"}.get(str(row.get("status")), "")
        table.add_row(*(Text(cells[column][place]) for column in needed), style=style)
    return Group(table, Text(f"… and {len(rows) - len(first)} more", style="dim")) if len(first) < len(rows) else table


def _cell(column: str, row: Row) -> str:
    """A value; the server's name stands in the first line already."""
    value = row.get(column)
    return shown(column, value.partition("\\")[2] if column == "identity" and isinstance(value, str) else value)


@contextlib.contextmanager
def _keys() -> Iterator[None]:
    """Keys come one by one, and are not shown."""
    if not sys.stdin.isatty():
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _quit_within(seconds: float) -> bool:
    """Wait; whether q was pressed."""
    if not sys.stdin.isatty():
        time.sleep(seconds)
        return False
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if select.select([sys.stdin], [], [], left)[0] and sys.stdin.read(1) in ("q", "Q", "\x04", ""):
            return True
    return False
