"""C{--watch}: a list that is shown again and again.

On a terminal each look takes the place of the one before, as much of it as fits; elsewhere they follow each other, with an empty line
between.  Ends by Ctrl-C.
"""

from __future__ import annotations

import contextlib
import functools
import io
import shutil
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

import click

from twistedrelay.relayctl.session import DaemonNeeded

Command = TypeVar("Command", bound=Callable[..., Any])

_HOME_AND_CLEAR = "\x1b[H\x1b[J"

#: Seconds between two looks where none are given.
INTERVAL = "2"


class _Terminal(io.StringIO):
    """What is written, kept until it is whole; it is for a terminal."""

    def isatty(self) -> bool:
        """It is."""
        return True


def watch_option(command: Command) -> Command:
    """C{--watch [SECONDS]}, for a command that shows something."""

    @functools.wraps(command)
    def watched(*arguments: Any, watch: float | None, **options: Any) -> None:
        if watch is None:
            command(*arguments, **options)
            return
        look = functools.partial(command, *arguments, **options)
        with contextlib.suppress(KeyboardInterrupt):
            _repeat(look, watch)

    option = click.option(
        "--watch",
        type=click.FloatRange(0.1, 86400.0),
        is_flag=False,
        flag_value=INTERVAL,
        metavar="[SECONDS]",
        help=f"Show it again and again, every {INTERVAL} seconds or as often as said, until Ctrl-C.",
    )
    return option(watched)  # type: ignore[return-value]


def _repeat(look: Callable[[], None], seconds: float) -> None:
    seen = False
    while True:
        if sys.stdout.isatty():
            screen = _Terminal()
            with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(screen):
                _look(look, seen)
            heading = f"{time.strftime('%H:%M:%S')}, every {seconds:g} s; Ctrl-C ends it"
            sys.stdout.write(_HOME_AND_CLEAR)  # which is no colour
            click.echo(f"{heading}\n\n{_fitting(screen.getvalue())}", nl=False)
        else:
            if seen:
                click.echo()
            _look(look, seen)
        seen = True
        time.sleep(seconds)


def _fitting(text: str) -> str:
    """As much as fits the screen below the heading."""
    lines, room = text.splitlines(keepends=True), max(shutil.get_terminal_size().lines - 4, 1)
    if len(lines) <= room + 1:
        return text
    return f"{''.join(lines[:room])}… and {len(lines) - room} more lines\n"


def _look(look: Callable[[], None], seen: bool) -> None:
    """Once; a daemon that is away for a moment, once it was there, ends nothing."""
    try:
        look()
    except DaemonNeeded as error:
        if not seen:
            raise
        click.echo(error.format_message())
