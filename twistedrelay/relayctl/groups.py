"""Groups of verbs: their help says the whole first sentence of each, however narrow the terminal, and a wrong word which could be meant."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterable

import click

from twistedrelay.relayctl.cmdlets import answer
from twistedrelay.relayctl.typed import typed


class Group(click.Group):
    """A verb with verbs of its own."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of them."""
        rows = [(name, _first_sentence(command)) for name in self.list_commands(ctx) if (command := self.get_command(ctx, name))]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """The one that is meant."""
        name, known = args[0], self.list_commands(ctx)
        if name not in known and not name.startswith("-"):
            here = answer(name, ctx.find_root().command)
            ctx.fail(typed(f"No such command {name!r}.{f' Here it is: {here}.' if here else near(name, known)}"))
        return super().resolve_command(ctx, args)


def near(name: str, known: Iterable[str]) -> str:
    """Which words could be meant by one that is none."""
    found = difflib.get_close_matches(name, known)
    return f" Did you mean {' or '.join(found)}?" if found else ""


def _first_sentence(command: click.Command) -> str:
    text = " ".join(inspect.cleandoc(command.help or "").partition("\n\n")[0].split())
    return re.split(r"(?<=[.])\s", text, maxsplit=1)[0]
