"""Why nothing can be done to some queues: those that hold messages without sending them anywhere."""

from __future__ import annotations

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
