"""Who used the relay, and how: what the ledger keeps.

One L{Usage} stands for all sessions of one kind: the same connector, client address, HELO name, user, sender domain and TLS.
"""

from __future__ import annotations

import attrs


@attrs.frozen(slots=True, kw_only=True)
class Usage:
    """A client, as one connector saw it.

    @ivar local: C{"address:port"} that it connected to last.
    @ivar client: its IP address.
    @ivar helo: its HELO or EHLO name, C{""} where it said none.
    @ivar user: the login, C{""} for none.
    @ivar sender_domain: of MAIL FROM, in lower case; C{""} for the null sender or where there was no MAIL.
    @ivar tls: such as C{"TLSv1.3"}, C{""} for clear text; C{cipher} likewise.
    @ivar first_seen: seconds since the epoch, as C{last_seen}.
    @ivar recipients: recipients that were accepted.
    @ivar size: octets of accepted messages.
    @ivar refusals: commands and messages that were answered 4xx or 5xx.
    @ivar recipient_domains: of accepted recipients, at most some dozens, in the order of their first mail.
    """

    connector: str
    local: str
    client: str
    helo: str = ""
    user: str = ""
    sender_domain: str = ""
    tls: str = ""
    cipher: str = ""
    first_seen: float
    last_seen: float
    sessions: int = 0
    messages: int = 0
    recipients: int = 0
    size: int = 0
    refusals: int = 0
    recipient_domains: tuple[str, ...] = ()
