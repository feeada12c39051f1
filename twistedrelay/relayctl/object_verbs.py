"""The verbs that change objects of the configuration, the same for all kinds of them: add, set, remove, enable, disable.

The words of the commands are here; their options are the keys of the models (L{twistedrelay.relayctl.key_options}), and what they do is
L{twistedrelay.relayctl.changes}'.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import click

from twistedrelay.config.edit import KINDS
from twistedrelay.config.edit_change import wished
from twistedrelay.config.edit_request import Wish
from twistedrelay.config.keys import NAMED
from twistedrelay.config.parameters import parameters
from twistedrelay.config.usage_types import USAGE_TYPES
from twistedrelay.control.client import ControlClient
from twistedrelay.relayctl import completing
from twistedrelay.relayctl.changes import About, make
from twistedrelay.relayctl.key_options import KeyOption, key_options, range_options, wish_of
from twistedrelay.relayctl.output import what_if_option
from twistedrelay.relayctl.session import Session, pass_session

_PATHS = {"receive_connectors": "/v1/connectors", "send_connectors": "/v1/send-connectors", "accepted_domains": "/v1/domains"}

_NAMED = "NAME or SERVER\\NAME"

#: What the help of C{add} and C{set} ends with.
_EXAMPLES = {
    ("receive_connectors", "add"): """
  relayctl connector add IP_Relay --bindings 0.0.0.0:25 \\
      --remote-ip-ranges 192.168.1.55 --permission-groups AnonymousUsers
""",
    ("receive_connectors", "set"): """
  relayctl connector set IP_Relay --max-message-size 50MB
  relayctl connector set IP_Relay --add-remote-ip-ranges 10.7.0.0/28 \\
      --owner "scanners, building B" --expires 2027-06-30
""",
    ("send_connectors", "add"): """
  relayctl send-connector add Provider --address-spaces "*" \\
      --smart-hosts smtp.provider.example:587 --require-tls true
""",
    ("send_connectors", "set"): """
  relayctl send-connector set Provider --max-outbound-connections 5
""",
    ("accepted_domains", "add"): """
  relayctl domain add akkaya.local --next-hop mailbox.akkaya.local:25
""",
    ("accepted_domains", "set"): """
  relayctl domain set akkaya.local --recipients-call-ahead true
""",
}


def add_verbs(group: click.Group, section: str, cmdlet: str) -> None:
    """Give a group the verbs that change its objects.

    @param cmdlet: what Exchange calls them: C{"ReceiveConnector"}.
    """
    kind = KINDS[section]
    article = "an" if kind[0] in "aeiou" else "a"
    _add(group, section, f"Make a new {kind} NAME (New-{cmdlet}).")
    _set(group, section, f"Change {article} {kind}, named {_NAMED} (Set-{cmdlet}).")
    _plain(group, section, "remove", f"Remove {article} {kind} (Remove-{cmdlet}).", {})
    if section != "accepted_domains":
        _plain(group, section, "enable", f"Let {article} {kind} take part (Set-{cmdlet} -Enabled $true).", {"enabled": "true"})
        _plain(group, section, "disable", f"Let {article} {kind} take part no more (Set-{cmdlet} -Enabled $false).", {"enabled": "false"})


def _add(group: click.Group, section: str, words: str) -> None:
    def add(context: click.Context, session: Session, name: str, what_if: bool, **given: Any) -> None:
        usage = given.get("usage") or ""
        wish = wish_of(context, section, name, "add", usage=usage)
        if usage and (missing := [key for key in USAGE_TYPES[usage].needs if key not in wish.set]):
            options = " and ".join(f"--{key.replace('_', '-')}" for key in missing)
            raise click.UsageError(f"Give {options}: a connector of the usage type {usage} needs that.")
        _make(session, wish, what_if)

    command = _command(add, section, "add", words)
    if section == "receive_connectors":
        usages = click.Choice(list(USAGE_TYPES), case_sensitive=False)
        help = "What it is for: fills in what New-ReceiveConnector -Usage does, and needs what that needs.  [default: Custom]"
        command = click.option("--usage", type=usages, default="Custom", help=help)(command)
        command = range_options(command)
    group.add_command(key_options(section, ["set"])(command))


def _set(group: click.Group, section: str, words: str) -> None:
    def change(context: click.Context, session: Session, name: str, what_if: bool, unset: tuple[str, ...], **given: Any) -> None:
        _make(session, wish_of(context, section, name, "set", unset=unset), what_if)

    command = _command(change, section, "set", words)
    command = click.option("--unset", metavar="KEY", multiple=True, help="Leave a parameter to its default.")(command)
    if section == "receive_connectors":
        command = range_options(command)
    group.add_command(key_options(section, ["set", "add", "remove"])(command))


def _plain(group: click.Group, section: str, verb: str, words: str, values: Mapping[str, str]) -> None:
    def change(context: click.Context, session: Session, name: str, what_if: bool) -> None:
        _make(session, Wish(section, name, "set" if values else "remove", values), what_if)

    group.add_command(_command(change, section, verb, words))


def _command(function: Any, section: str, verb: str, words: str) -> click.Command:
    """A command with a name to act on and C{--what-if}."""
    function.__doc__ = words
    if example := _EXAMPLES.get((section, verb)):
        words += f"\n\n{KeyOption.VALUES}  The manual tells what each is for.\n\n\b{example}"
    wrapped = click.pass_context(lambda context, *arguments, **given: context.invoke(pass_session(_ordered(function)), *arguments, **given))
    known = None if verb == "add" else completing.OBJECTS[section]
    command: click.Command = click.command(verb, help=words)(what_if_option(click.argument("name", shell_complete=known)(wrapped)))
    return command


def _ordered(function: Any) -> Any:
    """The same with the session before the context, as click hands them over."""
    return lambda session, **given: function(click.get_current_context(), session, **given)


def _make(session: Session, wish: Wish, what_if: bool) -> None:
    base = _PATHS[wish.section]
    path = f"{base}/{quote(wish.name, safe='')}"

    def ask(client: ControlClient, query: Mapping[str, str]) -> Any:
        if wish.action == "remove":
            return client.delete(path, query)
        if wish.action == "add":
            body = {"name": wish.name, "set": _nested(wish.section, wish.set)}
            return client.post(base, {**body, "usage": wish.usage} if wish.usage else body, query)
        parts: dict[str, Any] = {"set": _nested(wish.section, wish.set), "add": wish.add, "remove": wish.remove, "unset": list(wish.unset)}
        return client.patch(path, {key: value for key, value in parts.items() if value}, query)

    make(session, ask, lambda file: wished(file, wish), About(wish.section, wish.name), what_if)


def _nested(section: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by the names of their parameters as the API takes them: those of objects in the object below their key."""
    switches = {parameter.name for parameter in parameters(NAMED[section]) if parameter.kind == "switch"}
    found: dict[str, Any] = {}
    for name, value in values.items():
        *above, key = name.split(".")
        holder = found
        for step in above:
            holder = holder.setdefault(step, {})
        holder[key] = {"true": True, "false": False}.get(value, value) if name in switches else value
    return found
