"""What queues are called, and why nothing can be done to some: those that hold messages without sending them anywhere.

A queue is C{QUEUE} or C{SERVER\\QUEUE}.  An address is in brackets in its name, which the configuration does without: whoever names a queue
may do so, too.
"""

from __future__ import annotations

import re

#: An IPv4 address and its port, and the same in brackets.
_BARE = re.compile(r"(\d+\.\d+\.\d+\.\d+)((?::\d+)?)", re.ASCII)
_BRACKETED = re.compile(r"\[(\d+\.\d+\.\d+\.\d+)\]((?::\d+)?)", re.ASCII)

#: What is said instead, by queue.
NO_WAY_OUT = {
    "Unreachable": (
        "Nothing is sent from the queue Unreachable: no send connector takes its messages. Add or enable one: with "
        "`relayctl send-connector` or `relayctl reload` they look for a way at once, as with `relayctl queue retry Unreachable --resubmit`."
    ),
    "Poison": (
        "Nothing is sent from the queue Poison: the relay failed at its messages. "
        "`relayctl message list` shows them; try one again with `relayctl message resume ID`, or remove it."
    ),
}


def without_server(identity: str, server: str) -> str:
    """An identity without the server's name."""
    head, separator, rest = identity.partition("\\")
    return rest if separator and head.lower() == server.lower() else identity


def queue_name(identity: str, server: str) -> str:
    """The name of the queue that is meant, as lists have it."""
    name = without_server(identity, server)
    return f"[{found[1]}]{found[2]}" if (found := _BARE.fullmatch(name)) else name


def spellings(name: str) -> list[str]:
    """A queue's name, and as it may be written."""
    if name.startswith("[") and (found := _BRACKETED.fullmatch(name)):
        return [name, f"{found[1]}{found[2]}"]
    return [name]
