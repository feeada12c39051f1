"""The names of what webhooks can tell: Exchange's event names for messages, our own for sessions and for the relay as a whole.

They are stable: receivers are written against them.
"""

from __future__ import annotations

from twistedrelay.values.events import SERVICE_CODES

#: Events of a message's life, as message tracking names them.
MESSAGE_EVENTS = ("RECEIVE", "SEND", "DELIVER", "DEFER", "FAIL", "DSN", "RESUBMIT", "POISONMESSAGE", "DROP", "REMOVE")

#: Events of sessions.
SESSION_EVENTS = (
    "connection_refused",
    "command_refused",
    "logged_in",
    "login_failed",
    "logon_locked",
    "session_ended",
    "tls_failed",
)

#: All that is told about the relay as a whole, by how grave it is.
LEVEL_EVENTS = {"error": "service_error", "warn": "service_warning", "info": "service_info"}

#: What `relayctl webhook test` sends.
TEST = "test"

#: All that a webhook can be asked for.
HOOK_EVENTS = (*MESSAGE_EVENTS, *SESSION_EVENTS, *SERVICE_CODES, *LEVEL_EVENTS.values())
