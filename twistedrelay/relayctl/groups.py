"""Groups of verbs: their help says the whole first sentence of each, however narrow the terminal, and a wrong word which could be meant."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterable

import click


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
            verbs = _verbs_for(name, ctx.find_root().command, ())
            ctx.fail(f"No such command {name!r}.{f' Here it is: {verbs}.' if verbs else near(name, known)}")
        return super().resolve_command(ctx, args)


def near(name: str, known: Iterable[str]) -> str:
    """Which words could be meant by one that is none."""
    found = difflib.get_close_matches(name, known)
    return f" Did you mean {' or '.join(found)}?" if found else ""


def _verbs_for(cmdlet: str, command: click.Command, path: tuple[str, ...]) -> str:
    """What is done here by a cmdlet of Exchange, since the helps of the verbs name theirs; nothing for any other word."""
    if not re.fullmatch(r"[A-Za-z]+-[A-Za-z]+", cmdlet):
        return ""
    if isinstance(command, click.Group):
        context = click.Context(command)
        below = ((name, command.get_command(context, name)) for name in command.list_commands(context))
        return " or ".join(found for name, each in below if each and (found := _verbs_for(cmdlet, each, (*path, name))))
    named = re.search(rf"\([^)]*\b{cmdlet}\b[^)]*\)", command.help or "", re.IGNORECASE)
    return f"`relayctl {' '.join(path)}`" if named else ""


def _first_sentence(command: click.Command) -> str:
    text = " ".join(inspect.cleandoc(command.help or "").partition("\n\n")[0].split())
    return re.split(r"(?<=[.])\s", text, maxsplit=1)[0]
