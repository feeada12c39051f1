"""The keys of the configuration's models as options of commands.

Nothing is listed here: a key of a model is an option by itself, C{--max-message-size} of C{max_message_size}.  A list has C{--add-…} and
C{--remove-…}, too, which leave its other items alone (C{@{Add=…}} in the Management Shell).  Files are named from where relayctl runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from twistedrelay.config.edit_request import Wish
from twistedrelay.config.keys import NAMED, snake_case
from twistedrelay.config.parameters import Parameter, parameters, read_item_names, read_texts
from twistedrelay.config.translate import wrong_word
from twistedrelay.relayctl.names import pascal

_Command = TypeVar("_Command", bound=Callable[..., Any])

_HOLDERS = ("maildir:", "lmtp:unix:")  #: next hops that hold a path
_FILES = frozenset({"recipients.file", "recipients.ldap"})
_CHANGES = {"add": "Add to", "remove": "Take out of"}


class KeyOption(click.Option):
    """An option that was made from a key.

    @ivar mode: C{"set"}, C{"add"} or C{"remove"}.
    """

    #: Of the help of a command that has these.
    VALUES = "A DURATION is 5s, 10m, 1h or 2d, a SIZE is 64KB, 36MB or a number of octets (1 KB = 1024)."

    def __init__(self, parameter: Parameter, mode: str, *, new: bool) -> None:
        self.parameter = parameter
        self.mode = mode
        option = parameter.option if mode == "set" else f"--{mode}-{parameter.option[2:]}"
        many = parameter.kind in ("list", "mapping")
        words = _help(parameter, new=new) if mode == "set" else f"{_CHANGES[mode]} {pascal(parameter.path[0])}."
        super().__init__([option, f"{mode}_{'_'.join(parameter.path)}"], multiple=many, metavar=_metavar(parameter, mode), help=words)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Words that are allowed, of a list behind its last comma; names of files."""
        if _is_file(self.parameter):
            return [CompletionItem(incomplete, type="file")]
        begun = incomplete.rpartition(",")[2] if self.parameter.kind == "list" else incomplete
        there = incomplete[: len(incomplete) - len(begun)]
        return [CompletionItem(there + word) for word in self.parameter.choices if word.lower().startswith(begun.lower())]


def _metavar(parameter: Parameter, mode: str) -> str:
    if parameter.kind == "mapping":
        return "NAME[=A,B,…]" if mode == "remove" else "NAME=A,B,…" if parameter.of_lists else "NAME=VALUE"
    if parameter.kind == "list":
        return "A,B,…"
    return (
        f"[{'|'.join(parameter.choices)}]"
        if parameter.choices
        else parameter.unit.upper().replace(" OR UNLIMITED", "|unlimited") or "VALUE"
    )


def _help(parameter: Parameter, *, new: bool) -> str:
    words = f"; allowed: {', '.join(parameter.choices)}" if parameter.kind == "list" and parameter.choices else ""
    needed = "; required" if new and parameter.required and len(parameter.path) == 1 else ""
    default = f"  [default: {parameter.default_text}]" if parameter.default_text else ""
    return f"{'.'.join(map(pascal, parameter.path))}{words}{needed}.{default}"


def key_options(section: str, modes: Iterable[str]) -> Callable[[_Command], _Command]:
    """An option for each key of a section's model.

    @param modes: of C{"set"}, C{"add"} and C{"remove"}; only the first where a new object is made.
    """
    modes = list(modes)
    new = modes == ["set"] and section != "receive_connectors"  # of those, --usage says what is needed
    options = [
        KeyOption(parameter, mode, new=new)
        for parameter in parameters(NAMED[section])
        for mode in modes
        if mode == "set" or (parameter.kind in ("list", "mapping") and len(parameter.path) == 1)
    ]

    def add(command: _Command) -> _Command:
        assert isinstance(command, click.Command)
        command.params.extend(options)
        return command

    return add


def range_options(command: _Command) -> _Command:
    """C{--owner} and C{--expires} of the ranges that are given."""
    command = click.option("--expires", metavar="DAY", help="The last day the given ranges are good for, as 2027-06-30.")(command)
    return click.option("--owner", metavar="TEXT", help="Who the given ranges belong to.")(command)


def wish_of(context: click.Context, section: str, name: str, action: str, *, unset: Iterable[str] = (), usage: str = "") -> Wish:
    """What the options of a command wish for.

    @raise click.UsageError: a value cannot be read.
    """
    found: dict[str, dict[str, Any]] = {"set": {}, "add": {}, "remove": {}}
    for option in context.command.params:
        given = context.params.get(option.name or "") if isinstance(option, KeyOption) else None
        if not isinstance(option, KeyOption) or given is None or given == ():
            continue
        texts = [_rooted(option.parameter, text) for text in ([given] if isinstance(given, str) else given)]
        try:
            read = read_item_names if option.mode == "remove" else read_texts
            found[option.mode][option.parameter.name] = value = read(option.parameter, texts)
            if option.parameter.kind in ("choice", "switch") and value not in option.parameter.choices:
                raise ValueError(wrong_word(value, option.parameter.choices, option.parameter.path))
        except ValueError as error:
            raise click.BadParameter(str(error), context, option) from None
    _describe(found, context.params)
    return Wish(section, name, action, found["set"], found["add"], found["remove"], [_key(section, each) for each in unset], usage)


def _describe(found: Mapping[str, dict[str, Any]], given: Mapping[str, Any]) -> None:
    """Give the ranges of a command their owner and last day."""
    facts = {key: given[key] for key in ("owner", "expires") if given.get(key)}
    if not facts:
        return
    ranges = [items["remote_ip_ranges"] for mode, items in found.items() if mode != "remove" and "remote_ip_ranges" in items]
    if not ranges:
        raise click.UsageError("--owner and --expires are of the ranges given with --remote-ip-ranges or --add-remote-ip-ranges.")
    for items in ranges:
        items[:] = [{**({"range": item} if isinstance(item, str) else item), **facts} for item in items]


def _key(section: str, text: str) -> str:
    """A key's name from its own spelling, its option's, or Exchange's."""
    plain = snake_case(text)
    for parameter in parameters(NAMED[section]):
        if plain in ("_".join(parameter.path), parameter.name):
            return parameter.name
    return plain


def _is_file(parameter: Parameter) -> bool:
    return parameter.name.endswith("_file") or parameter.name in _FILES


def _rooted(parameter: Parameter, text: str) -> str:
    """A value that is a path, counted from where relayctl runs."""
    if text and _is_file(parameter):
        return os.path.abspath(text)
    if parameter.path[-1] in ("next_hop", "smart_hosts"):
        holder = next((each for each in _HOLDERS if text.lower().startswith(each)), None)
        return holder + os.path.abspath(text[len(holder) :]) if holder and len(text) > len(holder) else text
    return text


def option_for(section: str, path: Iterable[object]) -> str:
    """The option that sets what stands at a path below an object, nothing where no option does."""
    steps = [str(step) for step in path]
    fitting = [each for each in parameters(NAMED[section]) if list(each.path) == steps[: len(each.path)]]
    if not fitting and steps:  # an object with keys of its own
        fitting = [each for each in parameters(NAMED[section]) if each.path[0] == steps[0]]
    return fitting[0].option if fitting else ""
