"""Identities of queues and messages, as Exchange writes them, with wildcards.

A queue is C{QUEUE} or C{SERVER\\QUEUE}; a message C{ID}, C{QUEUE\\ID}, C{SERVER\\QUEUE\\ID} or C{*\\ID}, and C{QUEUE\\*} is each message
of a queue.  C{*} and C{?} are the wildcards; brackets are none, since next hops have them.  For a change an identity has to mean one
object: one that means more is an error, which names C{--filter}.

Source: Exchange Server, "Find queues and messages in queues in the Exchange Management Shell".
"""

from __future__ import annotations

import contextlib
import difflib
import itertools
import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus

import click

from twistedrelay.answers.queues import queue_name, spellings, without_server
from twistedrelay.control.client import ControlClient, Refused
from twistedrelay.relayctl.output import Row
from twistedrelay.relayctl.session import Failure
from twistedrelay.relayctl.typed import typed


def quoted(text: str) -> str:
    """A text as a filter has it."""
    return "'" + text.replace("'", "''") + "'"


def is_pattern(text: str) -> bool:
    """Whether there is a wildcard in it."""
    return "*" in text or "?" in text


def fits(pattern: str, text: str) -> bool:
    """Whether a text has the form of a pattern."""
    parts = re.split(r"([*?])", pattern)
    return re.fullmatch("".join({"*": ".*", "?": "."}.get(part, re.escape(part)) for part in parts), text, re.IGNORECASE) is not None


def one_queue(daemon: ControlClient, identity: str, server: str) -> str:
    """The queue that an identity means.  Without wildcards it is not looked for: the daemon says whether it is there."""
    name = queue_name(identity, server)
    if not is_pattern(name):
        return name
    found = [row for row in daemon.queues() if any(fits(name, each) for each in spellings(without_server(row["identity"], server)))]
    if not found:
        raise Failure(f"There is no queue {identity}.", "`relayctl queue list` shows them.")
    if len(found) > 1:
        raise Failure(f"{identity} means {len(found)} queues.", f'Use --filter "Identity -like {quoted(name)}" for several.')
    return without_server(found[0]["identity"], server)


@contextlib.contextmanager
def queues_named(daemon: ControlClient, name: str) -> Iterator[None]:
    """Where the daemon knows no queue of this name, those that could be meant are said."""
    try:
        yield
    except Refused as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        raise Failure(str(error), near_queues(name, daemon.queues())) from error


def near_queues(name: str, queues: Iterable[Row]) -> str:
    """Which queues could be meant by a name that none has."""
    names = [queue["identity"].partition("\\")[2].lower() for queue in queues]
    near = [] if name.lower() in names else difflib.get_close_matches(name.lower(), names)
    return f"Did you mean: {', '.join(near)}?" if near else ""


def _parts(identity: str, server: str) -> tuple[str, str]:
    """The queue and the rest of a message's identity."""
    queue, _, last = without_server(identity, server).rpartition("\\")
    return queue_name(queue, server), last


def one_message(daemon: ControlClient, identity: str, server: str) -> int:
    """The id of the message that an identity means."""
    queue, last = _parts(identity, server)
    if last.isascii() and last.isdigit() and 0 < len(last) <= 19:
        number = int(last)
        if queue not in ("", "*"):
            names = daemon.message(number)["queues"]
            if not any(fits(queue, each) for name in names for each in spellings(name)):
                raise Failure(f"Message {number} is in the queue {', '.join(names) or '(none)'}, not in {queue}.")
        return number
    text = message_filter(identity, server)
    found = list(itertools.islice(messages(daemon, text), 2))
    if not found:
        raise Failure(f"There is no message {identity} in the queue.", "`relayctl message list` shows them.")
    if len(found) > 1:
        raise Failure(f"{identity} means more than one message.", f'Use --filter "{text}" for several.')
    return int(found[0]["id"])


def message_filter(identity: str, server: str) -> str:
    """The filter that finds what an identity means."""
    queue, last = _parts(identity, server)
    if last.isascii() and last.isdigit() and len(last) <= 19:
        return f"Id -eq {last}" + (f" -and Queue -like {quoted(queue)}" if queue not in ("", "*") else "")
    if last != "*":
        raise click.UsageError(
            typed(f"{identity!r} is no message; allowed: ID, QUEUE\\ID, SERVER\\QUEUE\\ID, QUEUE\\*. `relayctl message list` shows them.")
        )
    return f"Queue -like {quoted(queue or '*')}"


def messages(daemon: ControlClient, text: str, **query: str) -> itertools.chain[Row]:
    """The messages that fit a filter, page by page; C{""}: all."""
    pages = daemon.pages("/v1/messages", {**({"filter": text} if text else {}), "limit": "500", **query})
    return itertools.chain.from_iterable(pages)
