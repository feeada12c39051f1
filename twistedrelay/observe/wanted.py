"""What somebody wants to see of what happens: whose sessions, and which messages.

It decides what matches.  Every criterion that is given must match; a session matches by its client, connector and number at once, by its
login, senders and recipients once it has told them.

Addresses match whole or by their domain, case aside; connectors by their names, with C{SERVER\\} before them or without.
"""

from __future__ import annotations

import re
from functools import cached_property

import attrs

from twistedrelay.values.envelope import Message
from twistedrelay.values.netrange import IPRange, parse_ip

#: What a command or its refusal names between angle brackets.
_PATH = re.compile(r"<([^>]*)>")


@attrs.frozen(slots=False)
class Wanted:
    """The criteria; C{""} or None where one does not matter.

    @ivar client: the client's address or range.
    """

    client: IPRange | None = None
    connector: str = ""
    sender: str = ""
    recipient: str = ""
    user: str = ""
    session: str = ""

    @classmethod
    def of(cls, given: dict[str, str]) -> Wanted:
        """From texts by name.

        @raise ValueError: a text is not what its name takes.
        """
        client = given.get("client", "")
        return cls(**{**given, "client": IPRange.parse(client) if client else None})  # type: ignore[arg-type]

    @cached_property
    def everything(self) -> bool:
        """Whether nothing was left out."""
        return self == Wanted()

    @cached_property
    def to_be_told(self) -> frozenset[str]:
        """The criteria that a session meets only by what is said in it."""
        return frozenset(name for name in ("user", "sender", "recipient") if getattr(self, name))

    def meets(self, session: str, connector: str, peer: str, *, inbound: bool = True) -> bool:
        """Whether a session may be meant, as far as is known from its beginning.

        @param inbound: the peer is a client of ours, not a next hop.
        """
        if self.session and self.session.upper() != session.upper():
            return False
        if self.connector and not is_same_connector(self.connector, connector):
            return False
        if not inbound:
            return self.client is None and not self.user
        return self.client is None or _within(self.client, peer.rpartition(":")[0].strip("[]"))

    def is_message(self, message: Message, recipients: tuple[str, ...], send_connector: str = "") -> bool:
        """Whether a message is meant.

        @param recipients: those it is about now, or none for all.
        @param send_connector: by which it leaves.
        """
        origin = message.origin
        if self.session and self.session.upper() != origin.session.upper():
            return False
        if self.connector and not (
            is_same_connector(self.connector, origin.connector) or is_same_connector(self.connector, send_connector)
        ):
            return False
        if self.client is not None and not (origin.client and _within(self.client, origin.client)):
            return False
        if self.user and self.user.lower() != origin.user.lower():
            return False
        if self.sender and not fits(self.sender, message.sender.text):
            return False
        if not self.recipient:
            return True
        named = recipients or tuple(each.address.text for each in message.recipients)
        return any(fits(self.recipient, name) for name in named)

    def told_by(self, text: str) -> str:
        """Which criterion a command meets: C{"sender"}, C{"recipient"} or C{""}."""
        start = text[:10].upper()
        if self.sender and start == "MAIL FROM:":
            name = "sender"
        elif self.recipient and start.startswith("RCPT TO:"):
            name = "recipient"
        else:
            return ""
        found = _PATH.search(text)
        told = found[1] if found else text.partition(":")[2].split()[:1]
        return name if fits(getattr(self, name), told if isinstance(told, str) else "".join(told)) else ""


def fits(wanted: str, address: str) -> bool:
    """Whether an address is meant; C{"<>"} is the null path, C{"x.example"} the same as C{"@x.example"} and C{"*@x.example"}."""
    wanted, address = wanted.lower().strip("<>"), address.lower()
    local, _, domain = wanted.removeprefix("*").rpartition("@")
    if local or not wanted:
        return wanted == address
    return address.rpartition("@")[2] == domain


def is_same_connector(wanted: str, name: str) -> bool:
    """Whether a connector is meant; one without a name never is."""
    wanted, name = wanted.lower(), name.lower()
    return bool(name) and (wanted == name or wanted.rpartition("\\")[2] == name)


def _within(range: IPRange, address: str) -> bool:
    try:
        return range.contains(parse_ip(address))
    except ValueError:
        return False
