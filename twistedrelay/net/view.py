"""What is shown of a session in progress."""

from __future__ import annotations

from twistedrelay.net.login import LoginSession
from twistedrelay.values.sessions import SessionView, State


def view_of(session: LoginSession) -> SessionView | None:
    """It, or None where it is none yet."""
    if not session._ready:
        return None
    facts = session.facts
    return SessionView(
        session=session.session,
        connector=facts.connector_name,
        peer=session.peer_text,
        local=session.ends.local_text,
        proxy=session.ends.proxy,
        since=session.started,
        helo=facts.helo,
        user=session.avatar.login if hasattr(session, "avatar") else "",
        tls=f"{facts.tls_version} {facts.tls_cipher}".strip(),
        messages=session._messages,
        state=_state(session),
    )


def _state(session: LoginSession) -> State:
    if session._closing:
        return "Closing"
    if session._storing:
        return "Storing"
    if session._delayed is not None:
        return "Tarpit"
    if session._waiting:
        return "Answering" if hasattr(session, "avatar") else "Connecting"
    if session.transaction is None:
        return "Idle"
    return "Receiving" if session.transaction.content is not None else "Transaction"
