"""What becomes of a session when a trusted host says by XCLIENT for whom it speaks.

It decides which ends the session has from then on.  An address is required: without one the client would have the trusted host's rights.
A login is refused, because nobody here has verified it, and rights come from a login.  Names are not used: nothing is decided by them.

Source: www.postfix.org, XCLIENT_README.
"""

from __future__ import annotations

from typing import Protocol

from twistedrelay.net.ends import Ends
from twistedrelay.values.netrange import IPAddress
from twistedrelay.values.reply import XCLIENT_NEEDS_ADDRESS, XCLIENT_NO_LOGIN, Reply


class Told(Protocol):
    """What XCLIENT said; what was not given or is not known is empty, None or 0."""

    @property
    def address(self) -> IPAddress | None:
        """The client's address."""

    @property
    def port(self) -> int:
        """The client's port."""

    @property
    def login(self) -> str:
        """Whom the client logged in as."""

    @property
    def destination_address(self) -> IPAddress | None:
        """The address that the client connected to."""

    @property
    def destination_port(self) -> int:
        """The port that the client connected to."""


def ends_told(told: Told, ends: Ends) -> Ends | Reply:
    """The ends of the session from now on, or why not.

    @param ends: those of the host that says it.
    """
    if told.login:
        return XCLIENT_NO_LOGIN
    if told.address is None:
        return XCLIENT_NEEDS_ADDRESS
    local, local_port = told.destination_address or ends.local, told.destination_port or ends.local_port
    proxy = f"{ends.peer_text} {ends.proxy}".rstrip()
    return Ends(told.address, told.port, local, local_port, proxy)
