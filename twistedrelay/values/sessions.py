"""A session in progress, as views show it."""

from __future__ import annotations

from typing import Literal

import attrs

#: What a session is at: waits for a command, is in a transaction, takes a message, waits for the disk or another answer of ours, is held
#: back (tarpit), or is about to end.
State = Literal["Connecting", "Idle", "Transaction", "Receiving", "Storing", "Answering", "Tarpit", "Closing"]


@attrs.frozen(slots=True)
class SessionView:
    """One session.

    @ivar session: its number, 16 hex digits.
    @ivar connector: the receive connector's name.
    @ivar peer: C{"address:port"} of the client; C{local}: of our end.
    @ivar proxy: who speaks for the client, or C{""}.
    @ivar since: when it began, seconds since the epoch.
    @ivar tls: C{"TLSv1.3 TLS_AES_256_GCM_SHA384"} or C{""}.
    @ivar messages: how many were taken.
    """

    session: str
    connector: str
    peer: str
    local: str
    proxy: str
    since: float
    helo: str
    user: str
    tls: str
    messages: int
    state: State
