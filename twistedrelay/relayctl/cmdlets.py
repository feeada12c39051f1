"""What does here what a cmdlet of Exchange does: a verb whose help names it, or keys of the configuration.

It decides nothing about what a verb is: the helps say that.  Here are the cmdlets that have no verb.

Source: Exchange Server, cmdlet reference; docs/exchange.rst says the same at length.
"""

from __future__ import annotations

import re

import click

_TRANSPORT = "the keys of `transport` in the configuration, then `relayctl reload`"

#: Cmdlets without a verb of their own, in lower case.
_OTHERS = {
    "set-recipientfilterconfig": "the `recipients` of an accepted domain, as by `relayctl domain set`",
    "get-recipientfilterconfig": "the `recipients` of an accepted domain, as by `relayctl domain show`",
    "set-transportservice": _TRANSPORT,
    "set-transportconfig": _TRANSPORT,
    "set-frontendtransportservice": _TRANSPORT,
    "get-transportservice": _TRANSPORT,
    "get-transportconfig": _TRANSPORT,
    "get-frontendtransportservice": _TRANSPORT,
    "new-systemmessage": "`system_messages` in the configuration, then `relayctl reload`",
    "set-systemmessage": "`system_messages` in the configuration, then `relayctl reload`",
    "get-systemmessage": "`system_messages` in the configuration",
    "new-addressrewriteentry": "the `sender_rewrite` of a send connector in the configuration, then `relayctl reload`",
    "set-addressrewriteentry": "the `sender_rewrite` of a send connector in the configuration, then `relayctl reload`",
    "get-addressrewriteentry": "the `sender_rewrite` of a send connector, as by `relayctl send-connector show`",
    "enable-exchangecertificate": "the `tls_certificate_name` of a connector, as by `relayctl connector set`",
    "new-mailbox": "`relayctl user add`, for a device to log in with",
}


def answer(cmdlet: str, root: click.Command) -> str:
    """What does it here; nothing for a cmdlet that nothing does, and for any other word."""
    if not re.fullmatch(r"[A-Za-z]+-[A-Za-z]+", cmdlet):
        return ""
    return _verbs_for(cmdlet, root, ()) or _OTHERS.get(cmdlet.lower(), "")


def _verbs_for(cmdlet: str, command: click.Command, path: tuple[str, ...]) -> str:
    """The verbs whose helps name it."""
    named = re.search(rf"\([^)]*\b{cmdlet}\b[^)]*\)", command.help or "", re.IGNORECASE)
    if path and named:
        return f"`relayctl {' '.join(path)}`"
    if not isinstance(command, click.Group):
        return ""
    context = click.Context(command)
    below = ((name, command.get_command(context, name)) for name in command.list_commands(context))
    return " or ".join(found for name, each in below if each and (found := _verbs_for(cmdlet, each, (*path, name))))
